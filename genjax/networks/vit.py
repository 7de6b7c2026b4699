"""ViT, the transformer of image patches (Dosovitskiy et al. 2021, arXiv:2010.11929), as trained networks have it.

The blocks are those of `networks.transformer`, behind the patches and a class token whose last state is the result.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.networks.transformer import INIT, Block, Config, Shared, norm
from genjax.nn.attention import Mask
from genjax.nn.dense import Dense
from genjax.nn.stack import stacked

__all__ = ["CLIP_L14", "DINOV2_L14", "ViT", "ViTConfig"]

Array = jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """Which ViT; the defaults are those of both networks below."""

    blocks: Config
    patch: int = 14  # pixels a side
    size: int = 224  # of the image, pixels a side
    patch_bias: bool = True
    first_norm: bool = False  # a norm before the first block
    projection: int | None = None  # features after a last linear layer without bias; None = no such layer

    @property
    def positions(self) -> int:
        """Patches, and the class token before them."""
        return (self.size // self.patch) ** 2 + 1


LARGE = {"layers": 24, "heads": 16, "width": 1024}

# Oquab et al. 2023 (arXiv:2304.07193); its LayerScale is a factor of the weights.
DINOV2_L14 = ViTConfig(blocks=Config(**LARGE, mlp="gelu_exact", eps=1e-6))

# The image encoder of Radford et al. 2021 (arXiv:2103.00020).
CLIP_L14 = ViTConfig(blocks=Config(**LARGE, mlp="quick_gelu"), patch_bias=False, first_norm=True, projection=768)


class ViT(nn.Module):
    """(B, H, W, 3) of `size` pixels a side, normalized -> (features (B, D) of the class token, None: no classes)."""

    config: ViTConfig

    @nn.compact
    def __call__(self, x_BHWC: Array) -> tuple[Array, None]:
        c, width = self.config, self.config.blocks.width
        side, b = c.size // c.patch, len(x_BHWC)
        patches = x_BHWC.reshape(b, side, c.patch, side, c.patch, 3).transpose(0, 1, 3, 2, 4, 5)
        x_BTD = Dense(width, use_bias=c.patch_bias, name="patches")(patches.reshape(b, side * side, -1))
        class_D = self.param("class", INIT, (width,))
        x_BTD = jnp.concatenate([jnp.broadcast_to(class_D, (b, 1, width)), x_BTD], axis=1)
        x_BTD += self.param("positions", INIT, (c.positions, width))
        if c.first_norm:
            x_BTD = norm(c.blocks, "first_norm")(x_BTD)
        blocks = stacked(Block, layers=c.blocks.layers)(c.blocks, name="blocks")
        (x_BTD, _), _ = blocks((x_BTD, None), jnp.arange(c.blocks.layers), Shared(Mask()))
        x_BD = norm(c.blocks, "final_norm")(x_BTD[:, 0])
        if c.projection:
            x_BD = Dense(c.projection, use_bias=False, name="projection")(x_BD)
        return x_BD, None
