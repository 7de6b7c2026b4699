"""The U-Net of pix2pix (Isola et al. 2017, arXiv:1611.07004, appendix 6.1.1): an image to an image of the same size.

In the paper's words: encoder C64-C128-C256-C512-C512-C512-C512-C512, decoder CD512-CD512-CD512-C512-C256-C128-C64.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.nn.conv import Downsample, TransposedConv
from genjax.nn.noise import Dropout
from genjax.nn.norm import Kind, Norm
from genjax.nn.sharding import BATCH, constrain
from genjax.registry import register

__all__ = ["PixUNet", "PixUNetTranslator"]

Array = jax.Array
INIT = nn.initializers.normal(0.02)


@register
@dataclasses.dataclass(frozen=True)
class PixUNet:
    """The defaults are the paper's for pictures of 256 x 256 pixels, which eight halvings bring to a single one."""

    width: int = 64  # channels of the first layer; they double with each halving, up to eight times as many
    halvings: int = 8  # of the resolution, on the way down
    norm: Kind = "instance"  # the paper: "batch", over the batch at hand, which held one image
    dropout: float = 0.5  # in the three innermost layers of the decoder: the paper's noise, in samples too

    def __post_init__(self):
        if self.width < 1 or self.halvings < 2 or not 0 <= self.dropout < 1:
            raise UsageError("PixUNet: width must be positive, halvings at least 2 and dropout in [0, 1)")

    def translator(self, channels: int, dtype: str | None = None) -> nn.Module:
        """Called as (images (B, H, W, C), index (B,), train=...) -> images (B, H, W, channels) float32 in [-1, 1]."""
        return PixUNetTranslator(self, channels, dtype)


class PixUNetTranslator(nn.Module):
    """(B, H, W, C), example numbers (B,) -> (B, H, W, channels) float32 in [-1, 1], a tanh.

    The innermost layer is not normalized, which would leave nothing of a single position (the paper's errata). Sides
    that 2 ** halvings does not divide are continued by their last pixels, and cropped at the end. Without example
    numbers nothing is dropped; with them a "dropout" rng is needed.
    """

    config: PixUNet
    channels: int
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, index_B: Array | None = None, *, train: bool) -> Array:
        c, (height, width) = self.config, x_BHWC.shape[1:3]
        multiple = 2**c.halvings
        x = jnp.pad(x_BHWC, ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)), mode="edge")

        def layer(conv: type[nn.Module], x: Array, features: int, name: str, norm: Kind) -> Array:
            x = conv(features, use_bias=norm == "none", kernel_init=INIT, dtype=self.dtype, name=name)(x)
            x = Norm(norm, self.dtype, name=f"{name}_norm")(x, train=train)
            return constrain(x, BATCH, None, None, None)

        kept = []
        for i in range(c.halvings):
            norm = "none" if i in (0, c.halvings - 1) else c.norm
            x = layer(Downsample, x if i == 0 else nn.leaky_relu(x, 0.2), c.width * min(2**i, 8), f"down_{i}", norm)
            kept.append(x)
        for i in reversed(range(1, c.halvings)):
            x = layer(TransposedConv, nn.relu(x), c.width * min(2 ** (i - 1), 8), f"up_{i}", c.norm)
            if i >= c.halvings - 3:
                x = Dropout(c.dropout, name=f"dropout_{i}")(x, index_B)
            x = jnp.concatenate([kept[i - 1], x], axis=-1)
        x = TransposedConv(self.channels, kernel_init=INIT, dtype=self.dtype, name="up_0")(nn.relu(x))
        return jnp.tanh(x[:, :height, :width].astype(jnp.float32))
