"""How good a set of samples is: name -> f(real (N, H, W, C), generated (N, H, W, C)) -> float."""

from collections.abc import Callable, Iterable

import numpy as np

from genjax.errors import UsageError
from genjax.metrics.sliced_wasserstein import sliced_wasserstein

SET_METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"swd": sliced_wasserstein}


def check_names(names: Iterable[str]) -> None:
    """Raises UsageError for a name that no metric has."""
    if unknown := [name for name in names if name not in SET_METRICS]:
        raise UsageError(f"unknown metric {unknown[0]}: there are {', '.join(SET_METRICS)}")
