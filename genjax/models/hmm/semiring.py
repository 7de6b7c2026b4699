"""Semirings: one recursion is the forward algorithm, in probabilities or in logarithms, and the search of a best path.

Numbers in logarithms are safe wherever they lead, and cost an exponential each. Probabilities are as exact where every
move has a probability a above zero: what is lost below the smallest normal number `tiny` is lost beside something at
least as large as a / K, a relative error of K tiny / a. `probabilities_do` asks for that.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["BEST", "LOGARITHMS", "PROBABILITIES", "Semiring", "probabilities_do"]

Array = jax.Array
LOST = 30.0  # nats: a relative error of K e^-30, 1e-13 K


class Semiring(NamedTuple):
    """Attributes:
    of_log, to_log: from logarithms to numbers of the semiring, and back.
    plus: (x, axis, keepdims) -> what is left of an axis.
    times, divide: of two numbers.
    zero, one: neutral to plus and to times.
    """

    of_log: Callable[[Array], Array]
    to_log: Callable[[Array], Array]
    plus: Callable[..., Array]
    times: Callable[[Array, Array], Array]
    divide: Callable[[Array, Array], Array]
    zero: float
    one: float

    def product(self, a: Array, b: Array) -> Array:
        """The matrix product: (..., I, J) and (..., J, K) give (..., I, K)."""
        return self.plus(self.times(a[..., :, :, None], b[..., None, :, :]), axis=-2)

    def row(self, v: Array, a: Array) -> Array:
        """A row vector (..., J) times a matrix (..., J, K)."""
        return self.plus(self.times(v[..., :, None], a), axis=-2)

    def column(self, a: Array, v: Array) -> Array:
        """A matrix (..., J, K) times a column vector (..., K)."""
        return self.plus(self.times(a, v[..., None, :]), axis=-1)

    def normalized(self, x: Array, axes: tuple[int, ...] = (-1,)) -> tuple[Array, Array]:
        """x over its sum, which is one then, and that sum; x as it is where nothing is possible."""
        total = self.plus(x, axis=axes, keepdims=True)
        return self.divide(x, jnp.where(total > self.zero, total, self.one)), jnp.squeeze(total, axes)


PROBABILITIES = Semiring(jnp.exp, jnp.log, jnp.sum, jnp.multiply, jnp.divide, 0.0, 1.0)
LOGARITHMS = Semiring(jnp.asarray, jnp.asarray, jax.nn.logsumexp, jnp.add, jnp.subtract, -jnp.inf, 0.0)
BEST = LOGARITHMS._replace(plus=jnp.max)


def probabilities_do(log_move: Array) -> Array:
    """() bool: whether probabilities are as exact as logarithms, given the log probabilities of all moves."""
    return log_move.min() >= jnp.log(jnp.finfo(log_move.dtype).tiny) + LOST
