"""Layers of networks whose training is over."""

import flax.linen as nn
import jax

__all__ = ["FrozenBatchNorm"]


class FrozenBatchNorm(nn.Module):
    """Batch normalization by its running averages: all four of its arrays are parameters."""

    epsilon: float = 1e-3

    @nn.compact
    def __call__(self, x_BHWC: jax.Array) -> jax.Array:
        shape = x_BHWC.shape[-1:]
        scale, bias = self.param("scale", nn.initializers.ones, shape), self.param("bias", nn.initializers.zeros, shape)
        mean, var = self.param("mean", nn.initializers.zeros, shape), self.param("var", nn.initializers.ones, shape)
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        return (x_BHWC - mean) * factor + bias
