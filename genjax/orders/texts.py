"""Orders of texts: in streams, by length, several in a row."""

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from genjax.errors import UsageError
from genjax.orders.base import ORDER, Examples, Order, Plan, Shape, generator, passes
from genjax.orders.plain import Epochs
from genjax.registry import register

__all__ = ["Buckets", "Packed", "Streams"]


@register
@dataclasses.dataclass(frozen=True)
class Streams(Order):
    """Row b of a step continues row b of the step before: for models that carry a state, such as an LSTM.

    The text is cut into B pieces of equal length. `starts` (B,) is True where a row begins anew: at the first step, and
    whenever the pieces have been read; they then begin elsewhere, by less than two windows.
    """

    adds: ClassVar[tuple[str, ...]] = ("starts",)

    def check(self, examples: Examples, batch_size: int) -> None:
        super().check(examples, batch_size)
        if not examples.follows:
            raise UsageError("--data.order streams: needs windows of one long text, which this data is not")
        if examples.count < batch_size * examples.follows:
            fits = examples.count // examples.follows
            raise UsageError(
                f"--data.order streams: the text has {fits} windows of --data.context {examples.follows}, fewer than "
                f"the {batch_size} streams of --data.batch-size: choose a smaller one of the two"
            )

    def plans(self, examples: Examples, batch_size: int, seed: int) -> Callable[[int], Plan]:
        piece = examples.count // batch_size
        steps = piece // examples.follows
        slack = piece - (steps - 1) * examples.follows

        def plan(step: int) -> Plan:
            turn, place = divmod(step, steps)
            begin = generator(seed, ORDER, turn).integers(slack) + place * examples.follows
            return Plan(np.arange(batch_size) * piece + begin, arrays={"starts": np.full(batch_size, place == 0)})

        return plan


@register
@dataclasses.dataclass(frozen=True)
class Buckets(Order):
    """Rows of similar length together, padded to the shortest bound that holds them.

    Every bucket is read in permutations of its own, laid end to end, and has its share of the steps: all examples have
    been seen equally often at any time, give or take a batch.

    Attributes:
      bounds: the lengths of the buckets, in rising order; () = --data.context, its half, and so on down to 8.
      tokens: the tokens of a row times the rows of a batch, so that short texts come in larger batches; 0 = every batch
        has --data.batch-size rows.
      multiple: the rows of a batch are a multiple of this, where `tokens` decides them: of the devices.
    """

    bounds: tuple[int, ...] = ()
    tokens: int = 0
    multiple: int = 8
    bounded: ClassVar[bool] = True

    def check(self, examples: Examples, batch_size: int) -> None:
        super().check(examples, batch_size)
        if list(self.bounds) != sorted({bound for bound in self.bounds if bound > 0}):
            raise UsageError(f"--data.order buckets: bounds {self.bounds} must rise, from 1 on")
        if self.tokens < 0 or self.multiple < 1:
            raise UsageError("--data.order buckets: tokens must not be negative, and multiple at least 1")
        _require_texts(self._name, examples)
        length_N, last = _row_lengths(examples), self.lengths(examples.longest)[-1]
        if length_N.max() > last:
            raise UsageError(
                f"--data.order buckets: the last bucket holds {last} tokens, but the longest row has {length_N.max()}: "
                f"raise the last of bounds, or cut rows with --data.context {last}"
            )

    def lengths(self, longest: int) -> tuple[int, ...]:
        if self.bounds:
            return self.bounds
        halves = [longest >> n for n in range(longest.bit_length())]
        return tuple(sorted({longest, *(half for half in halves if half >= 8)}))

    def shapes(self, examples: Examples, batch_size: int) -> tuple[Shape, ...]:
        bounds, used = self.lengths(examples.longest), np.flatnonzero(np.bincount(self._buckets(examples)))
        return tuple(
            Shape(self.rows(bounds[k], batch_size), dict.fromkeys(examples.lengths, bounds[k])) for k in used.tolist()
        )

    def mean_rows(self, examples: Examples, batch_size: int) -> float:
        bounds, counts = self.lengths(examples.longest), np.bincount(self._buckets(examples))
        return counts.sum() / sum(n / self.rows(bound, batch_size) for n, bound in zip(counts, bounds))

    def plans(self, examples: Examples, batch_size: int, seed: int) -> Callable[[int], Plan]:
        bucket_N, shapes = self._buckets(examples), self.shapes(examples, batch_size)
        members = [np.flatnonzero(bucket_N == k) for k in np.unique(bucket_N)]
        ids_at = [passes(len(ids), seed, k) for k, ids in enumerate(members)]

        def before(cycle: int) -> list[int]:
            """The batches that each bucket has had when a cycle begins: as its examples are seen once a cycle."""
            return [cycle * len(ids) // shape.rows for ids, shape in zip(members, shapes)]

        @functools.lru_cache(maxsize=2)  # the read-ahead may straddle two cycles
        def schedule(cycle: int) -> np.ndarray:
            due = np.diff([before(cycle), before(cycle + 1)], axis=0)[0]
            return generator(seed, ORDER, cycle).permutation(np.repeat(np.arange(len(members)), due))

        rate = sum(len(ids) / shape.rows for ids, shape in zip(members, shapes))

        def plan(step: int) -> Plan:
            cycle = int(step / rate)
            while sum(before(cycle)) > step:
                cycle -= 1
            while sum(before(cycle + 1)) <= step:
                cycle += 1
            place, due = step - sum(before(cycle)), schedule(cycle)
            k = int(due[place])
            batch = before(cycle)[k] + int((due[:place] == k).sum())
            rows, lengths = shapes[k]
            return Plan(members[k][ids_at[k](batch * rows + np.arange(rows))], lengths)

        return plan

    def _buckets(self, examples: Examples) -> np.ndarray:
        """(N,) the bucket of each example."""
        return np.searchsorted(self.lengths(examples.longest), _row_lengths(examples))

    def rows(self, length: int, batch_size: int) -> int:
        if not self.tokens:
            return batch_size
        return max(self.tokens // length // self.multiple, 1) * self.multiple


@register
@dataclasses.dataclass(frozen=True)
class Packed(Epochs):
    """Several short texts in a row, which NAME_segment tells apart; rows are then read by epochs.

    The texts are packed once, when the data is loaded: which texts share a row does not depend on the seed.
    """

    def check(self, examples: Examples, batch_size: int) -> None:
        super().check(examples, batch_size)
        _require_texts(self._name, examples)


def _row_lengths(examples: Examples) -> np.ndarray:
    return np.max(list(examples.lengths.values()), axis=0)


def _require_texts(name: str, examples: Examples) -> None:
    if not examples.lengths:
        raise UsageError(f"--data.order {name}: needs texts of unequal length, a row each, which this data is not")
