"""Encoders from an image to features and decoders back: dense, or convolutional with halved resolutions."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nn.conv import Downsample, Upsample, crop_to
from genjax.nn.sharding import BATCH, constrain

Array = jax.Array


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

    widths: tuple[int, ...]
    features: int
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, label_B: Array | None = None) -> Array:
        x = x_BHWC.reshape(x_BHWC.shape[0], -1)
        if label_B is not None:
            x = jnp.concatenate([x, one_hot(label_B, self.classes, x)], axis=-1)
        for width in self.widths:
            x = nn.gelu(nn.Dense(width, dtype=self.dtype)(x))
        return nn.Dense(self.features, dtype=self.dtype)(x)


class DenseDecoder(nn.Module):
    """(B, features), optionally (B,) labels -> (B, H, W, C)."""

    widths: tuple[int, ...]  # as the encoder's: used from last to first
    image_shape: tuple[int, int, int]
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, z_BF: Array, label_B: Array | None = None) -> Array:
        x = z_BF
        if label_B is not None:
            x = jnp.concatenate([x, one_hot(label_B, self.classes, x)], axis=-1)
        for width in reversed(self.widths):
            x = nn.gelu(nn.Dense(width, dtype=self.dtype)(x))
        x = nn.Dense(math.prod(self.image_shape), dtype=self.dtype)(x)
        return x.reshape(-1, *self.image_shape)


class ConvEncoder(nn.Module):
    """(B, H, W, C), optionally (B,) labels as constant planes -> (B, features). Each width halves the resolution."""

    widths: tuple[int, ...]
    features: int
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, label_B: Array | None = None) -> Array:
        x = with_label_planes(x_BHWC, label_B, self.classes)
        for width in self.widths:
            x = constrain(nn.gelu(Downsample(width, dtype=self.dtype)(x)), BATCH, None, None, None)
        return nn.Dense(self.features, dtype=self.dtype)(x.reshape(x.shape[0], -1))


class ConvDecoder(nn.Module):
    """(B, features), optionally (B,) labels -> (B, H, W, C). Doubles the resolution once for each width."""

    widths: tuple[int, ...]  # as the encoder's: used from last to first
    image_shape: tuple[int, int, int]
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, z_BF: Array, label_B: Array | None = None) -> Array:
        height, width, channels = self.image_shape
        scale = 2 ** len(self.widths)
        grid = (math.ceil(height / scale), math.ceil(width / scale), self.widths[-1])
        x = z_BF
        if label_B is not None:
            x = jnp.concatenate([x, one_hot(label_B, self.classes, x)], axis=-1)
        x = nn.gelu(nn.Dense(math.prod(grid), dtype=self.dtype)(x)).reshape(-1, *grid)
        for features in reversed(self.widths[:-1]):
            x = nn.gelu(Upsample(features, dtype=self.dtype)(x))
            conv = nn.Conv(features, (3, 3), dtype=self.dtype)
            x = constrain(nn.gelu(conv(x)), BATCH, None, None, None)
        # No convolution at full resolution, where it would cost four times as much as at half.
        return crop_to(Upsample(channels, dtype=self.dtype)(x), height, width)
