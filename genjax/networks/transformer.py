"""The transformer of text: one block, from which `networks.language` makes encoders and decoders.

It is GPT-2's (Radford et al. 2019) and, by the fields of `Config`, Llama's (Touvron et al. 2023), BERT's (Devlin et al.
2019) and T5's (Raffel et al. 2020).

Shapes: B batch, T positions, S cache slots or positions of a memory, D width, H query heads, K key-value heads, C size
of a head, L layers, V vocabulary padded for the hardware.
"""

import dataclasses
import math
from typing import Literal, NamedTuple, Self

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.errors import UsageError
from genjax.nn.attend import Attend
from genjax.nn.attention import Implementation, Mask, choose
from genjax.nn.cache import Cache
from genjax.nn.embedding import sinusoids
from genjax.nn.feed import Activation, Feed
from genjax.nn.noise import Dropout
from genjax.nn.positions import RelativeBias
from genjax.nn.sharding import BATCH, constrain
from genjax.nn.stack import Remat, stacked, unroll_on

__all__ = ["INIT", "RULES", "Block", "Caches", "Config", "Shared", "Transformer", "empty_cache", "norm", "sines"]

Array = jax.Array

INIT = nn.initializers.normal(0.02)
ADAPTER_INIT = nn.initializers.truncated_normal(0.01)  # section 3.6 of Houlsby et al. 2019: what it adds is little
SIZES = (
    *("layers", "heads", "kv_heads", "head_size", "width", "hidden", "context", "vocabulary", "unroll"),
    *("vocabulary_multiple", "window"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Hyper-parameters of every transformer of text. The defaults are GPT-2's.

    Llama: positions="rope", norm="rms", mlp="swiglu", tied=False, bias=False.
    Vaswani et al. 2017: positions="sinusoidal", embedding_scale=width**0.5, order="post",
      embedding_norm=False, mlp="relu", initializer="glorot".
    BERT: order="post", mlp="gelu_exact", eps=1e-12.
    T5: positions="relative", norm="rms", mlp="relu", bias=False, score_scale=1.0, eps=1e-6, logit_scale=width**-0.5.
    T5 1.1: as T5, but for mlp="geglu", tied=False and no logit_scale.
    Marian: as Vaswani et al., with logit_bias=True.
    """

    layers: int = 12  # blocks
    heads: int = 12  # of attention
    kv_heads: int | None = None  # grouped-query attention (Ainslie et al. 2023); None = as many as heads
    head_size: int | None = None  # None = width / heads
    width: int = 768  # features of a token
    hidden: int | None = None  # of the MLP; None = 4 width
    context: int | None = None  # None = the data's
    vocabulary: int | None = None  # None = the data's
    dropout: float = 0.0  # share of features left out in training
    positions: Literal["learned", "sinusoidal", "rope", "relative"] = "learned"  # relative: a bias of the scores
    rope_base: float = 10000.0  # of the rotation's wavelengths
    window: int | None = None  # a position sees itself and the window - 1 before it; None = all before it
    qk_norm: bool = False  # RMSNorm of each head's queries and keys
    norm: Literal["layer", "rms"] = "layer"  # LayerNorm or RMSNorm
    eps: float = 1e-5  # of the norms
    order: Literal["pre", "post"] = "pre"  # norms before each part, or after each sum
    embedding_norm: bool = True  # with order "post", after the sum of the embeddings too
    mlp: Activation = "gelu"  # gelu: by tanh; swiglu and geglu have a gate
    score_scale: float | None = None  # of attention's scores; None = 1 / sqrt(size of a head)
    tied: bool = True  # the head is the embedding
    embedding_scale: float = 1.0  # of the embeddings that the first block reads
    logit_scale: float = 1.0  # of the features that the head reads
    logit_bias: bool = False  # one for each id
    logit_softcap: float = 0.0  # c: logits become c tanh(logit / c) (Gemma 2, arXiv:2408.00118, section 2); 0 = off
    bias: bool = True  # of dense layers and LayerNorm
    bottleneck: int = 0  # features of an adapter behind each part of a block (models.Adapters); 0 = none
    initializer: Literal["normal", "glorot"] = "normal"  # GPT-2's N(0, 0.02^2); or that of Vaswani et al.'s own code
    vocabulary_multiple: int = 128  # ids are padded to it, for the hardware's tiles and `tensor`
    remat: Remat = "none"  # recomputed: all but matrix products, or all
    unroll: int | None = None  # blocks compiled into one turn of the loop; None = chosen by platform
    attention: Implementation = "auto"  # auto: the fastest kernel of the platform
    dtype: Literal["float32", "bfloat16", "float16"] | None = None  # of compute; None = --train.precision

    def __post_init__(self):
        name = type(self).__name__
        for field in SIZES:
            if (size := getattr(self, field)) is not None and size < 1:
                raise UsageError(f"{name}: {field} is {size}, must be positive")
        if (self.head_size is None and self.width % self.heads) or self.heads % (self.kv_heads or self.heads):
            raise UsageError(
                f"{name}: heads {self.heads} must divide width {self.width}, and kv_heads {self.kv_heads} heads"
            )
        if self.positions == "rope" and self.size % 2:
            raise UsageError(f"{name}: rope needs an even width / heads, not {self.size}")
        if self.positions == "sinusoidal" and self.width % 2:
            raise UsageError(f"{name}: sinusoidal positions need an even width, not {self.width}")
        if not (0 <= self.logit_softcap < math.inf and 0 < self.rope_base < math.inf):
            raise UsageError(f"{name}: logit_softcap {self.logit_softcap}, rope_base {self.rope_base}: not positive")
        if self.bottleneck < 0:
            raise UsageError(f"{name}: bottleneck is {self.bottleneck}, must not be negative")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"{name}: dropout is {self.dropout}, must be in [0, 1)")

    def on(self, platform: str) -> Self:
        """With the attention and the loop that suit "cpu", "gpu" or "tpu", where they were left open."""
        return dataclasses.replace(
            self,
            attention=choose(self.attention, platform, self.dtype),
            unroll=unroll_on(platform, self.layers) if self.unroll is None else self.unroll,
        )

    @property
    def size(self) -> int:
        """C, the size of a head."""
        return self.head_size or self.width // self.heads

    @property
    def padded_vocabulary(self) -> int:
        return math.ceil(self.vocabulary / self.vocabulary_multiple) * self.vocabulary_multiple

    @property
    def kernel_init(self) -> nn.initializers.Initializer:
        """For matrices; Glorot & Bengio's takes queries, keys and values for one matrix, as PyTorch does."""
        return INIT if self.initializer == "normal" else nn.initializers.glorot_uniform()

    @property
    def residual_init(self) -> nn.initializers.Initializer:
        """For projections onto the residual stream: normal ones 1 / sqrt(their number) smaller (GPT-2, section 2.3)."""
        if self.initializer == "glorot":
            return self.kernel_init
        return nn.initializers.normal(0.02 / (2 * self.layers) ** 0.5)

    @property
    def embedding_init(self) -> nn.initializers.Initializer:
        """For tables of ids and positions; with "glorot" of variance 1 / width, which `embedding_scale` makes 1."""
        return INIT if self.initializer == "normal" else nn.initializers.normal(self.width**-0.5)


class Caches(NamedTuple):
    """What a decoder has read so far, and what cross-attention reads of its memory."""

    own: Cache
    memory: Cache | None = None

    def rows(self, row_B: Array) -> "Caches":
        """The caches whose row b has read what row `row_B[b]` has: a row of the same memory, which stays."""
        return Caches(self.own.rows(row_B), self.memory)


def empty_cache(c: Config, batch: int, slots: int, memory_slots: int | None = None) -> Caches:
    """Caches for `slots` positions, and for a memory of `memory_slots`."""

    def empty(slots: int) -> Cache:
        return Cache.empty(c.layers, batch, slots, c.kv_heads or c.heads, c.size, c.dtype)

    return Caches(empty(slots), None if memory_slots is None else empty(memory_slots))


class Shared(NamedTuple):
    """What all blocks of a stack see."""

    mask: Mask
    index_B: Array | None = None  # turns dropout on
    bias_1HTS: Array | None = None
    memory_BSD: Array | None = None
    memory_mask: Mask = Mask()


class Block(nn.Module):
    """Attention to itself, with `cross` to a memory, and the MLP, each added to its input."""

    config: Config
    cross: bool = False

    @nn.compact
    def __call__(self, carry: tuple[Array, Caches | None], layer: Array, shared: Shared):
        c = self.config
        x_BTD, caches = carry
        own, memory = caches or (None, None)
        init = {"bias": c.bias, "kernel_init": c.kernel_init, "out_init": c.residual_init, "dtype": c.dtype}
        heads = {"heads": c.heads, "kv_heads": c.kv_heads, "size": c.size, "scale": c.score_scale, **init}
        heads |= {"qk_norm": c.qk_norm, "implementation": c.attention}

        def before(name: str, x_BTD: Array) -> Array:
            return norm(c, name)(x_BTD) if c.order == "pre" else x_BTD

        def add(part: str, x_BTD: Array, y_BTD: Array) -> Array:
            y_BTD = Dropout(c.dropout)(y_BTD, shared.index_B)
            if c.bottleneck:
                inits = {"kernel_init": ADAPTER_INIT, "out_init": ADAPTER_INIT}
                y_BTD += Feed(c.bottleneck, **inits, dtype=c.dtype, name=f"{part}_adapter")(y_BTD)
            x_BTD = x_BTD + y_BTD
            return x_BTD if c.order == "pre" else norm(c, f"{part}_norm")(x_BTD)

        attend = Attend(rope=c.positions == "rope", rope_base=c.rope_base, **heads, name="attention")
        y_BTD, own = attend(
            before("attention_norm", x_BTD), mask=shared.mask, bias_BHTS=shared.bias_1HTS, cache=own, layer=layer
        )
        x_BTD = add("attention", x_BTD, y_BTD)
        if self.cross:
            attend = Attend(cross=True, **heads, name="memory")
            y_BTD, memory = attend(
                before("memory_norm", x_BTD), shared.memory_BSD, shared.memory_mask, cache=memory, layer=layer
            )
            x_BTD = add("memory", x_BTD, y_BTD)
        y_BTD = Feed(c.hidden or 4 * c.width, c.mlp, **init, name="mlp")(before("mlp_norm", x_BTD))
        x_BTD = add("mlp", x_BTD, y_BTD)
        x_BTD = constrain(x_BTD, BATCH, None, None)
        return (x_BTD, None if caches is None else Caches(own, memory)), None


def norm(c: Config, name: str) -> nn.Module:
    """LayerNorm or RMSNorm, statistics in float32."""
    if c.norm == "rms":
        return nn.RMSNorm(epsilon=c.eps, dtype=c.dtype, name=name)
    return nn.LayerNorm(epsilon=c.eps, use_bias=c.bias, use_fast_variance=False, dtype=c.dtype, name=name)


class Transformer(nn.Module):
    """What encoders and decoders have in common: ids to features."""

    config: Config

    def table(self) -> Array:
        """(V, D) the embedding, a parameter of this module."""
        c = self.config
        return self.param("embedding", c.embedding_init, (c.padded_vocabulary, c.width))

    def features(
        self,
        table_VD: Array,
        tokens_BT: Array,
        shared: Shared,
        *,
        caches: Caches | None = None,
        cross: bool = False,
        kind_BT: Array | None = None,
        kinds: int = 0,
    ) -> tuple[Array, Caches | None]:
        """(B, T, D), normalized; see `Encoder` and `Decoder`."""
        c, t, start = self.config, tokens_BT.shape[1], 0 if shared.mask.start is None else shared.mask.start
        # Whole rows for the look-up: with rows split over fsdp, XLA would replicate the activations instead.
        x_BTD = jnp.take(constrain(table_VD, "tensor", None), tokens_BT, axis=0)
        if c.embedding_scale != 1.0:
            x_BTD = x_BTD * c.embedding_scale
        if c.positions == "sinusoidal":
            x_BTD += sines(shared.mask.positions(t), c.width).astype(x_BTD.dtype)
        if c.positions == "learned":
            table = self.param("positions", c.embedding_init, (c.context, c.width))
            if shared.mask.segments_BT is None:
                rows = jax.lax.dynamic_slice_in_dim(table, start, t)
            else:
                # The last token of a text that fills the context may have another text behind it: nothing reads it.
                rows = jnp.take(table, shared.mask.positions(t), axis=0, mode="clip")
            x_BTD += rows.astype(x_BTD.dtype)
        if kinds:
            table = self.param("kinds", c.embedding_init, (kinds, c.width))
            x_BTD += jnp.take(table, kind_BT, axis=0).astype(x_BTD.dtype)
        if c.order == "post" and c.embedding_norm:
            x_BTD = norm(c, "embedding_norm")(x_BTD)
        x_BTD = constrain(Dropout(c.dropout)(x_BTD, shared.index_B), BATCH, None, None)
        if c.positions == "relative":
            slots = t if caches is None else caches.own.k_LBKCS.shape[-1]
            bias = RelativeBias(c.heads, both_sides=not shared.mask.causal, init=INIT, name="relative")
            shared = shared._replace(bias_1HTS=bias(t, slots, start).astype(x_BTD.dtype))
        blocks = stacked(Block, layers=c.layers, remat=c.remat, unroll=c.unroll or 1)(c, cross, name="blocks")
        (x_BTD, caches), _ = blocks((x_BTD, caches), jnp.arange(c.layers), shared)
        return norm(c, "final_norm")(x_BTD) if c.order == "pre" else x_BTD, caches


def sines(position_BT: Array, width: int) -> Array:
    """(B, T, D) or (T, D), section 3.5 of Vaswani et al. 2017; as in their code all sines, then all cosines."""
    waves = sinusoids(position_BT.reshape(-1), width)
    return jnp.roll(waves, width // 2, axis=-1).reshape(*position_BT.shape, width)


# Megatron's split (Shoeybi et al. 2019): columns, then rows, one all-reduce each; fsdp on the other side.
RULES = (
    ("embedding", ("tensor", "fsdp")),
    ("positions", (None, "fsdp")),
    ("head/kernel", ("fsdp", "tensor")),
    ("blocks/attention/qkv/kernel", (None, "fsdp", "tensor", None, None)),
    ("blocks/attention/qkv/bias", (None, "tensor", None, None)),
    ("blocks/attention/out/kernel", (None, "tensor", None, "fsdp")),
    ("blocks/memory/(query|key|value)/kernel", (None, "fsdp", "tensor")),
    ("blocks/memory/(query|value)/bias", (None, "tensor")),
    ("blocks/memory/out/kernel", (None, "tensor", "fsdp")),
    ("blocks/mlp/(up|gate)/kernel", (None, "fsdp", "tensor")),
    ("blocks/mlp/(up|gate)/bias", (None, "tensor")),
    ("blocks/mlp/down/kernel", (None, "tensor", "fsdp")),
)
