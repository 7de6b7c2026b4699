"""DiT, the diffusion transformer with adaLN-zero blocks: Peebles & Xie 2022 (arXiv:2212.09748).

Shapes: B batch, H height, W width, C channels, P side of a patch, T = HW / P^2 patches, D width, N heads, L layers.
"""

import dataclasses
from typing import ClassVar, Literal, Self

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.networks.base import Denoiser, Text
from genjax.nn.attend import Attend
from genjax.nn.attention import Implementation, Mask, choose
from genjax.nn.dense import Dense, DenseGeneral
from genjax.nn.embedding import positions_2d, sinusoids
from genjax.nn.feed import Feed
from genjax.nn.noise import Dropout
from genjax.nn.sharding import BATCH, constrain
from genjax.nn.stack import Remat, stacked, unroll_on
from genjax.registry import register

__all__ = ["RULES", "SIZES", "DiT", "DiTConfig", "dit"]

Array = jax.Array

SIZES = {  # the paper's table 1
    "S": {"layers": 12, "width": 384, "heads": 6},
    "B": {"layers": 12, "width": 768, "heads": 12},
    "L": {"layers": 24, "width": 1024, "heads": 16},
    "XL": {"layers": 28, "width": 1152, "heads": 16},
}

FREQUENCIES = 256  # sinusoids of the noise level
NORMAL = nn.initializers.normal(0.02)
XAVIER = nn.initializers.xavier_uniform()
ZEROS = nn.initializers.zeros

# Megatron's split, as in transformer.py: columns, then rows; fsdp on the other side.
RULES = (
    ("blocks/attention/qkv/kernel", (None, "fsdp", None, "tensor", None)),
    ("blocks/attention/qkv/bias", (None, None, "tensor", None)),
    ("blocks/attention/out/kernel", (None, "tensor", None, "fsdp")),
    ("blocks/text/(query|key|value)/kernel", (None, "fsdp", "tensor")),
    ("blocks/text/(query|value)/bias", (None, "tensor")),
    ("blocks/text/out/kernel", (None, "tensor", "fsdp")),
    ("blocks/up/kernel", (None, "fsdp", "tensor")),
    ("blocks/up/bias", (None, "tensor")),
    ("blocks/down/kernel", (None, "tensor", "fsdp")),
    ("blocks/adapt/kernel", (None, "fsdp", None, None)),
    ("labels/embedding", (None, "fsdp")),
)


@register
@dataclasses.dataclass(frozen=True)
class DiTConfig(Denoiser):
    """The diffusion transformer (Peebles & Xie 2022, arXiv:2212.09748); by default DiT-S/2."""

    patch: int = 2  # pixels a token is wide
    layers: int = 12  # blocks
    width: int = 384  # features of a token
    heads: int = 6  # of attention; they divide the width
    dropout: float = 0.0  # of both residual branches; the released code has none
    remat: Remat = "none"  # what the backward pass recomputes
    unroll: int | None = None  # copies of the block a loop step runs; None = chosen for the platform
    attention: Implementation = "auto"  # auto: the fastest kernel of the platform

    rules: ClassVar = RULES
    reads: ClassVar = True

    def __post_init__(self):
        if min(self.patch, self.layers, self.width, self.heads) < 1:
            raise UsageError("DiTConfig: patch, layers, width and heads must be positive")
        if self.width % self.heads:
            raise UsageError(f"DiTConfig: {self.heads} heads do not divide the width {self.width}")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"DiTConfig: dropout {self.dropout} must be in [0, 1)")

    @property
    def stack(self) -> Self:
        return self

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises UsageError where the patches do not divide images of this shape (H, W, C)."""
        if shape[0] % self.patch or shape[1] % self.patch:
            raise UsageError(f"--model.network.patch {self.patch} does not divide {shape[0]} x {shape[1]} pixels")

    def on(self, platform: str, dtype: str | None) -> Self:
        unroll = self.unroll or unroll_on(platform, self.layers)
        return dataclasses.replace(self, attention=choose(self.attention, platform, dtype), unroll=unroll)

    def build(self, out_channels: int, classes: int, dtype: str | None) -> nn.Module:
        return DiT(self, out_channels, classes, dtype)


def dit(size: Literal["S", "B", "L", "XL"], patch: int, **fields) -> DiTConfig:
    """A DiT of a published size: `dit("XL", 2)` is DiT-XL/2."""
    return DiTConfig(patch=patch, **SIZES[size], **fields)


class Block(nn.Module):
    """Attention and MLP on normalized inputs that are scaled, shifted and gated by the condition; all gates start 0.

    Between the two stands attention to a text, where there is one, whose projection starts at 0 (PixArt-alpha, Chen et
    al. 2023, arXiv:2310.00426, section 2.3).
    """

    config: DiTConfig
    dtype: str | None

    @nn.compact
    def __call__(self, x_BTD: Array, layer: Array, shared: tuple[Array, Array | None, Text | None]):
        c, dtype = self.config, self.dtype
        condition_BD, index_B, text = shared
        adapt = DenseGeneral((6, c.width), kernel_init=ZEROS, dtype=dtype, name="adapt")
        adapt_6B1D = jnp.moveaxis(adapt(nn.silu(condition_BD)), 1, 0)[:, :, None]
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = adapt_6B1D
        init = {"kernel_init": XAVIER, "out_init": XAVIER, "dtype": dtype}

        attend = Attend(c.heads, layout="thirds", implementation=c.attention, **init, name="attention")
        y_BTD, _ = attend(norm(dtype)(x_BTD) * (1 + scale) + shift)
        x_BTD = x_BTD + gate * Dropout(c.dropout)(y_BTD, index_B)

        if text is not None:
            init_text = init | {"out_init": ZEROS}
            read = Attend(c.heads, cross=True, implementation=c.attention, **init_text, name="text")
            y_BTD, _ = read(norm(dtype)(x_BTD), text.memory, Mask(lengths_B=text.lengths))
            x_BTD = x_BTD + Dropout(c.dropout)(y_BTD, index_B)

        feed = Feed(4 * c.width, "gelu", **init, name="mlp")
        nn.share_scope(self, feed)  # "up" and "down" stand in the block itself
        y_BTD = feed(norm(dtype)(x_BTD) * (1 + scale_mlp) + shift_mlp)
        x_BTD = x_BTD + gate_mlp * Dropout(c.dropout)(y_BTD, index_B)
        return constrain(x_BTD, BATCH, None, None), None


class DiT(nn.Module):
    """Predicts from a noisy image: (B, H, W, C), (B,) noise level, (B,) labels -> (B, H, W, out_channels) float32.

    Initialized as the released code does: Xavier for the linear layers (the patch embedding as one of them),
    N(0, 0.02) for the label table and the noise level's MLP, zeros for the modulations and the last layer, so the
    untrained network returns zeros.
    """

    config: DiTConfig
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

        `index_B`, the examples' positions in the global batch, turns dropout on and needs a "dropout" rng.
        Raises UsageError if the patches do not tile the image.
        """
        config, dtype = self.config, self.dtype
        b, h, w, c = x_BHWC.shape
        p, width = config.patch, config.width
        config.check((h, w, c))
        rows, columns = h // p, w // p

        patches = x_BHWC.reshape(b, rows, p, columns, p, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, rows * columns, -1)
        x_BTD = Dense(width, kernel_init=XAVIER, dtype=dtype, name="patches")(patches)
        x_BTD = constrain(x_BTD + positions_2d(rows, columns, width).astype(x_BTD.dtype), BATCH, None, None)

        condition_BD = Dense(width, kernel_init=NORMAL, dtype=dtype, name="noise_in")(sinusoids(noise_B, FREQUENCIES))
        condition_BD = Dense(width, kernel_init=NORMAL, dtype=dtype, name="noise_out")(nn.silu(condition_BD))
        if self.classes:
            label_B = jnp.full(b, self.classes) if label_B is None else label_B
            labels = nn.Embed(self.classes + 1, width, embedding_init=NORMAL, dtype=dtype, name="labels")
            condition_BD += labels(label_B)

        stack = stacked(Block, layers=config.layers, remat=config.remat, unroll=config.unroll or 1)
        x_BTD, _ = stack(config, dtype, name="blocks")(x_BTD, jnp.arange(config.layers), (condition_BD, index_B, text))

        adapt = DenseGeneral((2, width), kernel_init=ZEROS, dtype=dtype, name="adapt")(nn.silu(condition_BD))
        x_BTD = norm(dtype)(x_BTD) * (1 + adapt[:, None, 1]) + adapt[:, None, 0]
        y = Dense(p * p * self.out_channels, kernel_init=ZEROS, dtype=dtype, name="out")(x_BTD)
        y = y.reshape(b, rows, columns, p, p, -1).transpose(0, 1, 3, 2, 4, 5).reshape(b, h, w, self.out_channels)
        return constrain(y.astype(jnp.float32), BATCH, None, None, None)


def norm(dtype: str | None) -> nn.Module:
    """LayerNorm without parameters: the condition brings scale and shift."""
    return nn.LayerNorm(epsilon=1e-6, use_bias=False, use_scale=False, use_fast_variance=False, dtype=dtype)
