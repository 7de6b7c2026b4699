"""Noise that belongs to the example: drawn from (key, position in the global batch), never from the batch's shape.

jit, pmap, any mesh, any number of processes and any gradient accumulation then draw the same noise.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

__all__ = ["Dropout", "example_keys", "normal", "uniform"]

Array = jax.Array


def example_keys(key: Array, index_B: Array) -> Array:
    """(B,) keys, one for each example."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index_B)


def normal(key: Array, index_B: Array, shape: tuple[int, ...]) -> Array:
    """(B, *shape) float32 standard normal."""
    return jax.vmap(lambda k: jax.random.normal(k, shape))(example_keys(key, index_B))


def uniform(key: Array, index_B: Array, shape: tuple[int, ...] = ()) -> Array:
    """(B, *shape) float32 in [0, 1)."""
    return jax.vmap(lambda k: jax.random.uniform(k, shape))(example_keys(key, index_B))


class Dropout(nn.Module):
    """Dropout whose mask belongs to the example. `index_B=None` turns it off; otherwise a "dropout" rng is needed.

    `same` are axes along which all of an example has one mask: over time, it is variational dropout (Gal & Ghahramani
    2016).
    """

    rate: float
    same: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Array, index_B: Array | None) -> Array:
        if self.rate == 0.0 or index_B is None:
            return x
        shape = tuple(1 if axis in self.same else size for axis, size in enumerate(x.shape))[1:]
        keep = uniform(self.make_rng("dropout"), index_B, shape) >= self.rate
        return jnp.where(keep, x / (1.0 - self.rate), jnp.zeros((), x.dtype))
