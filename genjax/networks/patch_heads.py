"""The projections of CUT (Park et al. 2020, arXiv:2007.15651, section 3): patches of every layer as unit vectors."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

__all__ = ["PatchHeads"]

Array = jax.Array
INIT = nn.initializers.normal(0.02)


class PatchHeads(nn.Module):
    """Of each layer l its features (B, H_l, W_l, C_l) at places (B, S_l), counted row by row: (B, S_l, width).

    Two dense layers, as in SimCLR, and a vector of length 1; float32.
    """

    width: int = 256
    dtype: str | None = None

    @nn.compact
    def __call__(self, features: Sequence[Array], places: Sequence[Array]) -> list[Array]:
        projected = []
        for n, (x_BHWC, place_BS) in enumerate(zip(features, places)):
            x_BPC = x_BHWC.reshape(len(x_BHWC), -1, x_BHWC.shape[-1])
            x = jnp.take_along_axis(x_BPC, place_BS[..., None], axis=1)
            for part in ("in", "out"):
                x = nn.Dense(self.width, kernel_init=INIT, dtype=self.dtype, name=f"layer_{n}_{part}")(x)
                x = nn.relu(x) if part == "in" else x.astype(jnp.float32)
            projected.append(x / (jnp.linalg.norm(x, axis=-1, keepdims=True) + 1e-7))
        return projected
