"""DDPM++ and NCSN++: the U-Nets of Song et al. 2021 (arXiv:2011.13456, appendix H), as Karras et al. 2022
(arXiv:2206.00364, appendix F.2) trained them.

Shapes: B batch, H height, W width, C channels, E features of the condition, A numbers that describe an augmentation.
"""

import dataclasses
import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.networks.base import Denoiser, require_heights
from genjax.nn.dense import Dense
from genjax.nn.embedding import sinusoids
from genjax.nn.resample import conv_down
from genjax.nn.residual import INIT, AttentionBlock, ResBlock, Style, conv, norm
from genjax.registry import register

__all__ = ["SongUNet", "SongUNetConfig"]

Array = jax.Array

ALMOST_ZERO = nn.initializers.variance_scaling(1e-10, "fan_avg", "uniform")
QKV_INIT = nn.initializers.variance_scaling(0.2, "fan_avg", "uniform")  # a tenth of INIT's variance in each third
FOURIER_STD = 16.0  # of NCSN++'s frequencies


@register
@dataclasses.dataclass(frozen=True)
class SongUNetConfig(Denoiser):
    """DDPM++ as Karras et al. 2022 trained it on CIFAR-10: 55.7M parameters. Song et al. 2021 have the multipliers
    (1, 2, 2, 2) and the dropout 0.1.
    """

    channels: int = 128  # at full resolution
    multipliers: tuple[int, ...] = (2, 2, 2)  # of the channels, by level; each level halves the resolution
    blocks: int = 4  # residual blocks a level
    attention: tuple[int, ...] = (16,)  # resolutions (pixels) with self-attention, besides the middle
    dropout: float = 0.13  # share of features left out in training
    ncsn: bool = False  # NCSN++: Fourier features, smooth changes of resolution, the image fed in at every level

    augmentable: ClassVar = True

    def __post_init__(self):
        if not self.multipliers or min(self.channels, self.blocks, *self.multipliers) < 1:
            raise UsageError("SongUNetConfig: channels, multipliers and blocks must be positive")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"SongUNetConfig: dropout {self.dropout} must be in [0, 1)")

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises UsageError where images (H, W, C) cannot be halved so often, or no level has an attention height."""
        factor = 2 ** (len(self.multipliers) - 1)
        if shape[0] % factor or shape[1] % factor:
            raise UsageError(
                f"a SongUNet of {len(self.multipliers)} levels needs sides that {factor} divides, not {shape[0]} x "
                f"{shape[1]}: give fewer --model.network.multipliers, or another --data.image-size"
            )
        heights = [shape[0] >> level for level in range(len(self.multipliers))]
        require_heights(self.attention, heights)

    def build(self, out_channels: int, classes: int, dtype: str | None) -> nn.Module:
        return SongUNet(self, out_channels, classes, dtype)


class SongUNet(nn.Module):
    """Predicts from a noisy image: (B, H, W, C), (B,) noise level, (B,) labels -> (B, H, W, out_channels) float32.

    What DDPM++ changes of DDPM: residual blocks twice as many and changing the resolution too, sums with skips scaled
    by sqrt(1/2), and on the way up attention only after a level's last block. Convolutions at the end of a path start
    at 1e-5 of their usual size. One head attends, as wide as the channels.
    """

    config: SongUNetConfig
    out_channels: int
    classes: int = 0  # 0: no labels; else the label `classes` stands for none
    dtype: str | None = None

    @nn.compact
    def __call__(
        self,
        x_BHWC: Array,
        noise_B: Array,
        label_B: Array | None = None,
        index_B: Array | None = None,
        augment_BA: Array | None = None,
    ) -> Array:
        """See `Denoiser.build`; raises what `SongUNetConfig.check` does. Dropout needs a "dropout" rng."""
        c, dtype = self.config, self.dtype
        c.check(x_BHWC.shape[1:])
        condition_BE = self._condition(noise_B, label_B, augment_BA)
        style = Style(
            dropout=c.dropout,
            epsilon=1e-6,
            skip_scale=math.sqrt(0.5),
            project=True,
            smooth=c.ncsn,
            out_init=ALMOST_ZERO,
            qkv_init=QKV_INIT,
            dtype=dtype,
        )

        def block(x, features, name, resample="none", attention=False):
            x = ResBlock(features, style, resample, name=name)(x, condition_BE, index_B)
            return AttentionBlock(1, style=style, name=f"{name}_attention")(x) if attention else x

        widths = [m * c.channels for m in c.multipliers]
        attended = [(x_BHWC.shape[1] >> level) in c.attention for level in range(len(widths))]
        x, pyramid = conv(c.channels, dtype, "first")(x_BHWC), x_BHWC
        skips = [x]
        for level, features in enumerate(widths):
            if level:
                x = block(x, x.shape[-1], f"shrink_{level}", "down")
                if c.ncsn:
                    pyramid = ShrinkingConv(x.shape[-1], dtype, name=f"pyramid_{level}")(pyramid)
                    x = pyramid = style.add(x, pyramid)
                skips.append(x)
            for i in range(c.blocks):
                x = block(x, features, f"down_{level}_{i}", attention=attended[level])
                skips.append(x)

        x = block(x, widths[-1], "middle_0", attention=True)
        x = block(x, widths[-1], "middle_1")

        for level, features in reversed(list(enumerate(widths))):
            if level < len(widths) - 1:
                x = block(x, x.shape[-1], f"enlarge_{level}", "up")
            for i in range(c.blocks + 1):
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = block(x, features, f"up_{level}_{i}", attention=attended[level] and i == c.blocks)

        x = nn.silu(norm(x, style, "norm"))
        return conv(self.out_channels, dtype, "last", init=ALMOST_ZERO)(x).astype(jnp.float32)

    def _condition(self, noise_B: Array, label_B: Array | None, augment_BA: Array | None) -> Array:
        """Level of noise, label and augmentation, each a vector; added up, and then two dense layers."""
        dense = {"kernel_init": INIT, "dtype": self.dtype}
        width = self.config.channels * (2 if self.config.ncsn else 1)
        if self.config.ncsn:
            x_BE = FourierFeatures(width, name="frequencies")(noise_B)
        else:
            x_BE = sinusoids(noise_B, width, ddpm=True)
        if self.classes:
            label_B = jnp.full(noise_B.shape, self.classes) if label_B is None else label_B
            chosen_BK = jax.nn.one_hot(label_B, self.classes) * math.sqrt(self.classes)  # zeros for the label of none
            x_BE += Dense(width, name="label", **dense)(chosen_BK)
        if augment_BA is not None:
            x_BE += Dense(width, use_bias=False, name="augment", **dense)(augment_BA)
        x_BE = Dense(4 * self.config.channels, name="noise_in", **dense)(x_BE)
        return Dense(4 * self.config.channels, name="noise_out", **dense)(nn.silu(x_BE))


class FourierFeatures(nn.Module):
    """(B,) -> (B, features): sines, then cosines, of 2 pi f value, for frequencies that stay as they were drawn."""

    features: int

    @nn.compact
    def __call__(self, value_B: Array) -> Array:
        frequency = self.param("frequency", nn.initializers.normal(FOURIER_STD), (self.features // 2,))
        angle = 2 * jnp.pi * value_B.astype(jnp.float32)[:, None] * jax.lax.stop_gradient(frequency)
        return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


class ShrinkingConv(nn.Module):
    """A 3x3 convolution, the filter [1, 3, 3, 1] and every second pixel."""

    features: int
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array) -> Array:
        kernel = self.param("kernel", INIT, (3, 3, x_BHWC.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = nn.dtypes.promote_dtype(x_BHWC, kernel, bias, dtype=self.dtype)
        return conv_down(x, kernel) + bias
