"""The KL autoencoder of latent diffusion (Rombach et al. 2022, arXiv:2112.10752): the latent is a grid of vectors.

The layers are those of the paper's code and of `AutoencoderKL` of diffusers, one for one, so that their weights fit
(genjax.interop.autoencoder_kl), with two differences: keys have no bias, since it changes nothing; and widths below
128 have fewer groups in a normalization, where diffusers asks for one number for all widths.
"""

import dataclasses
import math
from typing import ClassVar

import flax.linen as nn
import jax

from genjax.errors import UsageError, UserError
from genjax.networks.autoencoder import AutoencoderConfig, require_widths, with_label_planes
from genjax.nn import norm
from genjax.nn.attend import Attend
from genjax.nn.conv import EnlargedConv
from genjax.nn.sharding import BATCH, constrain
from genjax.registry import register

__all__ = ["SpatialAutoencoder", "SpatialDecoder", "SpatialEncoder", "groups_of"]

Array = jax.Array


@register
@dataclasses.dataclass(frozen=True)
class SpatialAutoencoder(AutoencoderConfig):
    """z has the shape (H / f, W / f, latent), f = 2 ** (levels - 1). The defaults are those of Stable Diffusion."""

    widths: tuple[int, ...] = (128, 256, 512, 512)  # channels, one a level; the resolution halves between levels
    blocks: int = 2  # residual blocks a level of the encoder; the decoder has one more
    latent_convs: bool = (
        True  # a 1x1 convolution on both sides of z: Stable Diffusion 1 and 2 have them, 3 and Flux not
    )

    last_kernel: ClassVar = ("conv_out", "kernel")

    def __post_init__(self):
        require_widths(self)
        if self.blocks < 1:
            raise UsageError(f"SpatialAutoencoder: blocks {self.blocks} must be positive")

    @property
    def downsampling(self) -> int:
        """How many times smaller a side of z is than the image's."""
        return 2 ** (len(self.widths) - 1)

    def latent_shape(self, image_shape: tuple[int, int, int], latent: int) -> tuple[int, int, int]:
        height, width, _ = image_shape
        if height % self.downsampling or width % self.downsampling:
            raise UserError(
                f"{len(self.widths)} levels divide the image's sides by {self.downsampling}, which does not go into "
                f"{height}x{width}: set --data.image-size, or give another number of the network's widths"
            )
        return (height // self.downsampling, width // self.downsampling, latent)

    def encoder(self, features: int, classes: int = 0, dtype: str | None = None) -> nn.Module:
        return SpatialEncoder(self, features, classes, dtype)

    def decoder(self, image_shape: tuple[int, int, int], classes: int = 0, dtype: str | None = None) -> nn.Module:
        return SpatialDecoder(self, image_shape[-1], classes, dtype)


def groups_of(width: int) -> int:
    """Groups of a normalization of `width` channels: 32 as in the paper, fewer where a group has under 4 channels."""
    return math.gcd(32, width, max(width // 4, 1))


class GroupNorm(nn.Module):
    """Over the positions and channels of each group (Wu & He 2018, arXiv:1803.08494), statistics in float32."""

    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array) -> Array:
        groups = groups_of(x_BHWC.shape[-1])
        return norm.GroupNorm(groups, 1e-6, self.dtype, use_fast_variance=False, name="norm")(x_BHWC)


class ResidualBlock(nn.Module):
    """x + conv(swish(norm(conv(swish(norm(x)))))); a 1x1 convolution brings x to another width."""

    width: int
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array) -> Array:
        h = nn.silu(GroupNorm(self.dtype, name="norm1")(x_BHWC))
        h = nn.Conv(self.width, (3, 3), dtype=self.dtype, name="conv1")(h)
        h = nn.silu(GroupNorm(self.dtype, name="norm2")(h))
        h = nn.Conv(self.width, (3, 3), dtype=self.dtype, name="conv2")(h)
        if x_BHWC.shape[-1] != self.width:
            x_BHWC = nn.Conv(self.width, (1, 1), dtype=self.dtype, name="shortcut")(x_BHWC)
        return constrain(x_BHWC + h, BATCH, None, None, None)


class SelfAttention(nn.Module):
    """x + attention over all positions, with one head as wide as x: wider than flash kernels take, so XLA's."""

    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array) -> Array:
        b, h, w, c = x_BHWC.shape
        x_BTC = GroupNorm(self.dtype, name="norm")(x_BHWC).reshape(b, h * w, c)
        attend = Attend(1, layout="apart", dtype=self.dtype)
        nn.share_scope(self, attend)  # its projections stand beside the norm
        y_BTC, _ = attend(x_BTC)
        return x_BHWC + y_BTC.reshape(b, h, w, c)


class Middle(nn.Module):
    """Residual block, attention, residual block, at the resolution of the latent."""

    width: int
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array) -> Array:
        x = ResidualBlock(self.width, self.dtype, name="block_0")(x_BHWC)
        x = SelfAttention(self.dtype, name="attention")(x)
        return ResidualBlock(self.width, self.dtype, name="block_1")(x)


class SpatialEncoder(nn.Module):
    """(B, H, W, C), optionally (B,) labels as constant planes -> (B, H / f, W / f, features), f = 2 ** (levels - 1)."""

    config: SpatialAutoencoder
    features: int
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, label_B: Array | None = None) -> Array:
        x = with_label_planes(x_BHWC, label_B, self.classes)
        x = nn.Conv(self.config.widths[0], (3, 3), dtype=self.dtype, name="conv_in")(x)
        for level, width in enumerate(self.config.widths):
            if level:
                # Zeros are added at the bottom and on the right only, as the paper's code does.
                down = nn.Conv(x.shape[-1], (3, 3), 2, ((0, 1), (0, 1)), dtype=self.dtype, name=f"down_{level}")
                x = down(x)
            for block in range(self.config.blocks):
                x = ResidualBlock(width, self.dtype, name=f"level_{level}_block_{block}")(x)
        x = Middle(self.config.widths[-1], self.dtype, name="middle")(x)
        x = nn.silu(GroupNorm(self.dtype, name="norm_out")(x))
        x = nn.Conv(self.features, (3, 3), dtype=self.dtype, name="conv_out")(x)
        if self.config.latent_convs:  # "quant_conv" of the paper's code
            x = nn.Conv(self.features, (1, 1), dtype=self.dtype, name="quantize")(x)
        return x


class SpatialDecoder(nn.Module):
    """(B, h, w, Z), optionally (B,) labels as constant planes -> (B, f h, f w, channels), f = 2 ** (levels - 1)."""

    config: SpatialAutoencoder
    channels: int
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, z_BHWZ: Array, label_B: Array | None = None) -> Array:
        x = z_BHWZ
        if self.config.latent_convs:  # "post_quant_conv"
            x = nn.Conv(x.shape[-1], (1, 1), dtype=self.dtype, name="dequantize")(x)
        x = with_label_planes(x, label_B, self.classes)
        x = nn.Conv(self.config.widths[-1], (3, 3), dtype=self.dtype, name="conv_in")(x)
        x = Middle(self.config.widths[-1], self.dtype, name="middle")(x)
        for level in reversed(range(len(self.config.widths))):
            for block in range(self.config.blocks + 1):
                x = ResidualBlock(self.config.widths[level], self.dtype, name=f"level_{level}_block_{block}")(x)
            if level:
                x = EnlargedConv(x.shape[-1], dtype=self.dtype, name=f"up_{level}")(x)
        x = nn.silu(GroupNorm(self.dtype, name="norm_out")(x))
        return nn.Conv(self.channels, (3, 3), dtype=self.dtype, name="conv_out")(x)
