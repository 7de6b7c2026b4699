"""DiT, the diffusion transformer with adaLN-zero blocks: Peebles & Xie 2022 (arXiv:2212.09748).

Shapes: B batch, H height, W width, C channels, P side of a patch, T = HW / P^2 patches, D width, N heads, L layers.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.networks.transformer import INIT, REMAT_POLICIES
from genjax.nn.attention import Implementation, attention
from genjax.nn.dense import Dense, DenseGeneral
from genjax.nn.embedding import positions_2d, sinusoids
from genjax.nn.noise import Dropout
from genjax.nn.sharding import BATCH, constrain

Array = jax.Array

SIZES = {  # the paper's table 1
    "S": {"layers": 12, "width": 384, "heads": 6},
    "B": {"layers": 12, "width": 768, "heads": 12},
    "L": {"layers": 24, "width": 1024, "heads": 16},
    "XL": {"layers": 28, "width": 1152, "heads": 16},
}

FREQUENCIES = 256  # sinusoids of the noise level
XAVIER = nn.initializers.xavier_uniform()
ZEROS = nn.initializers.zeros


class SelfAttention(nn.Module):
    """Every position attends to every other: (B, T, D) -> (B, T, D)."""

    heads: int
    implementation: Implementation
    qkv_init: nn.initializers.Initializer
    out_init: nn.initializers.Initializer
    dtype: str | None

    @nn.compact
    def __call__(self, x_BTD: Array) -> Array:
        width = x_BTD.shape[-1]
        size = width // self.heads
        qkv = DenseGeneral((3, self.heads, size), kernel_init=self.qkv_init, dtype=self.dtype, name="qkv")(x_BTD)
        flash = size % 8 == 0 and size <= 128  # what cuDNN's kernels take
        y_BTNC = attention(*jnp.moveaxis(qkv, 2, 0), implementation=self.implementation if flash else "xla")
        return DenseGeneral(width, axis=(-2, -1), kernel_init=self.out_init, dtype=self.dtype, name="out")(y_BTNC)


class Block(nn.Module):
    """Attention and MLP on normalized inputs that are scaled, shifted and gated by the condition; all gates start 0."""

    heads: int
    dropout: float
    attention: Implementation
    dtype: str | None

    @nn.compact
    def __call__(self, x_BTD: Array, condition_BD: Array, index_B: Array | None):
        width = x_BTD.shape[-1]
        adapt = DenseGeneral((6, width), kernel_init=ZEROS, dtype=self.dtype, name="adapt")
        adapt_6B1D = jnp.moveaxis(adapt(nn.silu(condition_BD)), 1, 0)[:, :, None]
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = adapt_6B1D

        attend = SelfAttention(self.heads, self.attention, XAVIER, XAVIER, self.dtype, name="attention")
        y_BTD = attend(norm(self.dtype)(x_BTD) * (1 + scale) + shift)
        x_BTD = x_BTD + gate * Dropout(self.dropout)(y_BTD, index_B)

        y_BTD = norm(self.dtype)(x_BTD) * (1 + scale_mlp) + shift_mlp
        y_BTF = nn.gelu(Dense(4 * width, kernel_init=XAVIER, dtype=self.dtype, name="up")(y_BTD), approximate=True)
        y_BTD = Dense(width, kernel_init=XAVIER, dtype=self.dtype, name="down")(y_BTF)
        x_BTD = x_BTD + gate_mlp * Dropout(self.dropout)(y_BTD, index_B)
        return constrain(x_BTD, BATCH, None, None), None


class DiT(nn.Module):
    """Predicts from a noisy image: (B, H, W, C), (B,) noise level, (B,) labels -> (B, H, W, out_channels) float32.

    Initialized as the released code does: Xavier for the linear layers (the patch embedding as one of them),
    N(0, 0.02) for the label table and the noise level's MLP, zeros for the modulations and the last layer, so the
    untrained network returns zeros. `**SIZES["XL"], patch=2` is DiT-XL/2. The released code has no dropout.
    """

    layers: int
    width: int
    heads: int
    patch: int
    out_channels: int
    classes: int = 0  # 0: no labels; else the table's last row, number `classes`, is the null label
    dropout: float = 0.0  # of both residual branches
    remat: Literal["none", "dots", "full"] = "none"
    unroll: int = 1  # layers a turn of the loop
    attention: Implementation = "xla"
    dtype: str | None = None

    @nn.compact
    def __call__(
        self, x_BHWC: Array, noise_B: Array, label_B: Array | None = None, index_B: Array | None = None
    ) -> Array:
        """`noise_B` is embedded as it comes; without `label_B` every label is the null label.

        `index_B`, the examples' positions in the global batch, turns dropout on and needs a "dropout" rng.
        Raises UsageError if the patches do not tile the image, or the heads the width.
        """
        b, h, w, c = x_BHWC.shape
        p, width, dtype = self.patch, self.width, self.dtype
        if h % p or w % p:
            raise UsageError(f"patches of {p} pixels do not tile an image of {h} x {w}: choose a patch that does")
        if width % self.heads:
            raise UsageError(f"{self.heads} heads do not divide the width {width}")
        rows, columns = h // p, w // p

        patches = x_BHWC.reshape(b, rows, p, columns, p, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, rows * columns, -1)
        x_BTD = Dense(width, kernel_init=XAVIER, dtype=dtype, name="patches")(patches)
        x_BTD = constrain(x_BTD + positions_2d(rows, columns, width).astype(x_BTD.dtype), BATCH, None, None)

        condition_BD = Dense(width, kernel_init=INIT, dtype=dtype, name="noise_in")(sinusoids(noise_B, FREQUENCIES))
        condition_BD = Dense(width, kernel_init=INIT, dtype=dtype, name="noise_out")(nn.silu(condition_BD))
        if self.classes:
            label_B = jnp.full(b, self.classes) if label_B is None else label_B
            condition_BD += nn.Embed(self.classes + 1, width, embedding_init=INIT, dtype=dtype, name="labels")(label_B)

        x_BTD, _ = self._blocks()(x_BTD, condition_BD, index_B)

        adapt = DenseGeneral((2, width), kernel_init=ZEROS, dtype=dtype, name="adapt")(nn.silu(condition_BD))
        x_BTD = norm(dtype)(x_BTD) * (1 + adapt[:, None, 1]) + adapt[:, None, 0]
        y = Dense(p * p * self.out_channels, kernel_init=ZEROS, dtype=dtype, name="out")(x_BTD)
        y = y.reshape(b, rows, columns, p, p, -1).transpose(0, 1, 3, 2, 4, 5).reshape(b, h, w, self.out_channels)
        return constrain(y.astype(jnp.float32), BATCH, None, None, None)

    def _blocks(self) -> nn.Module:
        """The blocks, their parameters stored with a leading L."""
        block = Block
        if self.remat != "none":
            # A loop keeps XLA from merging recomputation and forward pass; without one, that must be forbidden.
            unrolled = self.unroll > 1 or self.layers == 1
            block = nn.remat(Block, policy=REMAT_POLICIES[self.remat], prevent_cse=unrolled)
        scanned = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(nn.broadcast, nn.broadcast),
            length=self.layers,
            unroll=self.unroll,
        )
        return scanned(self.heads, self.dropout, self.attention, self.dtype, name="blocks")


def norm(dtype: str | None) -> nn.Module:
    """LayerNorm without parameters: the condition brings scale and shift."""
    return nn.LayerNorm(epsilon=1e-6, use_bias=False, use_scale=False, use_fast_variance=False, dtype=dtype)


# Megatron's split, as in transformer.py: columns, then rows; fsdp on the other side.
RULES = (
    ("blocks/attention/qkv/kernel", (None, "fsdp", None, "tensor", None)),
    ("blocks/attention/qkv/bias", (None, None, "tensor", None)),
    ("blocks/attention/out/kernel", (None, "tensor", None, "fsdp")),
    ("blocks/up/kernel", (None, "fsdp", "tensor")),
    ("blocks/up/bias", (None, "tensor")),
    ("blocks/down/kernel", (None, "tensor", "fsdp")),
    ("blocks/adapt/kernel", (None, "fsdp", None, None)),
    ("labels/embedding", (None, "fsdp")),
)
