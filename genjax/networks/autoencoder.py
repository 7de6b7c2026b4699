"""Networks of a VAE: an encoder from an image to features, and a decoder back; dense, or convolutional."""

import dataclasses
import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.nn.conv import Downsample, Upsample, crop_to
from genjax.nn.sharding import BATCH, constrain
from genjax.registry import register

__all__ = [
    "AutoencoderConfig",
    "ConvAutoencoder",
    "ConvDecoder",
    "ConvEncoder",
    "DenseAutoencoder",
    "DenseDecoder",
    "DenseEncoder",
    "require_widths",
    "with_label_planes",
]

Array = jax.Array
Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig:
    """Base of the configurations: a VAE asks its network for these members, and for no others.

    The modules take labels (B,) int32 where `classes` is not 0, and compute in `dtype`.

    Attributes:
      last_kernel: path of the last layer's kernel in the decoder; () where it has none of its own.
    """

    last_kernel: ClassVar[tuple[str, ...]] = ()

    def latent_shape(self, image_shape: tuple[int, int, int], latent: int) -> Shape:
        """The shape of one example's z: (latent,), or (h, w, latent) where z keeps the picture's layout.

        Raises:
          UserError: images of this shape cannot be encoded.
        """
        return (latent,)

    def encoder(self, features: int, classes: int = 0, dtype: str | None = None) -> nn.Module:
        """(B, H, W, C), optionally (B,) labels -> `latent_shape` with `features` in place of `latent`."""
        raise NotImplementedError

    def decoder(self, image_shape: tuple[int, int, int], classes: int = 0, dtype: str | None = None) -> nn.Module:
        """(B, *latent_shape), optionally (B,) labels -> (B, H, W, C)."""
        raise NotImplementedError


def require_widths(config: AutoencoderConfig) -> None:
    """Raises UsageError where the network has no widths, or one below 1."""
    if not config.widths or min(config.widths) < 1:
        raise UsageError(f"{type(config).__name__}: widths {config.widths} must be one positive number or more")


@register
@dataclasses.dataclass(frozen=True)
class DenseAutoencoder(AutoencoderConfig):
    """Fully connected."""

    widths: tuple[int, ...] = (512, 256)  # hidden layers of the encoder; the decoder has them from last to first

    def __post_init__(self):
        require_widths(self)

    def encoder(self, features: int, classes: int = 0, dtype: str | None = None) -> nn.Module:
        return DenseEncoder(self, features, classes, dtype)

    def decoder(self, image_shape: tuple[int, int, int], classes: int = 0, dtype: str | None = None) -> nn.Module:
        return DenseDecoder(self, image_shape, classes, dtype)


@register
@dataclasses.dataclass(frozen=True)
class ConvAutoencoder(AutoencoderConfig):
    """Convolutional, with a dense layer between the smallest grid and z."""

    widths: tuple[int, ...] = (
        32,
        64,
    )  # channels; each halves the resolution, the decoder doubles it from last to first

    def __post_init__(self):
        require_widths(self)

    def encoder(self, features: int, classes: int = 0, dtype: str | None = None) -> nn.Module:
        return ConvEncoder(self, features, classes, dtype)

    def decoder(self, image_shape: tuple[int, int, int], classes: int = 0, dtype: str | None = None) -> nn.Module:
        return ConvDecoder(self, image_shape, classes, dtype)


def one_hot(label_B: Array, classes: int, like: Array) -> Array:
    """(B, classes), in the dtype of `like`."""
    return jax.nn.one_hot(label_B, classes, dtype=like.dtype)


def with_label_planes(x_BHWC: Array, label_B: Array | None, classes: int) -> Array:
    """The image with `classes` more channels, constant planes that spell the label; as it is without a label."""
    if label_B is None:
        return x_BHWC
    planes = jnp.broadcast_to(one_hot(label_B, classes, x_BHWC)[:, None, None, :], (*x_BHWC.shape[:3], classes))
    return jnp.concatenate([x_BHWC, planes], axis=-1)


class DenseEncoder(nn.Module):
    """(B, H, W, C), optionally (B,) labels -> (B, features)."""

    config: DenseAutoencoder
    features: int
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, label_B: Array | None = None) -> Array:
        x = x_BHWC.reshape(x_BHWC.shape[0], -1)
        if label_B is not None:
            x = jnp.concatenate([x, one_hot(label_B, self.classes, x)], axis=-1)
        for width in self.config.widths:
            x = nn.gelu(nn.Dense(width, dtype=self.dtype)(x))
        return nn.Dense(self.features, dtype=self.dtype)(x)


class DenseDecoder(nn.Module):
    """(B, features), optionally (B,) labels -> (B, H, W, C)."""

    config: DenseAutoencoder
    image_shape: tuple[int, int, int]
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, z_BF: Array, label_B: Array | None = None) -> Array:
        x = z_BF
        if label_B is not None:
            x = jnp.concatenate([x, one_hot(label_B, self.classes, x)], axis=-1)
        for width in reversed(self.config.widths):
            x = nn.gelu(nn.Dense(width, dtype=self.dtype)(x))
        x = nn.Dense(math.prod(self.image_shape), dtype=self.dtype)(x)
        return x.reshape(-1, *self.image_shape)


class ConvEncoder(nn.Module):
    """(B, H, W, C), optionally (B,) labels as constant planes -> (B, features). Each width halves the resolution."""

    config: ConvAutoencoder
    features: int
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, label_B: Array | None = None) -> Array:
        x = with_label_planes(x_BHWC, label_B, self.classes)
        for width in self.config.widths:
            x = constrain(nn.gelu(Downsample(width, dtype=self.dtype)(x)), BATCH, None, None, None)
        return nn.Dense(self.features, dtype=self.dtype)(x.reshape(x.shape[0], -1))


class ConvDecoder(nn.Module):
    """(B, features), optionally (B,) labels -> (B, H, W, C). Doubles the resolution once for each width."""

    config: ConvAutoencoder
    image_shape: tuple[int, int, int]
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, z_BF: Array, label_B: Array | None = None) -> Array:
        height, width, channels = self.image_shape
        scale = 2 ** len(self.config.widths)
        grid = (math.ceil(height / scale), math.ceil(width / scale), self.config.widths[-1])
        x = z_BF
        if label_B is not None:
            x = jnp.concatenate([x, one_hot(label_B, self.classes, x)], axis=-1)
        x = nn.gelu(nn.Dense(math.prod(grid), dtype=self.dtype)(x)).reshape(-1, *grid)
        for features in reversed(self.config.widths[:-1]):
            x = nn.gelu(Upsample(features, dtype=self.dtype)(x))
            conv = nn.Conv(features, (3, 3), dtype=self.dtype)
            x = constrain(nn.gelu(conv(x)), BATCH, None, None, None)
        # No convolution at full resolution, where it would cost four times as much as at half.
        return crop_to(Upsample(channels, dtype=self.dtype)(x), height, width)
