"""What a turn of the game is, and what it computes: the words in which a system states its losses."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Array", "Batch", "LossOutput", "Params", "Term", "Tree", "Turn"]

Array = jax.Array
Tree = Any
Params = dict[str, Tree]
Batch = dict[str, Array]


class Turn(NamedTuple):
    """One player's move, due at every `every`-th step from step `start` on.

    Attributes:
      trains: the entries that the turn changes; every other entry stays as it is.
      gradient: by the gradient of the loss and an optimizer; False: by `Model.update` alone, as EM does.
    """

    name: str
    trains: tuple[str, ...]
    every: int = 1
    start: int = 0
    gradient: bool = True


class Term(NamedTuple):
    """A number that stands for `scale * total / count`, where total and count are sums over examples (or tokens).

    The step adds totals and counts over micro-batches and replicas before it divides: a term is the same number
    however the batch is cut, also where the counts of two terms differ. `scale` must not depend on the batch.
    """

    total: Array
    count: Array
    scale: Array | float = 1.0

    @staticmethod
    def mean(x: Array, weight: Array | None = None, scale: Array | float = 1.0) -> "Term":
        """scale times the mean of x, weighted by `weight` of x's shape where it is given."""
        if weight is None:
            return Term(jnp.sum(x), jnp.float32(x.size), scale)
        return Term(jnp.sum(x * weight), jnp.sum(weight.astype(jnp.float32)), scale)

    @property
    def value(self) -> Array:
        """0 where nothing counts."""
        return self.scale * self.total / jnp.maximum(self.count, jnp.finfo(jnp.float32).tiny)


class LossOutput(NamedTuple):
    """What a turn computes from a batch, or from a part of it.

    Attributes:
      terms: the loss is the sum of their values. Only totals are differentiated, never counts and scales.
      metrics: what else is logged, by name.
      state: the model state after this (micro-)batch, the same on every replica.
      sums: arrays added over micro-batches and replicas, for `Model.update`.
      rows: arrays (B, ...) that `Model.update` gets for the whole batch, in its order.
    """

    terms: dict[str, Term]
    metrics: dict[str, Term]
    state: Tree
    sums: Tree = {}
    rows: Tree = {}

    @property
    def loss(self) -> Array:
        """() of this batch alone."""
        return sum((term.value for term in self.terms.values()), jnp.float32(0))
