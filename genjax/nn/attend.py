"""Multi-head attention with its projections: to itself or to a memory, with a cache or without."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax.nn.attention import Implementation, Mask, attention, attention_weights
from genjax.nn.cache import Cache
from genjax.nn.dense import Dense, DenseGeneral
from genjax.nn.positions import rotate

__all__ = ["Attend"]

Array = jax.Array
Init = nn.initializers.Initializer


class Attend(nn.Module):
    """(B, T, D) -> (B, T, D), by H query heads and K key-value heads of size C.

    `layout` says how the projections are stored. Published weights, sharding and speed decide; the function is one:
      "grouped": "qkv" (D, K, H / K + 2, C), each key-value head with its queries, so that `tensor` splits the heads;
      "thirds": "qkv" (D, 3, H, C), where K = H;
      "apart": matrices "query", "key", "value", and "out" as a matrix too. Keys have no bias: it adds one number to all
        scores of a query, which softmax does not see.
    "out" is (H, C, D) but for "apart".

    Where the collection "maps" is mutable, "weights" (B, H, T, S) of this call are left in it.
    """

    heads: int
    kv_heads: int | None = None  # None = as many as heads
    size: int | None = None  # of a head; None = D / heads
    layout: Literal["grouped", "thirds", "apart"] = "grouped"
    cross: bool = False  # to a memory; the layout is then "apart"
    rope: bool = False
    rope_base: float = 10000.0
    qk_norm: bool = False  # RMSNorm of each head's queries and keys (Henry et al. 2020, in the form of Qwen 3)
    bias: bool = True
    scale: float | None = None  # of the scores; None = 1 / sqrt(C)
    implementation: Implementation = "xla"
    kernel_init: Init = nn.initializers.lecun_normal()
    out_init: Init = nn.initializers.lecun_normal()
    dtype: str | None = None

    @nn.compact
    def __call__(
        self,
        x_BTD: Array,
        memory_BSD: Array | None = None,
        mask: Mask = Mask(),
        *,
        bias_BHTS: Array | None = None,
        cache: Cache | None = None,
        layer: Array | int = 0,
    ) -> tuple[Array, Cache | None]:
        """The result, and the cache with what this call adds to its layer.

        With a cache, self-attention writes its keys and values at `mask.start` and reads all slots. Cross-attention
        writes those of the memory; without a memory it reads those that an earlier call has written.
        """
        b, t, width = x_BTD.shape
        size = self.size or width // self.heads
        q_BTHC, k_BSKC, v_BSKC = self._project(x_BTD, memory_BSD, size)
        if self.qk_norm:
            q_BTHC = nn.RMSNorm(epsilon=1e-6, dtype=self.dtype, name="query_norm")(q_BTHC)
            if k_BSKC is not None:
                k_BSKC = nn.RMSNorm(epsilon=1e-6, dtype=self.dtype, name="key_norm")(k_BSKC)
        if self.rope:
            position_BT = mask.positions(t)
            q_BTHC, k_BSKC = (rotate(x, position_BT, self.rope_base) for x in (q_BTHC, k_BSKC))
        if cache is not None:
            if k_BSKC is not None:
                cache = cache.write(layer, 0 if self.cross else mask.start, k_BSKC, v_BSKC)
            k_BSKC, v_BSKC = cache.read(layer)
        if self.is_mutable_collection("maps") and not self.is_initializing():
            weights_BHTS = attention_weights(q_BTHC, k_BSKC, mask, bias_BHTS=bias_BHTS, scale=self.scale)
            self.sow("maps", "weights", weights_BHTS, reduce_fn=lambda _, new: new, init_fn=lambda: None)
        y_BTHC = attention(
            q_BTHC,
            k_BSKC,
            v_BSKC,
            mask,
            bias_BHTS=bias_BHTS,
            scale=self.scale,
            implementation=self.implementation,
        )
        options = {"use_bias": self.bias, "kernel_init": self.out_init, "dtype": self.dtype, "name": "out"}
        if self._layout == "apart":
            return Dense(width, **options)(y_BTHC.reshape(b, t, -1)), cache
        return DenseGeneral(width, axis=(-2, -1), **options)(y_BTHC), cache

    @property
    def _layout(self) -> str:
        return "apart" if self.cross else self.layout

    def _project(self, x_BTD: Array, memory_BSD: Array | None, size: int) -> tuple[Array, Array | None, Array | None]:
        """Queries (B, T, H, C), keys and values (B, S, K, C); None for those of a memory that is not given."""
        heads, kv_heads = self.heads, self.kv_heads or self.heads
        options = {"kernel_init": self.kernel_init, "dtype": self.dtype}
        if self._layout == "thirds":
            qkv = DenseGeneral((3, heads, size), use_bias=self.bias, name="qkv", **options)(x_BTD)
            return tuple(jnp.moveaxis(qkv, 2, 0))
        if self._layout == "grouped":
            group = heads // kv_heads
            qkv = DenseGeneral((kv_heads, group + 2, size), use_bias=self.bias, name="qkv", **options)(x_BTD)
            q_BTHC = qkv[..., :group, :].reshape(*x_BTD.shape[:2], heads, size)
            return q_BTHC, qkv[..., group, :], qkv[..., group + 1, :]

        def project(name: str, source_BSD: Array | None, heads: int) -> Array | None:
            if source_BSD is None:
                return None
            bias = self.bias and name != "key"
            y = Dense(heads * size, use_bias=bias, name=name, **options)(source_BSD)
            return y.reshape(*source_BSD.shape[:2], heads, size)

        source_BSD = memory_BSD if self.cross else x_BTD
        return (
            project("query", x_BTD, heads),
            project("key", source_BSD, kv_heads),
            project("value", source_BSD, kv_heads),
        )
