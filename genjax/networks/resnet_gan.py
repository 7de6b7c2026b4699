"""Residual generators and discriminators: those of WGAN-GP, SNGAN, the projection discriminator and BigGAN.

Blocks are those of Miyato et al. 2018 (arXiv:1802.05957, appendix B.4): two 3x3 convolutions, and a 1x1 one on the skip
where resolution or width change. The generator doubles the resolution in every block, the discriminator halves it in
its first ones.

A condition of the generator scales and shifts after each batch norm (de Vries et al. 2017, arXiv:1707.00683). It is the
label's own scales and shifts (Miyato & Koyama 2018, arXiv:1802.05637), or BigGAN's (Brock et al. 2018,
arXiv:1809.11096, appendix B): linear in an embedding that all norms share, beside a piece of the latent of their own.
The discriminator projects: the label's embedding times the features, added to the logit (equation 3 of the former).
Self-attention is that of SAGAN (Zhang et al. 2018, arXiv:1805.08318), as BigGAN's code has it.
"""

import dataclasses
import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.networks.gan import GANConfig
from genjax.nn.attention import attention_weights
from genjax.nn.dense import Dense
from genjax.nn.norm import Norm
from genjax.nn.residual import conv, enlarge, shrink
from genjax.nn.sharding import BATCH, constrain
from genjax.registry import register

__all__ = ["ResNetDiscriminator", "ResNetGAN", "ResNetGenerator"]

Array = jax.Array
Init = nn.initializers.Initializer


@register
@dataclasses.dataclass(frozen=True)
class ResNetGAN(GANConfig):
    """The defaults are SNGAN's for CIFAR-10. BigGAN has `shared`, `hierarchical`, `attention` and "orthogonal" as well.

    Attributes:
      generator_widths: channels of the smallest grid, then after each block, whose grid is twice as large.
      discriminator_widths: channels after each block.
      halvings: how many of the discriminator's blocks, its first, halve the resolution.
      attention: heights in pixels at which both networks attend, after the block that first has this height.
      shared: size of the label's embedding that all norms of the generator share; 0 = a table of labels for each norm.
      hierarchical: the latent is cut into equal pieces: one for the smallest grid, one for each block's norms.
      init: "glorot", of twice the variance in the blocks' 3x3 convolutions, or "orthogonal".
    """

    generator_widths: tuple[int, ...] = (256, 256, 256, 256)
    discriminator_widths: tuple[int, ...] = (128, 128, 128, 128)
    halvings: int = 2
    attention: tuple[int, ...] = ()
    shared: int = 0
    hierarchical: bool = False
    init: Literal["glorot", "orthogonal"] = "glorot"

    def __post_init__(self):
        if len(self.generator_widths) < 2 or min(*self.generator_widths, *self.discriminator_widths, 1) < 1:
            raise UsageError("ResNetGAN: widths are positive, and generator_widths has one for the grid and the blocks")
        if not 0 <= self.halvings <= len(self.discriminator_widths) or not self.discriminator_widths:
            raise UsageError(f"ResNetGAN: halvings is 0 to {len(self.discriminator_widths)}, not {self.halvings}")
        if self.shared < 0:
            raise UsageError(f"ResNetGAN: shared must not be negative, not {self.shared}")

    @property
    def couples_batch(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def blocks(self) -> int:
        """Of the generator."""
        return len(self.generator_widths) - 1

    def initializer(self, scale: float = 1.0) -> Init:
        """Of a kernel; `scale` multiplies Glorot's variance."""
        if self.init == "orthogonal":
            return nn.initializers.orthogonal()
        return nn.initializers.variance_scaling(scale, "fan_avg", "uniform")

    def generator(self, image_shape: tuple[int, int, int], classes: int = 0, dtype: str | None = None) -> nn.Module:
        """Raises UsageError where the blocks do not double to the image, or nothing attends at a height asked for."""
        height, width, channels = image_shape
        factor = 2**self.blocks
        if height % factor or width % factor:
            raise UsageError(
                f"ResNetGAN: {self.blocks} blocks make images of a multiple of {factor} pixels, not of {height}x{width}"
                ": change model.network.generator_widths, or --data.image-size"
            )
        heights = [height // 2**i for i in range(1, min(self.blocks - 1, self.halvings) + 1)]
        if missing := set(self.attention) - set(heights):
            raise UsageError(
                f"ResNetGAN: attention at heights {sorted(missing)}: blocks of both networks lead to the heights "
                f"{heights}: change model.network.attention"
            )
        return ResNetGenerator(self, (height // factor, width // factor), channels, classes, dtype)

    def discriminator(self, classes: int = 0, dtype: str | None = None) -> nn.Module:
        return ResNetDiscriminator(self, classes, dtype)


class ConditionalNorm(nn.Module):
    """Batch norm, times 1 + gain, plus bias: of labels (B,) or vectors (B, E), or the same for all where it is None.

    Labels start with gain and bias 0, and vectors with `init`.
    """

    classes: int
    init: Init
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, condition: Array | None, *, train: bool) -> Array:
        x_BHWC = Norm("batch", self.dtype, affine=condition is None)(x_BHWC, train=train)
        if condition is None:
            return x_BHWC

        def project(name: str) -> Array:
            channels = x_BHWC.shape[-1]
            if condition.ndim == 1:
                table = nn.Embed(self.classes, channels, self.dtype, embedding_init=nn.initializers.zeros, name=name)
                return table(condition)[:, None, None]
            dense = nn.Dense(channels, use_bias=False, kernel_init=self.init, dtype=self.dtype, name=name)
            return dense(condition)[:, None, None]

        return x_BHWC * (1 + project("gain")) + project("bias")


class SelfAttention(nn.Module):
    """x + gamma o(softmax(q k') v): keys and values are the largest of 2x2 pixels, and gamma starts at 0."""

    init: Init
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array) -> Array:
        b, h, w, channels = x_BHWC.shape

        def project(name: str, features: int, pool: bool) -> Array:
            y = Dense(features, use_bias=False, kernel_init=self.init, dtype=self.dtype, name=name)(x_BHWC)
            y = nn.max_pool(y, (2, 2), (2, 2)) if pool else y
            return y.reshape(b, -1, features)

        narrow = max(channels // 8, 1)
        q_BTC, k_BSC = project("query", narrow, False), project("key", narrow, True)
        v_BSC = project("value", max(channels // 2, 1), True)
        weights_BTS = attention_weights(q_BTC[:, :, None], k_BSC[:, :, None], scale=1.0)[:, 0]
        y_BTC = jnp.einsum("bts,bsc->btc", weights_BTS.astype(v_BSC.dtype), v_BSC)
        y_BTC = Dense(channels, use_bias=False, kernel_init=self.init, dtype=self.dtype, name="out")(y_BTC)
        gamma = self.param("gamma", nn.initializers.zeros, ()).astype(y_BTC.dtype)
        return x_BHWC + gamma * y_BTC.reshape(b, h, w, channels)


class ResNetGenerator(nn.Module):
    """Latents (B, Z) -> images (B, H, W, C) float32 in [-1, 1].

    Departure: the blocks have no biases, as the next batch norm takes each of them away.
    """

    config: ResNetGAN
    grid: tuple[int, int]
    channels: int
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, z_BZ: Array, label_B: Array | None = None, *, train: bool) -> Array:
        config, dtype, init = self.config, self.dtype, self.config.initializer()
        z_BZ, conditions = self._conditions(z_BZ, label_B)
        first = config.generator_widths[0]
        x = Dense(math.prod(self.grid) * first, kernel_init=init, dtype=dtype, name="grid")(z_BZ)
        x = x.reshape(-1, *self.grid, first)
        for i, (width, condition) in enumerate(zip(config.generator_widths[1:], conditions)):
            options = dict(use_bias=False, dtype=dtype)
            skip = enlarge(Dense(width, kernel_init=init, name=f"skip_{i}", **options)(x))
            for j in (1, 2):
                norm = ConditionalNorm(self.classes, init, dtype, name=f"norm_{i}_{j}")
                x = nn.relu(norm(x, condition, train=train))
                x = enlarge(x) if j == 1 else x
                x = nn.Conv(width, (3, 3), kernel_init=config.initializer(2.0), name=f"conv_{i}_{j}", **options)(x)
            x = constrain(skip + x, BATCH, None, None, None)
            if x.shape[1] in config.attention:
                x = SelfAttention(init, dtype, name=f"attention_{i}")(x)
        x = nn.relu(Norm("batch", dtype, name="norm")(x, train=train))
        return jnp.tanh(conv(self.channels, dtype, "image", init=init)(x).astype(jnp.float32))

    def _conditions(self, z_BZ: Array, label_B: Array | None) -> tuple[Array, list[Array | None]]:
        """The latent of the smallest grid, and the condition of each block."""
        config, pieces, label = self.config, self.config.blocks + 1, label_B if self.classes else None
        if label is not None and config.shared:
            label = nn.Embed(self.classes, config.shared, embedding_init=config.initializer(), name="shared")(label)
        if not config.hierarchical:
            return z_BZ, [label] * config.blocks
        if z_BZ.shape[-1] % pieces:
            raise UsageError(
                f"ResNetGAN: a latent of {z_BZ.shape[-1]} numbers is not {pieces} equal pieces: change model.latent"
            )
        first_BP, *rest = jnp.split(z_BZ, pieces, axis=-1)
        if label is None:
            return first_BP, rest
        label_BE = label if config.shared else jax.nn.one_hot(label, self.classes)
        return first_BP, [jnp.concatenate([label_BE, piece_BP], axis=-1) for piece_BP in rest]


class ResNetDiscriminator(nn.Module):
    """Images (B, H, W, C) -> logits (B,) float32: features summed over positions; (logits, features) if asked."""

    config: ResNetGAN
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, label_B: Array | None = None, *, train: bool, features: bool = False):
        config, dtype, init, x, hidden = self.config, self.dtype, self.config.initializer(), x_BHWC, []
        for i, width in enumerate(config.discriminator_widths):
            halve = i < config.halvings
            skip = shrink(x) if halve else x
            if halve or x.shape[-1] != width:
                skip = Dense(width, kernel_init=init, dtype=dtype, name=f"skip_{i}")(skip)
            for j in (1, 2):
                x = nn.relu(x) if i or j == 2 else x
                x = conv(width, dtype, f"conv_{i}_{j}", init=config.initializer(2.0))(x)
            x = constrain(skip + (shrink(x) if halve else x), BATCH, None, None, None)
            if halve and x.shape[1] in config.attention:
                x = SelfAttention(init, dtype, name=f"attention_{i}")(x)
            hidden.append(x)
        pooled_BF = nn.relu(x).astype(jnp.float32).sum((1, 2))
        logit_B = nn.Dense(1, kernel_init=init, name="logit")(pooled_BF)[:, 0]
        if self.classes:
            embed = nn.Embed(self.classes, pooled_BF.shape[-1], embedding_init=init, name="embed")
            logit_B += (embed(label_B) * pooled_BF).sum(-1)
        return (logit_B, hidden) if features else logit_B
