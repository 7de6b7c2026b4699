"""R3GAN's networks (Huang et al. 2024, arXiv:2501.05441, section 4): residual, grouped, and without normalization.

Both are stages of blocks, x + W3 leaky(W2 leaky(W1 x + b1) + b2), of kernels 1, 3 in groups, and 1. Stages are joined
by bilinear resampling and a 1x1 convolution where the width changes. Starts are those of fix-up: W3 at 0, W1 and W2
smaller the more blocks there are.
"""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.networks.gan import GANConfig
from genjax.nn.resample import conv, downsample, upsample
from genjax.nn.sharding import BATCH, constrain, platform
from genjax.registry import register

__all__ = ["R3GANConfig", "R3GANDiscriminator", "R3GANGenerator"]

Array = jax.Array
GAIN = math.sqrt(2 / (1 + 0.2**2))  # that leaky ReLU (0.2) takes from the standard deviation


@register
@dataclasses.dataclass(frozen=True)
class R3GANConfig(GANConfig):
    """Of each stage from the smallest grid to the image, whose sides are that of the grid times 2**(stages - 1)."""

    widths: tuple[int, ...] = (768, 768, 768, 768)  # the default is the paper's for CIFAR-10
    groups: tuple[int, ...] = (96, 96, 96, 96)
    blocks: int = 2  # of every stage
    expansion: int = 2  # channels within a block, in units of the width

    def __post_init__(self):
        if len(self.widths) != len(self.groups) or not self.widths or min(*self.widths, *self.groups, self.blocks) < 1:
            raise UsageError("R3GANConfig: widths and groups are positive, one for each stage, and there are blocks")
        for width, groups in zip(self.widths, self.groups):
            if width * self.expansion % groups:
                raise UsageError(f"R3GANConfig: {groups} groups do not divide {width * self.expansion} channels")

    def grid(self, side: int) -> int:
        """The side of the smallest grid. Raises UsageError where the stages do not lead from one to the image."""
        factor = 2 ** (len(self.widths) - 1)
        if side % factor or side // factor < 2:
            raise UsageError(
                f"R3GANConfig: {len(self.widths)} stages make images of a multiple of {factor} pixels, not of {side}: "
                "change model.network.widths and groups, or --data.image-size"
            )
        return side // factor

    def generator(self, image_shape: tuple[int, int, int], classes: int = 0, dtype: str | None = None) -> nn.Module:
        grids = tuple(self.grid(side) for side in image_shape[:2])
        return R3GANGenerator(self, grids, image_shape[-1], classes, dtype)

    def discriminator(self, classes: int = 0, dtype: str | None = None) -> nn.Module:
        return R3GANDiscriminator(self, classes, dtype)


def scaled(fan_in: int, gain: float = 1.0) -> nn.initializers.Initializer:
    return nn.initializers.normal(gain / math.sqrt(fan_in))


class Linear(nn.Module):
    """A convolution without bias, in groups."""

    features: int
    kernel: int = 1
    groups: int = 1
    gain: float = 1.0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (self.kernel, self.kernel, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", scaled(math.prod(shape[:3]), self.gain), shape)
        dtype = self.dtype or x.dtype
        x, kernel = x.astype(dtype), kernel.astype(dtype)
        if self.groups > 1 and platform() == "cpu":  # whose gradients of grouped convolutions are 20 times slower
            apart = zip(jnp.split(x, self.groups, axis=-1), jnp.split(kernel, self.groups, axis=-1))
            return jnp.concatenate([conv(*group) for group in apart], axis=-1)
        return conv(x, kernel, self.groups)


class Stage(nn.Module):
    """`config.blocks` residual blocks of a stage."""

    config: R3GANConfig
    number: int
    dtype: str | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        inner, groups = width * self.config.expansion, self.config.groups[self.number]
        gain = GAIN * (self.config.blocks * len(self.config.widths)) ** -0.25  # fix-up of three layers a block

        def biased(x: Array, name: str) -> Array:
            return nn.leaky_relu(x + self.param(name, nn.initializers.zeros, (inner,)).astype(x.dtype), 0.2)

        for i in range(self.config.blocks):
            y = Linear(inner, gain=gain, dtype=self.dtype, name=f"in_{i}")(x)
            y = Linear(inner, 3, groups, gain, self.dtype, name=f"grouped_{i}")(biased(y, f"bias_in_{i}"))
            x += Linear(width, gain=0.0, dtype=self.dtype, name=f"out_{i}")(biased(y, f"bias_grouped_{i}"))
        return constrain(x, BATCH, None, None, None)


class R3GANGenerator(nn.Module):
    """Latents (B, Z), with the label's embedding beside them -> images (B, H, W, C) float32, not squashed."""

    config: R3GANConfig
    grid: tuple[int, int]
    channels: int
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, z_BZ: Array, label_B: Array | None = None, *, train: bool = False) -> Array:
        widths, z = self.config.widths, z_BZ
        if self.classes:
            embed = nn.Embed(self.classes, z.shape[-1], embedding_init=scaled(self.classes), name="embed")
            z = jnp.concatenate([z, embed(label_B)], axis=-1)
        basis = self.param("basis", nn.initializers.normal(1.0), (*self.grid, widths[0]))
        weight = nn.Dense(widths[0], use_bias=False, kernel_init=scaled(z.shape[-1]), name="latent")(z)
        x = (basis * weight[:, None, None]).astype(self.dtype or jnp.float32)
        for i, width in enumerate(widths):
            if i > 0:
                x = Linear(width, dtype=self.dtype, name=f"to_{i}")(x) if width != widths[i - 1] else x
                x = upsample(x)
            x = Stage(self.config, i, self.dtype, name=f"stage_{i}")(x)
        return Linear(self.channels, dtype=self.dtype, name="image")(x).astype(jnp.float32)


class R3GANDiscriminator(nn.Module):
    """Images (B, H, W, C) -> logits (B,) float32: the generator's stages backwards; (logits, features) if asked."""

    config: R3GANConfig
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, label_B: Array | None = None, *, train: bool = False, features: bool = False):
        widths, hidden = self.config.widths, []
        x = Linear(widths[-1], dtype=self.dtype, name="image")(x_BHWC)
        for i in reversed(range(len(widths))):
            hidden.append(x := Stage(self.config, i, self.dtype, name=f"stage_{i}")(x))
            if i > 0:
                x = downsample(x)
                x = Linear(widths[i - 1], dtype=self.dtype, name=f"to_{i - 1}")(x) if widths[i - 1] != widths[i] else x
        x = x.astype(jnp.float32)
        positions = x.shape[1] * x.shape[2]
        x = (x * self.param("basis", scaled(positions), x.shape[1:])).sum((1, 2))  # a grouped convolution of all
        outputs = widths[0] if self.classes else 1
        x = nn.Dense(outputs, use_bias=False, kernel_init=scaled(widths[0]), name="logit")(x)
        if self.classes:
            start = scaled(self.classes, 1 / math.sqrt(outputs))
            x *= nn.Embed(self.classes, outputs, embedding_init=start, name="embed")(label_B)
        return (x.sum(-1), hidden) if features else x.sum(-1)
