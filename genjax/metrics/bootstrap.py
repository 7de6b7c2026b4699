"""How far a number would move if other examples had been drawn (Efron 1979)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["REPEATS", "Estimate", "standard_error"]

REPEATS = 100  # resampled sets


class Estimate(NamedTuple):
    """A number with its standard error: `value - 1.96 error` to `value + 1.96 error` is its 95% interval."""

    value: float
    error: float


def standard_error(
    statistic: Callable[..., float], *counts: int, repeats: int = REPEATS, together: bool = False
) -> float:
    """The standard deviation of a statistic over sets that are drawn anew from the examples at hand.

    It says nothing of a bias: a Fréchet distance, for one, falls as the sets grow.

    Args:
      statistic: takes a weight (N,) float64 for the examples of each set: how often each was drawn, N in all. Sets for
        which it is NaN are left out.
      counts: how many examples each set has.
      repeats: how often sets are drawn, from a fixed seed.
      together: the sets are equally large, and row i of each belongs to the same example, such as the label that both
        have: they are drawn as one.
    """
    rng = np.random.default_rng(0)
    values = []
    for _ in range(repeats):
        drawn = counts[:1] if together else counts
        weights = [np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64) for n in drawn]
        weights = weights * len(counts) if together else weights
        values.append(statistic(*weights))
    return float(np.nanstd(values, ddof=1))
