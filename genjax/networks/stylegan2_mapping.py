"""StyleGAN2's mapping network (Karras et al. 2020, arXiv:1912.04958): latents, labels, or both -> styles."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nn.equalized import EqualDense

__all__ = ["Mapping"]

Array = jax.Array


class Mapping(nn.Module):
    """z (B, Z), a label (B,), or both, each normalized -> w (B, width) float32, by dense layers."""

    width: int
    layers: int
    rate: float = 0.01
    classes: int = 0

    @nn.compact
    def __call__(self, z_BZ: Array | None, label_B: Array | None = None) -> Array:
        inputs = [] if z_BZ is None else [unit_square(z_BZ)]
        if self.classes:
            embed = EqualDense(self.width, name="embed")
            inputs.append(unit_square(embed(jax.nn.one_hot(label_B, self.classes))))
        x = jnp.concatenate(inputs, axis=-1)
        for i in range(self.layers):
            x = EqualDense(self.width, self.rate, activated=True, name=f"dense_{i}")(x)
        return x


def unit_square(x: Array) -> Array:
    """x (B, C) with a mean of squares of 1."""
    return x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-8)
