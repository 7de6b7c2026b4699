"""The base of the orders, and the permutations that they share."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from genjax.errors import UsageError

__all__ = ["DRAWS", "ORDER", "Examples", "Order", "Plan", "Shape", "generator", "passes", "permutations", "uniform_ids"]

ORDER, DRAWS = range(2)  # independent streams of one seed


class Examples(NamedTuple):
    """What an order knows of the examples that it arranges.

    Attributes:
      count: how many ids there are.
      lengths: the tokens of each example, (N,), by ragged field.
      longest: the length that ragged fields are padded to.
      parts: the number of examples of each part of a mixture, whose ids follow one another, or of each domain.
      unpaired: the parts are domains: a row takes one example of each.
      follows: the distance in ids from a window of text to the next one; 0: examples do not continue one another.
    """

    count: int
    lengths: dict[str, np.ndarray] = {}
    longest: int = 0
    parts: tuple[int, ...] = ()
    unpaired: bool = False
    follows: int = 0


class Plan(NamedTuple):
    """The global batch of one step.

    Attributes:
      ids_B: the examples; (B, P) where a row takes one example of each of P domains.
      lengths: the length that each ragged field has in this batch, by field; {} = its longest.
      arrays: arrays (B, ...) that the order itself adds to the batch.
    """

    ids_B: np.ndarray
    lengths: dict[str, int] = {}
    arrays: dict[str, Any] = {}


class Shape(NamedTuple):
    """The rows of a batch, and the length of each ragged field; {} = its longest."""

    rows: int
    lengths: dict[str, int] = {}


@dataclasses.dataclass(frozen=True)
class Order:
    """Base of the orders, dataclasses of their settings."""

    adds: ClassVar[tuple[str, ...]] = ()  # arrays (B,) bool that a plan has
    bounded: ClassVar[bool] = False  # the check holds for every split, not for training alone

    def check(self, examples: Examples, batch_size: int) -> None:
        """Raises UsageError where these examples cannot be had in this order."""
        if examples.unpaired:
            raise UsageError(
                f"--data.order {self._name}: the data has unpaired domains; they are read in order unpaired"
            )

    def lengths(self, longest: int) -> tuple[int, ...]:
        """The lengths that batches of ragged fields have, in rising order."""
        return (longest,)

    def rows(self, length: int, batch_size: int) -> int:
        """The rows of a batch whose ragged fields have this length."""
        return batch_size

    def shapes(self, examples: Examples, batch_size: int) -> tuple[Shape, ...]:
        """Every shape that a batch of the run may have."""
        return (Shape(batch_size),)

    def mean_rows(self, examples: Examples, batch_size: int) -> float:
        """The examples of a batch, on average."""
        return batch_size

    def plans(self, examples: Examples, batch_size: int, seed: int) -> Callable[[int], Plan]:
        """The plan of every step. Work that is the same for all steps is done before the function is returned."""
        raise NotImplementedError

    @property
    def _name(self) -> str:
        return type(self).__name__.lower()


def generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([k % 2**64 for k in key])))


def permutations(count: int, seed: int, *part: int) -> Callable[[int], np.ndarray]:
    """The permutation of every epoch; of a `part`, one independent of those of the others."""
    dtype = np.int32 if count < 2**31 else np.int64

    @functools.lru_cache(maxsize=2)  # the read-ahead may straddle two epochs
    def permutation(epoch: int) -> np.ndarray:
        key = (seed, ORDER, epoch, *(p + 1 for p in part))  # a last 0 would give the key without it
        return generator(*key).permutation(np.arange(count, dtype=dtype))

    return permutation


def passes(count: int, seed: int, *part: int) -> Callable[[np.ndarray], np.ndarray]:
    """The ids at consecutive positions of the permutations of all epochs, laid end to end."""
    permutation = permutations(count, seed, *part)

    def at(position_B: np.ndarray) -> np.ndarray:
        first, last = position_B[0] // count, position_B[-1] // count
        epochs = [permutation(int(epoch)) for epoch in range(first, last + 1)]
        return np.concatenate(epochs)[position_B - first * count]

    return at


def uniform_ids(count: int, rows: int, seed: int, step: int, *part: int) -> np.ndarray:
    random = generator(seed, DRAWS, step, *(p + 1 for p in part))
    return (random.random((rows, 3))[:, 0] * count).astype(np.int64)  # three a row, as ever: seeds keep their windows
