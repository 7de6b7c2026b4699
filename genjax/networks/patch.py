"""PatchGAN (Isola et al. 2017, arXiv:1611.07004, appendix 6.1.2): a discriminator of every patch of an image."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.nn.conv import Downsample
from genjax.nn.norm import Kind, Norm
from genjax.nn.sharding import BATCH, constrain
from genjax.registry import register

__all__ = ["PatchDiscriminator", "PatchGAN"]

Array = jax.Array


@register
@dataclasses.dataclass(frozen=True)
class PatchGAN:
    """The default is the paper's discriminator of 70 x 70 pixels, C64-C128-C256-C512, normalized as CycleGAN has it."""

    width: int = 64  # channels of the first layer; they double from layer to layer, up to eight times as many
    layers: int = 3  # of stride 2: 1, 3 and 5 are the paper's patches of 16 x 16, 70 x 70 and 286 x 286 pixels
    norm: Kind = "instance"  # the paper: "batch", over the batch at hand in evaluation too, which held one image

    def __post_init__(self):
        if self.width < 1 or self.layers < 1:
            raise UsageError(f"PatchGAN: width {self.width} and layers {self.layers} must be positive")

    def check(self, height: int, width: int, system: str) -> None:
        """Raises UsageError for pictures so small that no logit is left of them."""
        if min(height, width) <= (least := 2 ** (self.layers + 1)):
            raise UsageError(
                f"{system}: a PatchGAN of {self.layers} layers needs pictures of more than {least} pixels a side, not "
                f"{height} x {width}: take fewer --model.discriminator.layers, or a larger --data.image-size"
            )

    def discriminator(self, dtype: str | None = None) -> nn.Module:
        """Called as (images (B, H, W, C), train=..., features=False) -> logits (B, h, w) float32."""
        return PatchDiscriminator(self, dtype)


class PatchDiscriminator(nn.Module):
    """4x4 convolutions with leaky ReLU (0.2), all but first and last normalized: (B, H, W, C) -> logits (B, h, w).

    h = H / 2**layers - 2, where it is even all the way; an odd side gets one more row of zeros before it is halved.
    With features=True it returns (logits, features), the activations of all layers but the last.
    """

    config: PatchGAN
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, *, train: bool, features: bool = False):
        x, hidden = x_BHWC, []
        start = nn.initializers.normal(0.02)
        for i in range(self.config.layers + 1):
            norm = self.config.norm if i > 0 else "none"
            options = dict(use_bias=norm == "none", kernel_init=start, dtype=self.dtype, name=f"conv_{i}")
            width = self.config.width * min(2**i, 8)
            conv = Downsample(width, **options) if i < self.config.layers else nn.Conv(width, (4, 4), 1, 1, **options)
            x = nn.leaky_relu(Norm(norm, self.dtype, name=f"norm_{i}")(conv(x), train=train), 0.2)
            hidden.append(x := constrain(x, BATCH, None, None, None))
        logits = nn.Conv(1, (4, 4), 1, 1, kernel_init=start, dtype=self.dtype, name="logits")(x)[..., 0]
        logits = logits.astype(jnp.float32)
        return (logits, hidden) if features else logits
