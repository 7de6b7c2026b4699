"""Layers of StyleGAN: equalized learning rate, and convolutions whose kernels a style scales.

Kernels are drawn from N(0, 1) and multiplied at run time by 1 / sqrt(inputs) (Karras et al. 2018, arXiv:1710.10196,
section 4.1), so that Adam, whose steps do not depend on the gradient's scale, moves all of them at one relative speed.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nn import resample

__all__ = ["EqualConv", "EqualDense", "ModulatedConv", "activate"]

Array = jax.Array


def activate(x: Array, gain: float = 1.0) -> Array:
    """Leaky ReLU (0.2) that keeps the mean of squares."""
    return nn.leaky_relu(x, 0.2) * (2**0.5 * gain)


class EqualDense(nn.Module):
    """(..., I) -> (..., features). `rate` multiplies the learning rate of kernel and bias, and nothing else."""

    features: int
    rate: float = 1.0
    bias: float = 0.0  # at the start
    activated: bool = False
    dtype: str | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        inputs = x.shape[-1]
        kernel = self.param("kernel", nn.initializers.normal(1 / self.rate), (inputs, self.features))
        bias = self.param("bias", nn.initializers.constant(self.bias), (self.features,))
        dtype = self.dtype or x.dtype
        x = x.astype(dtype) @ (kernel * (self.rate / math.sqrt(inputs))).astype(dtype)
        x += (bias * self.rate).astype(dtype)
        return activate(x) if self.activated else x


class EqualConv(nn.Module):
    """(B, H, W, I) -> (B, H', W', features), at half the resolution with down=True; doubled with up=True, of 1x1."""

    features: int
    kernel: int = 3
    up: bool = False
    down: bool = False
    use_bias: bool = True  # and an activation
    gain: float = 1.0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape)
        x = x.astype(dtype := self.dtype or x.dtype)
        kernel = (kernel / math.sqrt(math.prod(shape[:3]))).astype(dtype)
        if self.down and self.kernel == 3:
            x = resample.conv_down(x, kernel)
        else:
            x = resample.conv(resample.downsample(x) if self.down else x, kernel)
            x = resample.upsample(x) if self.up else x
        if not self.use_bias:
            return x * self.gain
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return activate(x + bias.astype(dtype), self.gain)


class ModulatedConv(nn.Module):
    """A convolution of x (B, H, W, I) by kernels that w (B, W) scales, one scale an example and input channel.

    Karras et al. 2020 (arXiv:1912.04958), equations 1 and 3. With demodulation each example's kernels have norm 1 an
    output channel. Both are scales of channels, before and after one convolution that all examples share: the same
    numbers as a kernel for each example and groups, which XLA:CPU computes many times slower.
    """

    features: int
    kernel: int = 3
    up: bool = False  # doubles the resolution
    demodulate: bool = True
    dtype: str | None = None

    @nn.compact
    def __call__(self, x: Array, w_BW: Array) -> Array:
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape)
        style_BI = EqualDense(x.shape[-1], bias=1.0, name="affine")(w_BW.astype(jnp.float32))
        if not self.demodulate:
            style_BI /= math.sqrt(math.prod(shape[:3]))
        dtype = self.dtype or x.dtype
        form = resample.conv_up if self.up else resample.conv
        x = form(x.astype(dtype) * style_BI[:, None, None].astype(dtype), kernel.astype(dtype))
        if self.demodulate:
            norm2_BO = style_BI**2 @ (kernel**2).sum((0, 1))
            x *= jax.lax.rsqrt(norm2_BO + 1e-8)[:, None, None].astype(dtype)
        return x
