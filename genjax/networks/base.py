"""What networks of one role have in common, so that a model takes any of them."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import ClassVar, NamedTuple, Self

import flax.linen as nn
import jax

from genjax.errors import UsageError

__all__ = ["Denoiser", "Text", "require_heights"]


class Text(NamedTuple):
    """What a denoiser reads: features (B, S, D) of the tokens of texts, and how many of each count, at least 1."""

    memory: jax.Array
    lengths: jax.Array


@dataclasses.dataclass(frozen=True)
class Denoiser:
    """Base of the hyper-parameters of networks that a diffusion model may have.

    A network of your own is a registered dataclass (`genjax.registry.register`) that extends this one.
    """

    rules: ClassVar[tuple[tuple[str, tuple], ...]] = ()  # (regex on the parameter path, mesh axes per dimension)
    augmentable: ClassVar[bool] = False  # whether the module takes `augment_BA`
    reads: ClassVar[bool] = False  # whether the module takes `text`

    @property
    def stack(self) -> Self | None:
        """Itself, where it has the fields `layers`, `unroll` and `remat` of a scanned stack of blocks."""
        return None

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises UsageError where the network does not fit images of this shape (H, W, C)."""

    def on(self, platform: str, dtype: str | None) -> Self:
        """The network as it should run on "cpu", "gpu" or "tpu" in this type of compute: the same numbers."""
        return self

    def build(self, out_channels: int, classes: int, dtype: str | None) -> nn.Module:
        """The module, called as `module(x_BHWC, noise_B, label_B, index_B)` -> (B, H, W, out_channels) float32.

        `noise_B` is the level of noise. `label_B` is None where there is no label; with it, `classes` stands for "no
        label", and 0 classes for data without labels. `index_B`, the examples' positions in the global batch, turns
        dropout on where it is not None. An `augmentable` network is trained on augmented images with a fifth argument,
        `augment_BA`: what was done to each; without it nothing was. One that `reads` attends to the keyword `text`.
        """
        raise NotImplementedError


def require_heights(wanted: Collection[int], heights: Sequence[int]) -> None:
    """Raises UsageError where a U-Net is to attend at heights (pixels) that none of its levels has."""
    if missing := set(wanted) - set(heights):
        raise UsageError(
            f"attention at heights {sorted(missing)}: the levels of this U-Net have {', '.join(map(str, heights))};"
            " change --model.network.attention"
        )
