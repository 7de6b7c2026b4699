"""The U-Net of diffusion models: DDPM's (Ho et al. 2020, arXiv:2006.11239) and ADM's (Dhariwal & Nichol 2021,
arXiv:2105.05233). One class, as ADM's differs from DDPM's by four of its fields.

Shapes: B batch, H height, W width, C channels, E features of the condition.
"""

import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.networks.dit import SelfAttention
from genjax.nn.attention import Implementation
from genjax.nn.dense import Dense
from genjax.nn.embedding import sinusoids
from genjax.nn.noise import Dropout
from genjax.nn.norm import GroupNorm
from genjax.nn.sharding import BATCH, constrain

Array = jax.Array

INIT = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")  # DDPM's
QKV_INIT = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")  # of three such matrices side by side
ZEROS = nn.initializers.zeros


def enlarge(x_BHWC: Array) -> Array:
    """Every pixel four times."""
    b, h, w, c = x_BHWC.shape
    return jnp.broadcast_to(x_BHWC[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def shrink(x_BHWC: Array) -> Array:
    """Means of 2x2 pixels; at an odd edge, of those there are."""
    b, h, w, c = x_BHWC.shape
    x = jnp.pad(x_BHWC, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    return x.reshape(b, (h + 1) // 2, 2, (w + 1) // 2, 2, c).mean((2, 4))


class ResBlock(nn.Module):
    """x + convolutions of x, conditioned between the two; the last convolution starts at zero.

    The condition is added before the second norm (DDPM), or scales and shifts after it (ADM). `resample` changes
    the resolution of both paths after the first norm (ADM).
    """

    features: int
    scale_shift: bool
    dropout: float
    dtype: str | None
    resample: Literal["none", "up", "down"] = "none"

    @nn.compact
    def __call__(self, x_BHWC: Array, condition_BE: Array, index_B: Array | None) -> Array:
        dtype, features = self.dtype, self.features
        y = nn.silu(norm(x_BHWC, dtype, "norm_in"))
        if self.resample == "up":
            x_BHWC, y = enlarge(x_BHWC), conv(features, dtype, "in")(enlarge(y))
        elif self.resample == "down":
            x_BHWC, y = shrink(x_BHWC), conv(features, dtype, "in")(shrink(y))
        else:
            y = conv(features, dtype, "in")(y)

        dense = Dense((1 + self.scale_shift) * features, kernel_init=INIT, dtype=dtype, name="condition")
        condition_B11C = dense(nn.silu(condition_BE))[:, None, None]
        if self.scale_shift:
            scale, shift = jnp.split(condition_B11C, 2, axis=-1)
            y = norm(y, dtype, "norm_out") * (1 + scale) + shift
        else:
            y = norm(y + condition_B11C, dtype, "norm_out")
        y = conv(features, dtype, "out", init=ZEROS)(Dropout(self.dropout)(nn.silu(y), index_B))
        if x_BHWC.shape[-1] != features:
            x_BHWC = Dense(features, kernel_init=INIT, dtype=dtype, name="skip")(x_BHWC)
        return constrain(x_BHWC + y, BATCH, None, None, None)


class AttentionBlock(nn.Module):
    """x + self-attention of the pixels of x; its output starts at zero."""

    heads: int
    implementation: Implementation
    dtype: str | None

    @nn.compact
    def __call__(self, x_BHWC: Array) -> Array:
        b, h, w, c = x_BHWC.shape
        x_BTC = norm(x_BHWC, self.dtype, "norm").reshape(b, h * w, c)
        y_BTC = SelfAttention(self.heads, self.implementation, QKV_INIT, ZEROS, self.dtype, name="attention")(x_BTC)
        return constrain(x_BHWC + y_BTC.reshape(x_BHWC.shape), BATCH, None, None, None)


class UNet(nn.Module):
    """Predicts from a noisy image: (B, H, W, C), (B,) noise level, (B,) labels -> (B, H, W, out_channels) float32.

    DDPM for CIFAR-10: channels=128, multipliers=(1, 2, 2, 2), blocks=2, attention=(16,), dropout=0.1.
    ADM for ImageNet at 64 x 64: channels=192, multipliers=(1, 2, 3, 4), blocks=3, attention=(32, 16, 8), dropout=0.1,
    head_channels=64, scale_shift=True, resample_blocks=True, classes=1000, out_channels=6.

    As in both papers' code, the last convolution of each residual block, attention's output and the network's last
    convolution start at zero, so the untrained network returns zeros. Other weights start as DDPM's, labels as ADM's.
    Sides that 2 does not divide are rounded up on the way down, and cropped on the way up.
    """

    channels: int
    multipliers: tuple[float, ...]  # of the channels, one a level; each level halves the resolution
    blocks: int  # residual blocks a level, and one more on the way up
    out_channels: int
    attention: tuple[int, ...] = ()  # heights in pixels at which pixels attend; the middle always does
    heads: int = 1
    head_channels: int | None = None  # instead of `heads`
    classes: int = 0  # 0: no labels; else the table's last row, number `classes`, is the null label
    dropout: float = 0.0
    scale_shift: bool = False  # ADM's adaptive group norm
    resample_blocks: bool = False  # ADM's residual blocks that change the resolution, for DDPM's convolutions
    attention_implementation: Implementation = "xla"
    dtype: str | None = None

    @nn.compact
    def __call__(
        self, x_BHWC: Array, noise_B: Array, label_B: Array | None = None, index_B: Array | None = None
    ) -> Array:
        """`noise_B` is embedded as it comes; without `label_B` every label is the null label.

        `index_B`, the examples' positions in the global batch, turns dropout on and needs a "dropout" rng.
        Raises UsageError for an attention height that no level has, or heads that do not divide the channels.
        """
        self._check(x_BHWC.shape[1])
        dtype, widths = self.dtype, [int(m * self.channels) for m in self.multipliers]
        last = len(widths) - 1
        condition_BE = self._condition(noise_B, label_B)

        def block(x, features, name, resample="none"):
            one = ResBlock(features, self.scale_shift, self.dropout, dtype, resample, name=name)
            return one(x, condition_BE, index_B)

        def attend(x, name):
            heads = x.shape[-1] // self.head_channels if self.head_channels else self.heads
            return AttentionBlock(heads, self.attention_implementation, dtype, name=f"{name}_attention")(x)

        def block_and_attention(x, features, name):
            x = block(x, features, name)
            return attend(x, name) if x.shape[1] in self.attention else x

        x = conv(widths[0], dtype, "first")(x_BHWC)
        skips = [x]
        for level, features in enumerate(widths):
            for i in range(self.blocks):
                x = block_and_attention(x, features, f"down_{level}_{i}")
                skips.append(x)
            if level < last:
                name = f"shrink_{level}"
                x = block(x, features, name, "down") if self.resample_blocks else conv(features, dtype, name, 2)(x)
                skips.append(x)

        x = attend(block(x, widths[-1], "middle_0"), "middle")
        x = block(x, widths[-1], "middle_1")

        for level, features in reversed(list(enumerate(widths))):
            for i in range(self.blocks + 1):
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = block_and_attention(x, features, f"up_{level}_{i}")
            if level:
                name = f"enlarge_{level}"
                x = block(x, features, name, "up") if self.resample_blocks else conv(features, dtype, name)(enlarge(x))
                x = x[:, : skips[-1].shape[1], : skips[-1].shape[2]]

        x = nn.silu(norm(x, dtype, "norm"))
        return conv(self.out_channels, dtype, "last", init=ZEROS)(x).astype(jnp.float32)

    def _condition(self, noise_B: Array, label_B: Array | None) -> Array:
        dense = {"kernel_init": INIT, "dtype": self.dtype}
        width = 4 * self.channels
        condition_BE = Dense(width, name="noise_in", **dense)(sinusoids(noise_B, self.channels))
        condition_BE = Dense(width, name="noise_out", **dense)(nn.silu(condition_BE))
        if self.classes:
            label_B = jnp.full(noise_B.shape, self.classes) if label_B is None else label_B
            init = nn.initializers.normal(1.0)
            table = nn.Embed(self.classes + 1, width, embedding_init=init, dtype=self.dtype, name="labels")
            condition_BE += table(label_B)
        return condition_BE

    def _check(self, height: int) -> None:
        heights = [math.ceil(height / 2**level) for level in range(len(self.multipliers))]
        if missing := set(self.attention) - set(heights):
            raise UsageError(
                f"attention at heights {sorted(missing)}: the levels of this U-Net have {', '.join(map(str, heights))}"
            )
        for level, m in enumerate(self.multipliers):
            features = int(m * self.channels)
            attends = heights[level] in self.attention or level == len(heights) - 1
            if attends and features % (self.head_channels or self.heads):
                raise UsageError(f"heads do not divide {features} channels: choose other heads, or channels")


def norm(x_BHWC: Array, dtype: str | None, name: str) -> Array:
    """Group norm (Wu & He 2018) of 32 groups, as both papers; below 128 channels of four channels each.

    A group of one channel would subtract the condition that DDPM adds to that channel.
    """
    channels = x_BHWC.shape[-1]
    groups = math.gcd(channels, max(1, min(32, channels // 4)))
    return GroupNorm(groups, 1e-5, dtype, name=name)(x_BHWC)


def conv(features: int, dtype: str | None, name: str, stride: int = 1, init=INIT) -> nn.Module:
    """A 3x3 convolution; the output has the input's size, divided by the stride and rounded up."""
    return nn.Conv(features, (3, 3), stride, kernel_init=init, dtype=dtype, name=name)
