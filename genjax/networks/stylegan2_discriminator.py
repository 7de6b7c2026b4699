"""StyleGAN2's discriminator (Karras et al. 2020, arXiv:1912.04958): images (B, S, S, C) -> logits (B,) float32."""

import math
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.networks.stylegan2_mapping import Mapping
from genjax.nn.equalized import EqualConv, EqualDense
from genjax.nn.resample import downsample
from genjax.nn.sharding import BATCH, constrain

if TYPE_CHECKING:
    from genjax.networks.stylegan2 import StyleGAN2Config

__all__ = ["StyleDiscriminator"]

Array = jax.Array


class StyleDiscriminator(nn.Module):
    """Residual, with the image added at every resolution ("skip"), or plain; with features=True (logits, features).

    With classes the logit is the product of the image's and the label's features (arXiv:2006.06676, appendix D).
    """

    config: "StyleGAN2Config"
    sides: tuple[int, ...]  # from the smallest to the image's
    classes: int = 0
    dtype: str | None = None

    @nn.compact
    def __call__(self, image_BSSC: Array, label_B: Array | None = None, *, features: bool = False):
        kind, x, image, hidden = self.config.discriminator, None, image_BSSC, []
        gain = 0.5**0.5 if kind == "residual" else 1.0
        for side in reversed(self.sides[1:]):
            width, narrow = self.config.width(side), self.config.width(side // 2)
            if x is None or kind == "skip":
                seen = EqualConv(width, 1, dtype=self.dtype, name=f"image_{side}")(image)
                x = seen if x is None else x + seen
                image = downsample(image) if kind == "skip" else image
            y = EqualConv(width, dtype=self.dtype, name=f"conv_{side}")(x)
            y = EqualConv(narrow, down=True, gain=gain, dtype=self.dtype, name=f"down_{side}")(y)
            if kind == "residual":
                skip = EqualConv(narrow, 1, down=True, use_bias=False, gain=gain, dtype=self.dtype, name=f"skip_{side}")
                y += skip(x)
            hidden.append(x := constrain(y, BATCH, None, None, None))
        width, x = self.config.width(self.sides[0]), x.astype(jnp.float32)
        if kind == "skip":
            x += EqualConv(width, 1, name=f"image_{self.sides[0]}")(image)
        if self.config.group > 1:
            x = with_deviation(x, self.config.group)
        x = EqualConv(width, name="conv")(x)
        x = EqualDense(width, activated=True, name="dense")(x.reshape(len(x), -1))
        if self.classes:
            x = EqualDense(width, name="logit")(x)
            known = Mapping(width, self.config.label_layers, classes=self.classes, name="label")(None, label_B)
            logit_B = (x * known).sum(-1) / math.sqrt(width)
        else:
            logit_B = EqualDense(1, name="logit")(x)[:, 0]
        return (logit_B, hidden) if features else logit_B


def with_deviation(x_BHWC: Array, group: int) -> Array:
    """(B, H, W, C + 1): the last channel is the standard deviation over `group` neighbours in the batch, one number.

    Karras et al. 2018 (arXiv:1710.10196, section 3). Groups of neighbours stay on one device. Where the group does not
    divide the batch, the largest common divisor takes its place.
    """
    batch, height, width, channels = x_BHWC.shape
    grouped = x_BHWC.reshape(-1, math.gcd(group, batch), height, width, channels)
    deviation = jnp.sqrt(grouped.var(1) + 1e-8).mean((1, 2, 3))
    channel = jnp.repeat(deviation, grouped.shape[1])[:, None, None, None]
    return jnp.concatenate([x_BHWC, jnp.broadcast_to(channel, (batch, height, width, 1))], axis=-1)
