"""Keys and values that attention has computed and will read again."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax.nn.sharding import BATCH, constrain

__all__ = ["Cache"]

Array = jax.Array


class Cache(NamedTuple):
    """Of all L layers of a stack: S slots of K heads of size C for each of B rows.

    They lie as the two products of attention read them. With the slots before the heads XLA:CPU copies a layer's keys
    and values, transposed, for every token: twice the time of all else.
    """

    k_LBKCS: Array
    v_LBKSC: Array

    @staticmethod
    def empty(layers: int, batch: int, slots: int, heads: int, size: int, dtype: str | None = None) -> "Cache":
        """Zeros, rows split over the batch axes of the mesh and heads over `tensor`."""

        def zeros(*shape: int) -> Array:
            x = jnp.zeros((layers, batch, heads, *shape), dtype or jnp.float32)
            return constrain(x, None, BATCH, "tensor", None, None)

        return Cache(zeros(size, slots), zeros(slots, size))

    def write(self, layer: Array, start: Array | int, k_BTKC: Array, v_BTKC: Array) -> "Cache":
        """The cache with a layer's slots start, start + 1 ... filled."""
        k, v = self
        k_BKCT, v_BKTC = k_BTKC.transpose(0, 2, 3, 1), v_BTKC.transpose(0, 2, 1, 3)
        return Cache(
            jax.lax.dynamic_update_slice(k, k_BKCT[None].astype(k.dtype), (layer, 0, 0, 0, start)),
            jax.lax.dynamic_update_slice(v, v_BKTC[None].astype(v.dtype), (layer, 0, 0, start, 0)),
        )

    def read(self, layer: Array) -> tuple[Array, Array]:
        """Keys and values (B, S, K, C) of a layer."""
        return self.k_LBKCS[layer].transpose(0, 3, 1, 2), self.v_LBKSC[layer].transpose(0, 2, 1, 3)

    def rows(self, row_B: Array) -> "Cache":
        """The cache whose row b is this one's row `row_B[b]`."""
        return Cache(*(x[:, row_B] for x in self))
