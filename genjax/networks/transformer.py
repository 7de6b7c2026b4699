"""The decoder-only transformer: GPT-2's (Radford et al. 2019) and, by options, Llama's (Touvron et al. 2023).

Shapes: B batch, T positions, S cache slots, D width, F hidden, H query heads, K key-value heads, C = D / H
size of a head, L layers, V vocabulary padded for the hardware.
"""

import dataclasses
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nn.attention import Implementation, attention
from genjax.nn.dense import Dense, DenseGeneral
from genjax.nn.noise import Dropout
from genjax.nn.sharding import BATCH, constrain

Array = jax.Array

MASKED = -1e30  # the logit of an id that must not be drawn: its probability is exactly 0

REMAT_POLICIES = {  # what the forward pass keeps of a block for the backward pass
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,  # outputs of the dense layers
    "full": jax.checkpoint_policies.nothing_saveable,  # its input only
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Hyper-parameters of the decoder; `genjax.models.GPT` documents them."""

    layers: int
    heads: int
    kv_heads: int
    width: int
    hidden: int
    context: int
    vocabulary: int
    padded_vocabulary: int
    dropout: float
    positions: Literal["learned", "rope"]
    norm: Literal["layer", "rms"]
    mlp: Literal["gelu", "swiglu"]
    tied: bool
    bias: bool
    remat: Literal["none", "dots", "full"]
    unroll: int
    attention: Implementation
    dtype: str | None

    @property
    def residual_init(self) -> nn.initializers.Initializer:
        """For projections onto the residual stream: 1 / sqrt(their number) smaller (GPT-2, section 2.3)."""
        return nn.initializers.normal(0.02 / (2 * self.layers) ** 0.5)


INIT = nn.initializers.normal(0.02)


class Cache(NamedTuple):
    """Keys and values of the positions decoded so far, of all layers."""

    k_LBSKC: Array
    v_LBSKC: Array

    def write(self, layer: Array, start: Array | int, k_BTKC: Array, v_BTKC: Array) -> "Cache":
        """The cache with a layer's slots start, start + 1 ... filled."""
        new = (k_BTKC[None], v_BTKC[None])
        at = (layer, 0, start, 0, 0)
        return Cache(*(jax.lax.dynamic_update_slice(old, x, at) for old, x in zip(self, new)))


def empty_cache(c: Config, batch: int, slots: int) -> Cache:
    """Zeros, rows split over the batch axes of the mesh and heads over `tensor`."""
    shape = (c.layers, batch, slots, c.kv_heads, c.width // c.heads)
    zeros = constrain(jnp.zeros(shape, c.dtype or jnp.float32), None, BATCH, None, "tensor", None)
    return Cache(zeros, zeros)


def rotate(x_BTHC: Array, position_T: Array) -> Array:
    """Rotary position embedding (Su et al. 2021, equation 34), base 10000.

    The pairs are (i, i + C/2), as in GPT-NeoX and Hugging Face's Llama, where the paper pairs (2i, 2i + 1):
    the two differ by a fixed permutation of each head's columns.
    """
    half = x_BTHC.shape[-1] // 2
    angle = position_T[:, None].astype(jnp.float32) * 10000.0 ** (-jnp.arange(half, dtype=jnp.float32) / half)
    cos, sin = jnp.cos(angle)[:, None], jnp.sin(angle)[:, None]
    a, b = jnp.split(x_BTHC.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1).astype(x_BTHC.dtype)


def norm(c: Config, name: str) -> nn.Module:
    """LayerNorm or RMSNorm, statistics in float32."""
    if c.norm == "rms":
        return nn.RMSNorm(epsilon=1e-5, dtype=c.dtype, name=name)
    return nn.LayerNorm(epsilon=1e-5, use_bias=c.bias, use_fast_variance=False, dtype=c.dtype, name=name)


class Attention(nn.Module):
    """Causal self-attention. One matrix makes q, k and v, grouped so that `tensor` splits the heads."""

    config: Config

    @nn.compact
    def __call__(self, x_BTD: Array, cache: Cache | None, layer: Array, start: Array | int):
        c = self.config
        b, t, _ = x_BTD.shape
        group, size = c.heads // c.kv_heads, c.width // c.heads
        dense = {"use_bias": c.bias, "dtype": c.dtype}
        qkv = DenseGeneral((c.kv_heads, group + 2, size), kernel_init=INIT, name="qkv", **dense)(x_BTD)
        q_BTHC = qkv[..., :group, :].reshape(b, t, c.heads, size)
        k_BTKC, v_BTKC = qkv[..., group, :], qkv[..., group + 1, :]
        if c.positions == "rope":
            position_T = start + jnp.arange(t)
            q_BTHC, k_BTKC = rotate(q_BTHC, position_T), rotate(k_BTKC, position_T)
        if cache is None:
            y_BTHC = attention(q_BTHC, k_BTKC, v_BTKC, causal=True, implementation=c.attention)
        else:
            cache = cache.write(layer, start, k_BTKC, v_BTKC)
            seen_TS = jnp.arange(cache.k_LBSKC.shape[2]) <= start + jnp.arange(t)[:, None]
            y_BTHC = attention(q_BTHC, cache.k_LBSKC[layer], cache.v_LBSKC[layer], mask_BTS=seen_TS[None])
        out = DenseGeneral(c.width, axis=(-2, -1), kernel_init=c.residual_init, name="out", **dense)
        return out(y_BTHC), cache


class MLP(nn.Module):
    """GPT-2's two layers with the tanh form of GELU, or SwiGLU (Shazeer 2020, equation 6)."""

    config: Config

    @nn.compact
    def __call__(self, x_BTD: Array) -> Array:
        c = self.config
        dense = {"use_bias": c.bias, "dtype": c.dtype}
        h_BTF = Dense(c.hidden, kernel_init=INIT, name="up", **dense)(x_BTD)
        if c.mlp == "swiglu":
            h_BTF = h_BTF * nn.silu(Dense(c.hidden, kernel_init=INIT, name="gate", **dense)(x_BTD))
        else:
            h_BTF = nn.gelu(h_BTF, approximate=True)
        return Dense(c.width, kernel_init=c.residual_init, name="down", **dense)(h_BTF)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); scanned over the layers, the cache carried along."""

    config: Config

    @nn.compact
    def __call__(self, carry, layer: Array, start: Array | int, index_B: Array | None):
        c = self.config
        x_BTD, cache = carry
        y_BTD, cache = Attention(c, name="attention")(norm(c, "attention_norm")(x_BTD), cache, layer, start)
        x_BTD = x_BTD + Dropout(c.dropout)(y_BTD, index_B)
        y_BTD = MLP(c, name="mlp")(norm(c, "mlp_norm")(x_BTD))
        x_BTD = x_BTD + Dropout(c.dropout)(y_BTD, index_B)
        return (constrain(x_BTD, BATCH, None, None), cache), None


class Decoder(nn.Module):
    """Tokens to the logits of the next ones."""

    config: Config

    @nn.compact
    def __call__(
        self,
        tokens_BT: Array,
        index_B: Array | None = None,
        *,
        cache: Cache | None = None,
        start: Array | int = 0,
    ):
        """(B, T, V) float32 logits; ids that only pad the vocabulary have probability 0.

        Args:
          tokens_BT: ids, T at most the context.
          index_B: the examples' positions in the global batch; turns dropout on and needs a "dropout" rng.
          cache: with it, tokens stand at positions start, start + 1 ..., attend to the slots before them, and
            (logits, cache) is returned. The caller keeps start + T within the cache's slots.
        """
        c = self.config
        table_VD = self.param("embedding", INIT, (c.padded_vocabulary, c.width)).astype(c.dtype or jnp.float32)
        # Whole rows for the look-up: with rows split over fsdp, XLA would replicate the activations instead.
        x_BTD = jnp.take(constrain(table_VD, "tensor", None), tokens_BT, axis=0)
        if c.positions == "learned":
            table = self.param("positions", INIT, (c.context, c.width))
            x_BTD += jax.lax.dynamic_slice_in_dim(table, start, tokens_BT.shape[1]).astype(x_BTD.dtype)
        x_BTD = constrain(Dropout(c.dropout)(x_BTD, index_B), BATCH, None, None)
        (x_BTD, new_cache), _ = _stack(c)((x_BTD, cache), jnp.arange(c.layers), start, index_B)
        x_BTD = norm(c, "final_norm")(x_BTD)
        if c.tied:
            logits_BTV = x_BTD @ table_VD.T
        else:
            head = Dense(c.padded_vocabulary, use_bias=False, kernel_init=INIT, dtype=c.dtype, name="head")
            logits_BTV = head(x_BTD)
        logits_BTV = constrain(logits_BTV, BATCH, None, "tensor").astype(jnp.float32)
        if c.padded_vocabulary > c.vocabulary:
            logits_BTV = jnp.where(jnp.arange(c.padded_vocabulary) < c.vocabulary, logits_BTV, MASKED)
        return logits_BTV if cache is None else (logits_BTV, new_cache)


def _stack(c: Config) -> nn.Module:
    """The blocks, their parameters stored with a leading L."""
    block = Block
    if c.remat != "none":
        # A loop keeps XLA from merging recomputation and forward pass; without one, that must be forbidden.
        unrolled = c.unroll > 1 or c.layers == 1
        block = nn.remat(Block, policy=REMAT_POLICIES[c.remat], prevent_cse=unrolled)
    scanned = nn.scan(
        block,
        variable_axes={"params": 0},
        split_rngs={"params": True, "dropout": True},
        in_axes=(0, nn.broadcast, nn.broadcast),
        length=c.layers,
        unroll=c.unroll,
    )
    return scanned(c, name="blocks")


# Megatron's split (Shoeybi et al. 2019): columns, then rows, one all-reduce each; fsdp on the other side.
RULES = (
    ("embedding", ("tensor", "fsdp")),
    ("positions", (None, "fsdp")),
    ("head/kernel", ("fsdp", "tensor")),
    ("blocks/attention/qkv/kernel", (None, "fsdp", "tensor", None, None)),
    ("blocks/attention/qkv/bias", (None, "tensor", None, None)),
    ("blocks/attention/out/kernel", (None, "tensor", None, "fsdp")),
    ("blocks/mlp/(up|gate)/kernel", (None, "fsdp", "tensor")),
    ("blocks/mlp/(up|gate)/bias", (None, "tensor")),
    ("blocks/mlp/down/kernel", (None, "tensor", "fsdp")),
)
