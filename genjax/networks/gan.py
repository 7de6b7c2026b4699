"""Generators and discriminators: DCGAN (Radford et al. 2015, arXiv:1511.06434) and fully connected.

A generator maps a latent (B, Z), and a label (B,) where it has classes, to images (B, H, W, C) in [-1, 1]; a
discriminator maps images to one float32 logit each, (B,). With features=True it returns (logit, features), the list of
its hidden layers' activations from the first to the last: what InfoGAN's Q or VAE-GAN's likelihood reads.

Class conditions follow the projection discriminator (Miyato & Koyama 2018, arXiv:1802.05637, equation 3):
the label's embedding is multiplied with the features, their mean over positions (the paper sums: too loud
where no spectral norm tames it), and added to the logit. In the generator the label's embedding is
concatenated to the latent; that paper uses conditional batch norm, which would tie labels to one
normalization.
"""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.nn.conv import Downsample, Upsample, crop_to
from genjax.nn.norm import Kind, Norm
from genjax.nn.sharding import BATCH, constrain
from genjax.registry import register

__all__ = [
    "DCGAN",
    "MLPGAN",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "GANConfig",
    "Judgement",
    "LabelledLatent",
    "MLPDiscriminator",
    "MLPGenerator",
    "Recognition",
]

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class GANConfig:
    """Base of the configurations: a GAN asks its networks for these members, and for no others."""

    @property
    def couples_batch(self) -> tuple[str, ...]:
        """The entries whose networks mix the examples of a batch, as batch normalization does."""
        return ()

    def generator(self, image_shape: tuple[int, int, int], classes: int = 0, dtype: str | None = None) -> nn.Module:
        """Called as (z (B, Z), label (B,) or None, train=...) -> images (B, H, W, C) float32 in [-1, 1]."""
        raise NotImplementedError

    def discriminator(self, classes: int = 0, dtype: str | None = None) -> nn.Module:
        """Called as (images (B, H, W, C), label (B,) or None, train=..., features=False) -> logits (B,) float32."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class _Pair(GANConfig):
    """A generator and a discriminator of one style, each with a width and a normalization; see the subclasses."""

    generator_width: int = 64  # channels at the finest level; features of a dense layer
    discriminator_width: int = 64  # likewise
    generator_norm: Kind = "batch"  # of each layer but the last
    discriminator_norm: Kind = "batch"  # never "batch" with a penalty on the gradient of an example

    def __post_init__(self):
        for name in ("generator_width", "discriminator_width"):
            if getattr(self, name) < 1:
                raise UsageError(f"{type(self).__name__}: {name} must be at least 1, not {getattr(self, name)}")

    @property
    def couples_batch(self) -> tuple[str, ...]:
        norms = {"generator": self.generator_norm, "discriminator": self.discriminator_norm}
        return tuple(entry for entry, norm in norms.items() if norm == "batch")


@register
@dataclasses.dataclass(frozen=True)
class DCGAN(_Pair):
    """Widths are channels: of the generator's last hidden layer and of the discriminator's first one, at the highest
    resolution. They double with each halving of it, up to eight times as many."""

    def generator(self, image_shape: tuple[int, int, int], classes: int = 0, dtype: str | None = None) -> nn.Module:
        return DCGANGenerator(self, image_shape, classes, dtype)

    def discriminator(self, classes: int = 0, dtype: str | None = None) -> nn.Module:
        return DCGANDiscriminator(self, classes, dtype)


@register
@dataclasses.dataclass(frozen=True)
class MLPGAN(_Pair):
    """Widths are the units of each of two hidden layers."""

    def generator(self, image_shape: tuple[int, int, int], classes: int = 0, dtype: str | None = None) -> nn.Module:
        return MLPGenerator(self, image_shape, classes, dtype)

    def discriminator(self, classes: int = 0, dtype: str | None = None) -> nn.Module:
        return MLPDiscriminator(self, classes, dtype)


def doublings(height: int, width: int) -> int:
    """How often the resolution doubles: from a grid of at least 4 pixels (2 for tiny images) to the image."""
    return max(2, int(math.log2(min(height, width) / 4)))


def initializers(norm: Kind) -> dict[str, nn.initializers.Initializer]:
    """DCGAN's N(0, 0.02) where batch norm restores the scale; LeCun's elsewhere."""
    kernel = nn.initializers.normal(0.02) if norm == "batch" else nn.initializers.lecun_normal()
    return {"kernel_init": kernel}


def scale_init(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    return 1.0 + 0.02 * jax.random.normal(key, shape, dtype)


class LabelledLatent(nn.Module):
    """(B, Z) -> (B, 2 Z): the latent, and the label's embedding, of length 1 at first.

    The gradient for the label is the same throughout a class and soon outgrows that for the latent:
    starting at the latent's own scale, DCGAN drew one image a class.
    """

    classes: int

    @nn.compact
    def __call__(self, z_BZ: Array, label_B: Array) -> Array:
        latent = z_BZ.shape[-1]
        embed = nn.Embed(self.classes, latent, embedding_init=nn.initializers.normal(latent**-0.5))
        return jnp.concatenate([z_BZ, embed(label_B)], axis=-1)


class Judgement(nn.Module):
    """Features (B, ..., F) -> logit (B,): linear; with classes, plus <label's embedding, mean features>."""

    classes: int
    norm: Kind
    dtype: str | None = None

    @nn.compact
    def __call__(self, h: Array, label_B: Array | None) -> Array:
        flat = h.reshape(h.shape[0], -1)
        logit = nn.Dense(1, dtype=self.dtype, **initializers(self.norm))(flat)[:, 0].astype(jnp.float32)
        if self.classes:
            pooled_BF = h.reshape(h.shape[0], -1, h.shape[-1]).mean(1).astype(jnp.float32)
            logit += (nn.Embed(self.classes, h.shape[-1])(label_B) * pooled_BF).sum(-1)
        return logit


class Recognition(nn.Module):
    """Features (B, ...) of a discriminator -> (B, outputs) float32: InfoGAN's Q (arXiv:1606.03657, appendix C.1)."""

    outputs: int
    norm: Kind
    dtype: str | None = None

    @nn.compact
    def __call__(self, h: Array, *, train: bool) -> Array:
        x = nn.Dense(128, dtype=self.dtype)(h.reshape(h.shape[0], -1))
        x = nn.leaky_relu(Norm(self.norm, self.dtype, scale_init)(x, train=train), 0.2)
        return nn.Dense(self.outputs, dtype=self.dtype)(x).astype(jnp.float32)


class DCGANGenerator(nn.Module):
    """A dense layer to a small grid, then up-sampling convolutions with ReLU; channels halve down to the width.

    Normalized everywhere but at the output, a tanh. Departures: up-sampling is convolution + depth-to-space
    (see nn.conv); a size that the grid does not double to exactly is cropped from the next one.
    """

    config: DCGAN
    image_shape: tuple[int, int, int]
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, z_BZ: Array, label_B: Array | None = None, *, train: bool) -> Array:
        height, width, channels = self.image_shape
        n, norm = doublings(height, width), self.config.generator_norm
        grid = (math.ceil(height / 2**n), math.ceil(width / 2**n))
        widths = [self.config.generator_width * min(2**i, 8) for i in reversed(range(n))]
        kwargs = dict(use_bias=norm == "none", dtype=self.dtype, **initializers(norm))

        def block_end(x):
            x = nn.relu(Norm(norm, self.dtype, scale_init)(x, train=train))
            return constrain(x, BATCH, None, None, None)

        z = LabelledLatent(self.classes)(z_BZ, label_B) if self.classes else z_BZ
        x = nn.Dense(math.prod(grid) * widths[0], **kwargs)(z)
        x = block_end(x.reshape(-1, *grid, widths[0]))
        for features in widths[1:]:
            x = block_end(Upsample(features, **kwargs)(x))
        x = Upsample(channels, **{**kwargs, "use_bias": True})(x)
        return jnp.tanh(crop_to(x, height, width).astype(jnp.float32))


class DCGANDiscriminator(nn.Module):
    """Strided 4x4 convolutions, all but the first normalized, leaky ReLU; channels double from the width."""

    config: DCGAN
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, label_B: Array | None = None, *, train: bool, features: bool = False):
        x, hidden = x_BHWC, []
        start = initializers(self.config.discriminator_norm)
        for i in range(doublings(*x_BHWC.shape[1:3])):
            norm = self.config.discriminator_norm if i > 0 else "none"
            width = self.config.discriminator_width * min(2**i, 8)
            x = Downsample(width, use_bias=norm == "none", dtype=self.dtype, **start)(x)
            x = nn.leaky_relu(Norm(norm, self.dtype, scale_init)(x, train=train), 0.2)
            hidden.append(x := constrain(x, BATCH, None, None, None))
        logit = Judgement(self.classes, self.config.discriminator_norm, self.dtype)(x, label_B)
        return (logit, hidden) if features else logit


class MLPGenerator(nn.Module):
    """Two hidden layers of ReLU units, normalized, and a tanh output."""

    config: MLPGAN
    image_shape: tuple[int, int, int]
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, z_BZ: Array, label_B: Array | None = None, *, train: bool) -> Array:
        x = LabelledLatent(self.classes)(z_BZ, label_B) if self.classes else z_BZ
        for _ in range(2):
            x = nn.Dense(self.config.generator_width, dtype=self.dtype)(x)
            x = constrain(nn.relu(Norm(self.config.generator_norm, self.dtype)(x, train=train)), BATCH, None)
        x = nn.Dense(math.prod(self.image_shape), dtype=self.dtype)(x).astype(jnp.float32)
        return jnp.tanh(x.reshape(-1, *self.image_shape))


class MLPDiscriminator(nn.Module):
    """Two hidden layers of leaky ReLU (0.2) units; the second is normalized."""

    config: MLPGAN
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, label_B: Array | None = None, *, train: bool, features: bool = False):
        x, hidden = x_BHWC.reshape(x_BHWC.shape[0], -1), []
        for norm in ("none", self.config.discriminator_norm):
            x = nn.Dense(self.config.discriminator_width, dtype=self.dtype)(x)
            x = nn.leaky_relu(Norm(norm, self.dtype)(x, train=train), 0.2)
            hidden.append(x := constrain(x, BATCH, None))
        logit = Judgement(self.classes, "none", self.dtype)(x, label_B)
        return (logit, hidden) if features else logit
