"""The image-to-image network of CycleGAN: Johnson et al. 2016 (arXiv:1603.08155), as Zhu et al. 2017 use it.

In the paper's words (arXiv:1703.10593, appendix 7.2): c7s1-64, d128, d256, R256 six or nine times, u128, u64, c7s1-3.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.nn.conv import Upsample
from genjax.nn.noise import Dropout
from genjax.nn.norm import Kind, Norm
from genjax.nn.sharding import BATCH, constrain
from genjax.registry import register

__all__ = ["ResNet", "ResNetTranslator"]

Array = jax.Array
INIT = nn.initializers.normal(0.02)


@register
@dataclasses.dataclass(frozen=True)
class ResNet:
    """The defaults are the paper's for pictures of 256 x 256 pixels; for 128 x 128 it has six blocks."""

    width: int = 64  # channels at full resolution; they double with each halving
    halvings: int = 2  # of the resolution, before the blocks
    blocks: int = 9  # residual blocks at the lowest resolution
    norm: Kind = "instance"  # of each layer but the last
    dropout: float = 0.0  # inside the blocks: 0.5 is the noise of pix2pix where this is its generator

    def __post_init__(self):
        if min(self.width, self.halvings + 1, self.blocks + 1) < 1:
            raise UsageError("ResNet: width must be positive, halvings and blocks not negative")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"ResNet: dropout {self.dropout} must be in [0, 1)")

    def translator(self, channels: int, dtype: str | None = None) -> nn.Module:
        """Called as (images (B, H, W, C), index (B,), train=...) -> images (B, H, W, channels) float32 in [-1, 1]."""
        return ResNetTranslator(self, channels, dtype)


class ResNetTranslator(nn.Module):
    """(B, H, W, C), example numbers (B,) -> (B, H, W, channels) float32 in [-1, 1], a tanh.

    Borders are reflected, as in the paper. Departures: convolutions have no bias before a norm, which would take it
    away again, where the authors' code has one. A resolution is doubled by a convolution and depth-to-space, not
    by a transposed convolution (see `genjax.nn.conv`). Sides that 2 ** halvings does not divide are cropped at the end.
    Without example numbers nothing is dropped. With features=True it returns (images, features): the pixels, and what
    the encoder makes of them after each halving, the first block and the middle one (CUT, arXiv:2007.15651, C.1).
    """

    config: ResNet
    channels: int
    dtype: str | None = None

    @nn.compact
    def __call__(self, x_BHWC: Array, index_B: Array | None = None, *, train: bool, features: bool = False):
        c, (height, width) = self.config, x_BHWC.shape[1:3]
        options = dict(use_bias=c.norm == "none", kernel_init=INIT, dtype=self.dtype)

        def conv(x: Array, features: int, side: int, name: str, **changes) -> Array:
            layer = nn.Conv(features, (side, side), padding="VALID", name=name, **options | changes)
            return layer(reflected(x, side // 2))

        def end(x: Array, name: str) -> Array:
            x = nn.relu(Norm(c.norm, self.dtype, name=f"{name}_norm")(x, train=train))
            return constrain(x, BATCH, None, None, None)

        x = end(conv(x_BHWC, c.width, 7, "first"), "first")
        hidden = [x_BHWC]
        for i in range(c.halvings):
            down = nn.Conv(c.width * 2 ** (i + 1), (3, 3), 2, 1, name=f"down_{i}", **options)
            hidden.append(x := end(down(x), f"down_{i}"))
        for i in range(c.blocks):
            y = end(conv(x, x.shape[-1], 3, f"block_{i}_in"), f"block_{i}_in")
            y = conv(Dropout(c.dropout, name=f"block_{i}_dropout")(y, index_B), x.shape[-1], 3, f"block_{i}_out")
            x = x + Norm(c.norm, self.dtype, name=f"block_{i}_out_norm")(y, train=train)
            hidden += [x] if i in (0, c.blocks // 2) else []
        for i in reversed(range(c.halvings)):
            x = end(Upsample(c.width * 2**i, name=f"up_{i}", **options)(x), f"up_{i}")
        x = conv(x[:, :height, :width], self.channels, 7, "last", use_bias=True)
        x = jnp.tanh(x.astype(jnp.float32))
        return (x, hidden) if features else x


def reflected(x_BHWC: Array, border: int) -> Array:
    """With a border of mirrored pixels; as wide as a tiny picture allows, and zeros beyond."""
    height, width = x_BHWC.shape[1:3]
    rows, columns = min(border, height - 1), min(border, width - 1)
    x = jnp.pad(x_BHWC, ((0, 0), (rows, rows), (columns, columns), (0, 0)), mode="reflect")
    left = ((0, 0), (border - rows,) * 2, (border - columns,) * 2, (0, 0))
    return jnp.pad(x, left)
