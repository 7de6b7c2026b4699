"""Orders of examples that nothing ties together."""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from genjax.errors import UsageError
from genjax.orders.base import ORDER, Examples, Order, Plan, Shape, generator, passes, permutations, uniform_ids
from genjax.registry import register

__all__ = ["Epochs", "Poisson", "Uniform"]


@register
@dataclasses.dataclass(frozen=True)
class Epochs(Order):
    """Every example once an epoch, in a new permutation each time.

    The remainder of an epoch, fewer than B examples and others each time, is dropped. Fewer examples than B are
    repeated evenly.
    """

    def plans(self, examples: Examples, batch_size: int, seed: int) -> Callable[[int], Plan]:
        count = examples.count
        if count < batch_size:
            at = passes(count, seed)
            return lambda step: Plan(at(step * batch_size + np.arange(batch_size)))
        permutation = permutations(count, seed)

        def plan(step: int) -> Plan:
            epoch, place = divmod(step, count // batch_size)
            return Plan(permutation(epoch)[place * batch_size :][:batch_size])

        return plan


@register
@dataclasses.dataclass(frozen=True)
class Uniform(Order):
    """Every row draws its example independently and uniformly, with replacement: for windows of a long text."""

    def plans(self, examples: Examples, batch_size: int, seed: int) -> Callable[[int], Plan]:
        return lambda step: Plan(uniform_ids(examples.count, batch_size, seed, step))


@register
@dataclasses.dataclass(frozen=True)
class Poisson(Order):
    """Every example independently with probability B / N, as the accounts of differential privacy assume.

    A batch has rows for B + 6 sqrt(B) examples. `valid` (B,) is False in the rows that only fill it up. More are drawn
    about once in 10^9 steps; they are left out then.

    Attributes:
      multiple: the rows of a batch are a multiple of this: of the devices.
    """

    multiple: int = 8
    adds: ClassVar[tuple[str, ...]] = ("valid",)

    def check(self, examples: Examples, batch_size: int) -> None:
        super().check(examples, batch_size)
        if examples.count < batch_size:
            raise UsageError(
                f"--data.order poisson: {batch_size} expected examples a step cannot be drawn from {examples.count}: "
                "choose a smaller --data.batch-size"
            )

    def shapes(self, examples: Examples, batch_size: int) -> tuple[Shape, ...]:
        most = batch_size + 6 * math.sqrt(batch_size)
        return (Shape(math.ceil(most / self.multiple) * self.multiple),)

    def plans(self, examples: Examples, batch_size: int, seed: int) -> Callable[[int], Plan]:
        (rows, _), count = self.shapes(examples, batch_size)[0], examples.count

        def plan(step: int) -> Plan:
            random = generator(seed, ORDER, step)
            drawn = min(int(random.binomial(count, batch_size / count)), rows)
            ids_B = np.zeros(rows, np.int64)
            ids_B[:drawn] = random.choice(count, drawn, replace=False)
            return Plan(ids_B, arrays={"valid": np.arange(rows) < drawn})

        return plan
