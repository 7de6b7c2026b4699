"""The smallest network of a first stage: what its systems do is tested without SpatialAutoencoder's many blocks."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp

from genjax.networks.autoencoder import AutoencoderConfig, with_label_planes
from genjax.registry import register


@register
@dataclasses.dataclass(frozen=True)
class Halving(AutoencoderConfig):
    """One hidden convolution on each side of z, which has the shape (H / 2, W / 2, latent)."""

    width: int = 8

    last_kernel: ClassVar = ("conv_out", "kernel")

    def latent_shape(self, image_shape, latent):
        return (image_shape[0] // 2, image_shape[1] // 2, latent)

    def encoder(self, features, classes=0, dtype=None):
        return Encoder(self.width, features, classes, dtype)

    def decoder(self, image_shape, classes=0, dtype=None):
        return Decoder(self.width, image_shape[-1], classes, dtype)


class Encoder(nn.Module):
    """(B, H, W, C), optionally (B,) labels -> (B, H / 2, W / 2, features)."""

    width: int
    features: int
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC, label_B=None):
        x = with_label_planes(x_BHWC, label_B, self.classes)
        x = nn.silu(nn.Conv(self.width, (3, 3), 2, dtype=self.dtype, name="conv_in")(x))
        return nn.Conv(self.features, (1, 1), dtype=self.dtype)(x)


class Decoder(nn.Module):
    """(B, h, w, Z), optionally (B,) labels -> (B, 2 h, 2 w, channels)."""

    width: int
    channels: int
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, z_BHWZ, label_B=None):
        x = with_label_planes(z_BHWZ, label_B, self.classes)
        x = nn.Conv(self.width, (3, 3), dtype=self.dtype, name="conv_in")(x)
        x = jnp.repeat(jnp.repeat(nn.silu(x), 2, axis=1), 2, axis=2)
        return nn.Conv(self.channels, (3, 3), dtype=self.dtype, name="conv_out")(x)
