"""The blocks of U-Nets: residual and attention blocks, and changes of resolution.

Shapes: B batch, H height, W width, C channels, E features of the condition.
"""

import dataclasses
import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nn.attend import Attend
from genjax.nn.attention import Implementation, Mask
from genjax.nn.dense import Dense
from genjax.nn.noise import Dropout
from genjax.nn.norm import GroupNorm
from genjax.nn.resample import downsample, upsample
from genjax.nn.sharding import BATCH, constrain

__all__ = ["INIT", "AttentionBlock", "ResBlock", "Style", "conv", "enlarge", "norm", "shrink"]

Array = jax.Array
Init = nn.initializers.Initializer

INIT = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")  # DDPM's, also called Xavier's or Glorot's
QKV_INIT = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")  # of three such matrices side by side


@dataclasses.dataclass(frozen=True)
class Style:
    """What a network's blocks have in common. The defaults are those of ADM's code, but for `scale_shift`."""

    scale_shift: bool = False  # a block's condition scales and shifts after its second norm; else it is added before
    dropout: float = 0.0
    epsilon: float = 1e-5  # of the group norms
    skip_scale: float = 1.0  # of each sum with a skip: sqrt(1/2) keeps its variance
    project: bool = False  # the skip has a 1x1 convolution also where only the resolution changes
    smooth: bool = False  # resolution changes by the filter [1, 3, 3, 1], not [1, 1]
    out_init: Init = nn.initializers.zeros  # of the last convolution of a block, and of attention's output
    qkv_init: Init = QKV_INIT
    dtype: str | None = None

    def add(self, x: Array, y: Array) -> Array:
        return x + y if self.skip_scale == 1.0 else (x + y) * self.skip_scale


class ResBlock(nn.Module):
    """x + convolutions of x, conditioned between the two.

    The condition is added before the second norm (DDPM), or scales and shifts after it (ADM). `resample` changes
    the resolution of both paths after the first norm (ADM, DDPM++).
    """

    features: int
    style: Style = Style()
    resample: Literal["none", "up", "down"] = "none"

    @nn.compact
    def __call__(self, x_BHWC: Array, condition_BE: Array, index_B: Array | None) -> Array:
        style, features, dtype = self.style, self.features, self.style.dtype
        y = nn.silu(norm(x_BHWC, style, "norm_in"))
        x_BHWC, y = self._resampled(x_BHWC), conv(features, dtype, "in")(self._resampled(y))

        dense = Dense((1 + style.scale_shift) * features, kernel_init=INIT, dtype=dtype, name="condition")
        condition_B11C = dense(nn.silu(condition_BE))[:, None, None]
        if style.scale_shift:
            scale, shift = jnp.split(condition_B11C, 2, axis=-1)
            y = norm(y, style, "norm_out") * (1 + scale) + shift
        else:
            y = norm(y + condition_B11C, style, "norm_out")
        y = conv(features, dtype, "out", init=style.out_init)(Dropout(style.dropout)(nn.silu(y), index_B))
        if x_BHWC.shape[-1] != features or (style.project and self.resample != "none"):
            x_BHWC = Dense(features, kernel_init=INIT, dtype=dtype, name="skip")(x_BHWC)
        return constrain(style.add(x_BHWC, y), BATCH, None, None, None)

    def _resampled(self, x_BHWC: Array) -> Array:
        if self.resample == "none":
            return x_BHWC
        down, up = (downsample, upsample) if self.style.smooth else (shrink, enlarge)
        return (down if self.resample == "down" else up)(x_BHWC)


class AttentionBlock(nn.Module):
    """x + attention of the pixels of x to themselves, or to a memory (B, S, D) of which `lengths_B` count."""

    heads: int
    implementation: Implementation = "xla"
    style: Style = Style()

    @nn.compact
    def __call__(self, x_BHWC: Array, memory_BSD: Array | None = None, lengths_B: Array | None = None) -> Array:
        b, h, w, c = x_BHWC.shape
        x_BTC = norm(x_BHWC, self.style, "norm").reshape(b, h * w, c)
        attend = Attend(
            self.heads,
            layout="thirds",
            cross=memory_BSD is not None,
            implementation=self.implementation,
            kernel_init=self.style.qkv_init,
            out_init=self.style.out_init,
            dtype=self.style.dtype,
            name="attention",
        )
        y_BTC, _ = attend(x_BTC, memory_BSD, Mask(lengths_B=lengths_B))
        return constrain(self.style.add(x_BHWC, y_BTC.reshape(x_BHWC.shape)), BATCH, None, None, None)


def enlarge(x_BHWC: Array) -> Array:
    """Every pixel four times."""
    b, h, w, c = x_BHWC.shape
    return jnp.broadcast_to(x_BHWC[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def shrink(x_BHWC: Array) -> Array:
    """Means of 2x2 pixels; at an odd edge, of those there are."""
    b, h, w, c = x_BHWC.shape
    x = jnp.pad(x_BHWC, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    return x.reshape(b, (h + 1) // 2, 2, (w + 1) // 2, 2, c).mean((2, 4))


def norm(x_BHWC: Array, style: Style, name: str) -> Array:
    """Group norm (Wu & He 2018) of 32 groups, as all the papers; below 128 channels of four channels each.

    A group of one channel would subtract the condition that DDPM adds to that channel.
    """
    channels = x_BHWC.shape[-1]
    groups = math.gcd(channels, max(1, min(32, channels // 4)))
    return GroupNorm(groups, style.epsilon, style.dtype, name=name)(x_BHWC)


def conv(features: int, dtype: str | None, name: str, stride: int = 1, init: Init = INIT) -> nn.Module:
    """A 3x3 convolution; the output has the input's size, divided by the stride and rounded up."""
    return nn.Conv(features, (3, 3), stride, kernel_init=init, dtype=dtype, name=name)
