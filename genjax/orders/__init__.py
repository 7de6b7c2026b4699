"""Which examples a step has. An order is a pure function of (seed, step), so that the step is all there is to save."""

from genjax.orders.base import DRAWS, Examples, Order, Plan, Shape, generator
from genjax.orders.parts import Mixture, Unpaired
from genjax.orders.plain import Epochs, Poisson, Uniform
from genjax.orders.texts import Buckets, Packed, Streams

__all__ = [
    "DRAWS",
    "Buckets",
    "Epochs",
    "Examples",
    "Mixture",
    "Order",
    "Packed",
    "Plan",
    "Poisson",
    "Shape",
    "Streams",
    "Uniform",
    "Unpaired",
    "generator",
    "natural_order",
]


def natural_order(examples: Examples) -> Order:
    """The order of data that asks for none."""
    if examples.unpaired:
        return Unpaired()
    return Uniform() if examples.follows else Epochs()
