"""Keys and values that attention has computed and will read again."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax.nn.sharding import BATCH, constrain

__all__ = ["Cache"]

Array = jax.Array


class Cache(NamedTuple):
    """Of all L layers of a stack: S slots of K heads of size C for each of B rows."""

    k_LBSKC: Array
    v_LBSKC: Array

    @staticmethod
    def empty(layers: int, batch: int, slots: int, heads: int, size: int, dtype: str | None = None) -> "Cache":
        """Zeros, rows split over the batch axes of the mesh and heads over `tensor`."""
        zeros = jnp.zeros((layers, batch, slots, heads, size), dtype or jnp.float32)
        zeros = constrain(zeros, None, BATCH, None, "tensor", None)
        return Cache(zeros, zeros)

    def write(self, layer: Array, start: Array | int, k_BTKC: Array, v_BTKC: Array) -> "Cache":
        """The cache with a layer's slots start, start + 1 ... filled."""
        new = (k_BTKC[None], v_BTKC[None])
        at = (layer, 0, start, 0, 0)
        return Cache(*(jax.lax.dynamic_update_slice(old, x.astype(old.dtype), at) for old, x in zip(self, new)))

    def read(self, layer: Array) -> tuple[Array, Array]:
        """Keys and values (B, S, K, C) of a layer."""
        return self.k_LBSKC[layer], self.v_LBSKC[layer]

    def rows(self, row_B: Array) -> "Cache":
        """The cache whose row b is this one's row `row_B[b]`."""
        return Cache(*(x[:, row_B] for x in self))
