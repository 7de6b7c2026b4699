"""Orders of data that has parts: mixtures and unpaired domains."""

import dataclasses
from collections.abc import Callable

import numpy as np

from genjax.errors import UsageError
from genjax.orders.base import ORDER, Examples, Order, Plan, generator, passes, uniform_ids
from genjax.registry import register

__all__ = ["Mixture", "Unpaired"]


@register
@dataclasses.dataclass(frozen=True)
class Mixture(Order):
    """Rows of further data beside the data's own: for training that goes on without forgetting.

    Every batch has the same number of rows of each; which rows they are is drawn. Only training mixes: the validation
    split is that of the data itself.

    Attributes:
      others: the share of each further data set, by source or path ({"pydoc": 0.1}); the rest is the data's own.
    """

    others: dict[str, float] = dataclasses.field(default_factory=dict)

    def check(self, examples: Examples, batch_size: int) -> None:
        super().check(examples, batch_size)
        if not self.others or min(self.others.values()) <= 0 or sum(self.others.values()) >= 1:
            raise UsageError("--data.order mixture: others needs a share above 0 for each data set, together below 1")
        rows = dict(zip(("the data itself", *self.others), self._rows(batch_size)))
        if absent := [name for name, count in rows.items() if not count]:
            raise UsageError(
                f"--data.order mixture: {absent[0]} has no row in a batch of {batch_size}: raise its share, or "
                "--data.batch-size"
            )

    def plans(self, examples: Examples, batch_size: int, seed: int) -> Callable[[int], Plan]:
        rows = self._rows(batch_size)
        offsets = np.cumsum((0, *examples.parts[:-1]))
        ids_at = [passes(count, seed, part) for part, count in enumerate(examples.parts)]

        def plan(step: int) -> Plan:
            if examples.follows:  # windows of text are too many to permute
                drawn = [uniform_ids(n, row, seed, step, k) for k, (n, row) in enumerate(zip(examples.parts, rows))]
            else:
                drawn = [at(step * row + np.arange(row)) for at, row in zip(ids_at, rows)]
            ids_B = np.concatenate([offset + ids for offset, ids in zip(offsets, drawn)])
            return Plan(generator(seed, ORDER, step).permutation(ids_B))

        return plan

    def _rows(self, batch_size: int) -> list[int]:
        shares = [1 - sum(self.others.values()), *self.others.values()]
        ends = [round(batch_size * share) for share in np.cumsum(shares)]
        return np.diff([0, *ends]).tolist()


@register
@dataclasses.dataclass(frozen=True)
class Unpaired(Order):
    """A row takes one example of each domain, each in permutations of its own (Zhu et al. 2017, CycleGAN).

    Of data that is not made of domains, every image field becomes one.
    """

    def check(self, examples: Examples, batch_size: int) -> None:
        if not examples.unpaired:
            raise UsageError(
                "--data.order unpaired: needs two domains of images, such as the folders trainA and trainB"
            )

    def plans(self, examples: Examples, batch_size: int, seed: int) -> Callable[[int], Plan]:
        ids_at = [passes(count, seed, part) for part, count in enumerate(examples.parts)]

        def plan(step: int) -> Plan:
            position_B = step * batch_size + np.arange(batch_size)
            return Plan(np.stack([at(position_B) for at in ids_at], axis=1))

        return plan
