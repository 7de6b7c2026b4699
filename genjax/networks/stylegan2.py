"""StyleGAN2's networks (Karras et al. 2020, arXiv:1912.04958): the configuration and the synthesis.

Latents z (B, Z) become styles w (B, W), and these, one for each layer (B, L, W), an image. Images are squares of any
side that halves down to a grid of 4 to 7 pixels.
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.networks.stylegan2_discriminator import StyleDiscriminator
from genjax.networks.stylegan2_mapping import Mapping
from genjax.nn.equalized import EqualConv, ModulatedConv, activate
from genjax.nn.resample import upsample
from genjax.nn.sharding import BATCH, constrain
from genjax.registry import register

__all__ = ["StyleGAN2Config", "Synthesis"]

Array = jax.Array


@register
@dataclasses.dataclass(frozen=True)
class StyleGAN2Config:
    """The paper's networks (configuration F). A layer at resolution r has min(channels / r, most_channels) of them."""

    latent: int = 512  # size of z
    style: int = 512  # size of w
    mapping_layers: int = 8  # from z to w
    label_layers: int = 8  # of the mapping of a label, in a conditional discriminator
    mapping_rate: float = 0.01  # factor of the mapping's learning rate
    channels: int = 32768  # of the layer at resolution 1, were there one
    most_channels: int = 512  # of any layer
    generator: Literal["skip", "residual"] = "skip"  # images add up over resolutions, or features do
    discriminator: Literal["residual", "skip", "plain"] = "residual"  # likewise
    group: int = 4  # images whose standard deviation the discriminator sees; 1 = off. The batch's size must allow it
    noise: bool = True  # added after every convolution of the generator

    def __post_init__(self):
        numbers = ("latent", "style", "mapping_layers", "label_layers", "channels", "most_channels", "group")
        for name in numbers:
            if getattr(self, name) < 1:
                raise UsageError(f"StyleGAN2Config: {name} must be at least 1, not {getattr(self, name)}")

    def resolutions(self, side: int) -> tuple[int, ...]:
        """From the smallest grid to the image. Raises UsageError for a side that does not halve down to one."""
        sides = [side]
        while sides[-1] % 2 == 0 and sides[-1] >= 8:
            sides.append(sides[-1] // 2)
        if len(sides) < 2 or not 4 <= sides[-1] < 8:
            raise UsageError(
                f"StyleGAN2 doubles a grid of 4 to 7 pixels, which does not lead to a side of {side}: "
                f"set --data.image-size {max(8, 2 ** (side.bit_length() - 1))}"
            )
        return tuple(reversed(sides))

    def width(self, resolution: int) -> int:
        """Channels of the layers at this resolution."""
        return max(1, min(self.channels // resolution, self.most_channels))

    def styles(self, side: int) -> int:
        """L, the number of styles an image takes."""
        return 2 * len(self.resolutions(side))

    def noises(self, side: int) -> tuple[int, ...]:
        """The sides of the noise inputs, one a convolution; none where noise is off."""
        first, *rest = self.resolutions(side)
        return (first, *(r for r in rest for _ in range(2))) if self.noise else ()

    def networks(self, image_shape: tuple[int, int, int], classes: int, dtype: str | None) -> dict[str, nn.Module]:
        """By entry: "mapping", "synthesis" and "discriminator". Raises UsageError for images that it cannot make."""
        height, width, channels = image_shape
        if height != width:
            raise UsageError(f"StyleGAN2 makes squares, not images of {height} x {width}: set --data.image-size")
        sides = self.resolutions(height)
        return {
            "mapping": Mapping(self.style, self.mapping_layers, self.mapping_rate, classes),
            "synthesis": Synthesis(self, sides, channels, dtype),
            "discriminator": StyleDiscriminator(self, sides, classes, dtype),
        }


class Synthesis(nn.Module):
    """Styles (B, L, W) and noise, tuple of (B, r, r, 1) by convolution, () for none -> images (B, S, S, C) float32."""

    config: StyleGAN2Config
    sides: tuple[int, ...]
    channels: int
    dtype: str | None = None

    @nn.compact
    def __call__(self, w_BLW: Array, noise: tuple[Array, ...] = ()) -> Array:
        skip, image, number = self.config.generator == "skip", None, 0
        width, first = self.config.width(self.sides[0]), self.sides[0]
        start = self.param("start", nn.initializers.normal(1.0), (first, first, width))
        x = jnp.broadcast_to(start, (len(w_BLW), *start.shape)).astype(self.dtype or jnp.float32)

        def layer(x: Array, up: bool = False, gain: float = 1.0) -> Array:
            nonlocal number
            name, added = f"conv_{number}", noise[number] if noise else None
            x = StyledConv(width, up, gain, self.config.noise, self.dtype, name=name)(x, w_BLW[:, number], added)
            number += 1
            return x

        for i, side in enumerate(self.sides):
            width = self.config.width(side)
            if i == 0:
                x = layer(x)
            elif skip:
                x = layer(layer(x, up=True))
            else:
                gain = 0.5**0.5
                skipped = EqualConv(width, 1, up=True, use_bias=False, gain=gain, dtype=self.dtype, name=f"skip_{i}")(x)
                x = layer(layer(x, up=True), gain=gain) + skipped
            x = constrain(x, BATCH, None, None, None)
            if skip or side == self.sides[-1]:
                rgb = ModulatedConv(self.channels, 1, demodulate=False, dtype=self.dtype, name=f"image_{i}")
                bias = self.param(f"image_bias_{i}", nn.initializers.zeros, (self.channels,))
                shown = rgb(x, w_BLW[:, number]).astype(jnp.float32) + bias
                image = shown if image is None else upsample(image) + shown
        return image


class StyledConv(nn.Module):
    """A modulated 3x3 convolution, noise times a learned strength, bias and activation."""

    features: int
    up: bool
    gain: float
    noisy: bool
    dtype: str | None

    @nn.compact
    def __call__(self, x: Array, w_BW: Array, noise_BHW1: Array | None) -> Array:
        x = ModulatedConv(self.features, up=self.up, dtype=self.dtype, name="modulated")(x, w_BW)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if self.noisy:
            strength = self.param("noise", nn.initializers.zeros, ())
            x += 0 if noise_BHW1 is None else (noise_BHW1 * strength).astype(x.dtype)
        return activate(x + bias.astype(x.dtype), self.gain)
