"""The hyper-parameters of the networks that a diffusion model may have: each builds its Linen module."""

import dataclasses
from typing import Literal, Self

import flax.linen as nn

from genjax.errors import UsageError
from genjax.networks.dit import SIZES, DiT
from genjax.networks.unet import UNet
from genjax.nn.attention import Implementation, choose

UNROLLED_LAYERS = 12  # on CPU, where a loop costs more than compiling this many copies of the block


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """The U-Net of DDPM (by default, for CIFAR-10) and, with scale_shift and resample_blocks, of ADM."""

    channels: int = 128  # at full resolution
    multipliers: tuple[int, ...] = (1, 2, 2, 2)  # of the channels, by level; each level halves the resolution
    blocks: int = 2  # residual blocks a level
    attention: tuple[int, ...] = (16,)  # resolutions (pixels) with self-attention
    heads: int = 1
    head_channels: int | None = None  # instead of heads
    dropout: float = 0.0
    scale_shift: bool = False  # the noise level scales and shifts the normalized activations, instead of being added
    resample_blocks: bool = False  # resolution changes within residual blocks
    attention_implementation: Implementation = "auto"

    def __post_init__(self):
        if min(self.channels, self.blocks, self.heads, *self.multipliers) < 1 or not self.multipliers:
            raise UsageError("UNetConfig: channels, multipliers, blocks and heads must be positive")
        if self.head_channels is not None and self.head_channels < 1:
            raise UsageError(f"UNetConfig: head_channels {self.head_channels} must be positive")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"UNetConfig: dropout {self.dropout} must be in [0, 1)")

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises UsageError where images of this shape (H, W, C) are too small for the levels."""
        if min(shape[:2]) < 2 ** (len(self.multipliers) - 1):
            raise UsageError(
                f"a U-Net of {len(self.multipliers)} levels halves {shape[0]} x {shape[1]} pixels away: "
                "give fewer --model.network.multipliers"
            )

    def on(self, platform: str, dtype: str | None) -> Self:
        # Heads as wide as 512 channels are beyond the flash kernels, and maps of 16 x 16 gain little from them.
        return dataclasses.replace(self, attention_implementation="xla")

    def build(self, out_channels: int, classes: int, dtype: str | None) -> nn.Module:
        return UNet(**dataclasses.asdict(self), out_channels=out_channels, classes=classes, dtype=dtype)


@dataclasses.dataclass(frozen=True)
class DiTConfig:
    """The diffusion transformer (Peebles & Xie 2022, arXiv:2212.09748); by default DiT-S/2."""

    patch: int = 2  # pixels a token is wide
    layers: int = 12
    width: int = 384
    heads: int = 6
    remat: Literal["none", "dots", "full"] = "none"  # what the backward pass recomputes
    unroll: int | None = None  # copies of the block a loop step runs; None = chosen for the platform
    attention: Implementation = "auto"

    def __post_init__(self):
        if min(self.patch, self.layers, self.width, self.heads) < 1 or self.width % self.heads:
            raise UsageError("DiTConfig: sizes must be positive, and heads must divide the width")

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises UsageError where the patches do not divide images of this shape (H, W, C)."""
        if shape[0] % self.patch or shape[1] % self.patch:
            raise UsageError(f"--model.network.patch {self.patch} does not divide {shape[0]} x {shape[1]} pixels")

    def on(self, platform: str, dtype: str | None) -> Self:
        unroll = self.unroll or (min(self.layers, UNROLLED_LAYERS) if platform == "cpu" else 1)
        return dataclasses.replace(self, attention=choose(self.attention, platform, dtype), unroll=unroll)

    def build(self, out_channels: int, classes: int, dtype: str | None) -> nn.Module:
        fields = dataclasses.asdict(self) | {"unroll": self.unroll or 1}
        return DiT(**fields, out_channels=out_channels, classes=classes, dtype=dtype)


def dit(size: Literal["S", "B", "L", "XL"], patch: int, **fields) -> DiTConfig:
    """A DiT of a published size: `dit("XL", 2)` is DiT-XL/2."""
    return DiTConfig(patch=patch, **SIZES[size], **fields)
