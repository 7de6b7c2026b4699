"""The U-Net of diffusion models: DDPM's (Ho et al. 2020, arXiv:2006.11239) and ADM's (Dhariwal & Nichol 2021,
arXiv:2105.05233). One class, as ADM's differs from DDPM's by four of its fields.

Shapes: B batch, H height, W width, C channels, E features of the condition.
"""

import dataclasses
import math
from typing import ClassVar, Self

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.networks.base import Denoiser, Text, require_heights
from genjax.nn.attention import Implementation
from genjax.nn.conv import EnlargedConv, depth_to_space, space_to_depth
from genjax.nn.dense import Dense
from genjax.nn.embedding import sinusoids
from genjax.nn.residual import INIT, AttentionBlock, ResBlock, Style, conv, norm
from genjax.registry import register

__all__ = ["UNet", "UNetConfig"]

Array = jax.Array


@register
@dataclasses.dataclass(frozen=True)
class UNetConfig(Denoiser):
    """The U-Net of DDPM (by default, for CIFAR-10) and, with scale_shift and resample_blocks, of ADM.

    ADM for ImageNet at 64 x 64: channels=192, multipliers=(1, 2, 3, 4), blocks=3, attention=(32, 16, 8), dropout=0.1,
    head_channels=64, scale_shift=True, resample_blocks=True. Patches are those of Luhman & Luhman 2022
    (arXiv:2207.04316): with twice the side a layer costs a quarter, so that it can be twice as wide.
    """

    channels: int = 128  # at full resolution
    multipliers: tuple[int, ...] = (1, 2, 2, 2)  # of the channels, by level; each level halves the resolution
    blocks: int = 2  # residual blocks a level
    attention: tuple[int, ...] = (16,)  # resolutions (pixels) with self-attention
    heads: int = 1  # of attention
    head_channels: int | None = None  # instead of heads
    dropout: float = 0.0  # share of features left out in training
    epsilon: float = 1e-5  # of the group norms: ADM's, as PyTorch's; TensorFlow's, and so DDPM's, is 1e-6
    ddpm_sinusoids: bool = False  # the noise level is embedded as in DDPM's code, not ADM's
    scale_shift: bool = False  # the noise level scales and shifts the normalized activations, instead of being added
    resample_blocks: bool = False  # resolution changes within residual blocks
    patch: int = 1  # side of the squares of pixels that full resolution takes as one; then `attention` counts squares
    attention_implementation: Implementation = "auto"  # auto: "xla"

    reads: ClassVar = True

    def __post_init__(self):
        if min(self.channels, self.blocks, self.heads, self.patch, *self.multipliers) < 1 or not self.multipliers:
            raise UsageError("UNetConfig: channels, multipliers, blocks, heads and patch must be positive")
        if self.head_channels is not None and self.head_channels < 1:
            raise UsageError(f"UNetConfig: head_channels {self.head_channels} must be positive")
        if not (0 <= self.dropout < 1 and self.epsilon > 0):
            raise UsageError(
                f"UNetConfig: dropout {self.dropout} must be in [0, 1), and epsilon {self.epsilon} positive"
            )

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises UsageError where patches do not divide images of this shape (H, W, C), where these are too small for
        the levels, where no level has an attention height, or where heads do not divide the channels that attend."""
        if shape[0] % self.patch or shape[1] % self.patch:
            raise UsageError(f"--model.network.patch {self.patch} does not divide {shape[0]} x {shape[1]} pixels")
        if min(shape[:2]) // self.patch < 2 ** (len(self.multipliers) - 1):
            raise UsageError(
                f"a U-Net of {len(self.multipliers)} levels halves {shape[0]} x {shape[1]} pixels away: "
                "give fewer --model.network.multipliers"
            )
        heights = [math.ceil(shape[0] // self.patch / 2**level) for level in range(len(self.multipliers))]
        require_heights(self.attention, heights)
        for height, multiplier in zip(heights, self.multipliers):
            features = int(multiplier * self.channels)
            if (height in self.attention or height == heights[-1]) and features % (self.head_channels or self.heads):
                raise UsageError(f"heads do not divide {features} channels: choose other heads, or channels")

    def on(self, platform: str, dtype: str | None) -> Self:
        if self.attention_implementation != "auto":
            return self
        # Heads as wide as 512 channels are beyond the flash kernels, and maps of 16 x 16 gain little from them.
        return dataclasses.replace(self, attention_implementation="xla")

    def build(self, out_channels: int, classes: int, dtype: str | None) -> nn.Module:
        return UNet(self, out_channels, classes, dtype)


class UNet(nn.Module):
    """Predicts from a noisy image: (B, H, W, C), (B,) noise level, (B,) labels -> (B, H, W, out_channels) float32.

    As in both papers' code, the last convolution of each residual block, attention's output and the network's last
    convolution start at zero, so the untrained network returns zeros. Other weights start as DDPM's, labels as ADM's.
    Sides that 2 does not divide are rounded up on the way down, and cropped on the way up.
    """

    config: UNetConfig
    out_channels: int
    classes: int = 0  # 0: no labels; else the table's last row, number `classes`, is the null label
    dtype: str | None = None

    @nn.compact
    def __call__(
        self,
        x_BHWC: Array,
        noise_B: Array,
        label_B: Array | None = None,
        index_B: Array | None = None,
        *,
        text: Text | None = None,
    ) -> Array:
        """`noise_B` is embedded as it comes; without `label_B` every label is the null label.

        Wherever pixels attend to one another, they attend to the `text` after that.

        `index_B`, the examples' positions in the global batch, turns dropout on and needs a "dropout" rng.
        Raises what `UNetConfig.check` does.
        """
        c, dtype = self.config, self.dtype
        c.check(x_BHWC.shape[1:])
        widths = [int(m * c.channels) for m in c.multipliers]
        last = len(widths) - 1
        condition_BE = self._condition(noise_B, label_B)

        style = Style(scale_shift=c.scale_shift, dropout=c.dropout, epsilon=c.epsilon, dtype=dtype)

        def block(x, features, name, resample="none"):
            return ResBlock(features, style, resample, name=name)(x, condition_BE, index_B)

        def attend(x, name):
            heads = x.shape[-1] // c.head_channels if c.head_channels else c.heads
            x = AttentionBlock(heads, c.attention_implementation, style, name=f"{name}_attention")(x)
            if text is None:
                return x
            return AttentionBlock(heads, c.attention_implementation, style, name=f"{name}_text")(x, *text)

        def block_and_attention(x, features, name):
            x = block(x, features, name)
            return attend(x, name) if x.shape[1] in c.attention else x

        x = conv(widths[0], dtype, "first")(space_to_depth(x_BHWC, c.patch))
        skips = [x]
        for level, features in enumerate(widths):
            for i in range(c.blocks):
                x = block_and_attention(x, features, f"down_{level}_{i}")
                skips.append(x)
            if level < last:
                name = f"shrink_{level}"
                x = block(x, features, name, "down") if c.resample_blocks else conv(features, dtype, name, 2)(x)
                skips.append(x)

        x = attend(block(x, widths[-1], "middle_0"), "middle")
        x = block(x, widths[-1], "middle_1")

        for level, features in reversed(list(enumerate(widths))):
            for i in range(c.blocks + 1):
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = block_and_attention(x, features, f"up_{level}_{i}")
            if level:
                name = f"enlarge_{level}"
                if c.resample_blocks:
                    x = block(x, features, name, "up")
                else:
                    x = EnlargedConv(features, kernel_init=INIT, dtype=dtype, name=name)(x)
                x = x[:, : skips[-1].shape[1], : skips[-1].shape[2]]

        x = nn.silu(norm(x, style, "norm"))
        x = conv(self.out_channels * c.patch**2, dtype, "last", init=nn.initializers.zeros)(x)
        return depth_to_space(x, c.patch).astype(jnp.float32)

    def _condition(self, noise_B: Array, label_B: Array | None) -> Array:
        dense = {"kernel_init": INIT, "dtype": self.dtype}
        width = 4 * self.config.channels
        waves = sinusoids(noise_B, self.config.channels, ddpm=self.config.ddpm_sinusoids)
        condition_BE = Dense(width, name="noise_in", **dense)(waves)
        condition_BE = Dense(width, name="noise_out", **dense)(nn.silu(condition_BE))
        if self.classes:
            label_B = jnp.full(noise_B.shape, self.classes) if label_B is None else label_B
            init = nn.initializers.normal(1.0)
            table = nn.Embed(self.classes + 1, width, embedding_init=init, dtype=self.dtype, name="labels")
            condition_BE += table(label_B)
        return condition_BE
