"""Attention: one function, four implementations that compute the same numbers.

Shapes: B batch, T queries, S keys, H query heads, K key-value heads (H is a multiple of K), C size of a head.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from genjax.nn.sharding import BATCH, fitting_spec, replica_axis

__all__ = ["CAUSAL", "LANES", "Implementation", "Mask", "attention", "attention_weights", "choose"]

Array = jax.Array
Implementation = Literal["auto", "xla", "blocks", "cudnn", "splash"]

CAUSAL = "causal_attention"  # the scope of its operations, by which profiles and FLOP counts know them
LANES = 128  # splash works on tiles of this many positions
BLOCKS, FEWEST = 4, 128  # of queries in causal attention on a CPU, and the positions from which on they pay
LARGEST_HEAD = 128  # that cuDNN's kernels take, and a multiple of 8


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mask:
    """Which keys a query sees, said as structure: flash kernels never meet a (T, S) mask.

    Attributes:
      causal: those up to its own position.
      window: those less than `window` positions away.
      lengths_B: (B,) int32, how many of a row's keys count, at least 1; the rest is padding, whose own results as
        queries mean nothing.
      segments_BT: (B, T) int32, in self-attention: those of its own segment, for texts packed into one row.
      start: the position of the first query among the keys, in cached decoding; None = queries and keys start together.
    """

    causal: bool = dataclasses.field(default=False, metadata={"static": True})
    window: int | None = dataclasses.field(default=None, metadata={"static": True})
    lengths_B: Array | None = None
    segments_BT: Array | None = None
    start: Array | int | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing but `causal` is set."""
        return all(x is None for x in (self.window, self.lengths_B, self.segments_BT, self.start))

    def positions(self, t: int) -> Array:
        """Of T queries, (T,); with segments (B, T), each from its own segment's beginning."""
        position_T = jnp.arange(t)
        if self.segments_BT is not None:
            before_BT = jnp.roll(self.segments_BT, 1, axis=1)
            first_BT = jnp.where(self.segments_BT != before_BT, position_T, 0)
            return position_T - jax.lax.cummax(first_BT, axis=1)
        return position_T if self.start is None else self.start + position_T

    def dense(self, t: int, s: int) -> Array:
        """(B or 1, T, S) bool, True where a query sees a key."""
        query_T1 = jnp.arange(t)[:, None] + (0 if self.start is None else self.start)
        key_S = jnp.arange(s)
        seen_BTS = jnp.ones((1, t, s), bool)
        if self.causal:
            seen_BTS &= key_S <= query_T1
        if self.window is not None:
            seen_BTS &= abs(key_S - query_T1) < self.window
        if self.lengths_B is not None:
            seen_BTS &= key_S < self.lengths_B[:, None, None]
        if self.segments_BT is not None:
            seen_BTS &= self.segments_BT[:, :, None] == self.segments_BT[:, None, :]
        return seen_BTS


def choose(implementation: Implementation, platform: str, dtype) -> Implementation:
    """The concrete implementation for "cpu", "gpu" or "tpu"; cuDNN's kernels exist for 16-bit floats only."""
    if implementation != "auto":
        return implementation
    if platform == "gpu":
        return "cudnn" if jnp.dtype(dtype or jnp.float32).itemsize == 2 else "xla"
    return "splash" if platform == "tpu" else "blocks"


def attention(
    q_BTHC: Array,
    k_BSKC: Array,
    v_BSKC: Array,
    mask: Mask = Mask(),
    *,
    bias_BHTS: Array | None = None,
    scale: float | None = None,
    implementation: Implementation = "xla",
    interpret: bool = False,
) -> Array:
    """softmax(scale q k' + bias) v, (B, T, H, C), the softmax in float32 (Vaswani et al. 2017, equation 1).

    Grouped-query attention (Ainslie et al. 2023): query head h reads key-value head h // (H / K).

    XLA takes over from a kernel that does not take the input: either of a `bias_BHTS` or a `mask.start`, splash of
    lengths that its tiles of 128 do not divide, cuDNN of segments, windows on both sides, and heads of other sizes than
    multiples of 8 up to 128. "blocks" is XLA too, and does not compute most of what a causal mask hides, in
    self-attention over a multiple of 4 positions, 128 or more. "auto" is XLA; see `choose`.

    Args:
      bias_BHTS: added to the scores; B may be 1.
      scale: of the scores; None = 1 / sqrt(C).
      interpret: emulates splash's kernel on any platform (for tests).
    """
    t, s, size = q_BTHC.shape[1], k_BSKC.shape[1], q_BTHC.shape[-1]
    if bias_BHTS is None and mask.start is None:
        if implementation == "splash" and t % LANES == 0 and s % LANES == 0:
            return _splash(q_BTHC, k_BSKC, v_BSKC, mask, size**-0.5 if scale is None else scale, interpret)
        one_sided = mask.window is None or mask.causal
        if implementation == "cudnn" and one_sided and mask.segments_BT is None and _head_fits(size):
            return _cudnn(q_BTHC, k_BSKC, v_BSKC, mask, scale)
    causal = mask.causal and mask.start is None
    with jax.named_scope(CAUSAL if causal else "attention"):
        if implementation == "blocks" and causal and t == s and t >= FEWEST and t % BLOCKS == 0:
            return _blocks(q_BTHC, k_BSKC, v_BSKC, mask, bias_BHTS, scale)
        dense_B1TS = None if mask.plain else mask.dense(t, s)[:, None]
        return jax.nn.dot_product_attention(
            q_BTHC, k_BSKC, v_BSKC, bias_BHTS, dense_B1TS, scale=scale, is_causal=causal, implementation="xla"
        )


def attention_weights(
    q_BTHC: Array, k_BSKC: Array, mask: Mask = Mask(), *, bias_BHTS: Array | None = None, scale: float | None = None
) -> Array:
    """(B, H, T, S) float32, what `attention` weighs values by: to look at."""
    k_BSHC = jnp.repeat(k_BSKC, q_BTHC.shape[2] // k_BSKC.shape[2], axis=2)
    scores_BHTS = jnp.einsum("bthc,bshc->bhts", q_BTHC, k_BSHC, preferred_element_type=jnp.float32)
    scores_BHTS = scores_BHTS * (q_BTHC.shape[-1] ** -0.5 if scale is None else scale)
    if bias_BHTS is not None:
        scores_BHTS += bias_BHTS
    seen_B1TS = mask.dense(q_BTHC.shape[1], k_BSKC.shape[1])[:, None]
    return jax.nn.softmax(jnp.where(seen_B1TS, scores_BHTS, -jnp.inf), axis=-1)


def _blocks(
    q_BTHC: Array, k_BTKC: Array, v_BTKC: Array, mask: Mask, bias_BHTT: Array | None, scale: float | None
) -> Array:
    """A quarter of the queries after the other, each with the keys up to its last one: 5/8 of all scores."""
    t = q_BTHC.shape[1]
    seen_B1TT, parts = mask.dense(t, t)[:, None], []
    for last in range(t // BLOCKS, t + 1, t // BLOCKS):
        rows = slice(last - t // BLOCKS, last)
        bias = None if bias_BHTT is None else bias_BHTT[:, :, rows, :last]
        q, k, v, seen = q_BTHC[:, rows], k_BTKC[:, :last], v_BTKC[:, :last], seen_B1TT[:, :, rows, :last]
        parts.append(jax.nn.dot_product_attention(q, k, v, bias, seen, scale=scale, implementation="xla"))
    return jnp.concatenate(parts, axis=1)


def _head_fits(size: int) -> bool:
    return size % 8 == 0 and size <= LARGEST_HEAD


def _cudnn(q_BTHC: Array, k_BSKC: Array, v_BSKC: Array, mask: Mask, scale: float | None) -> Array:
    with jax.named_scope(CAUSAL if mask.causal else "attention"):
        return jax.nn.dot_product_attention(
            q_BTHC,
            k_BSKC,
            v_BSKC,
            scale=scale,
            is_causal=mask.causal,
            key_value_seq_lengths=mask.lengths_B,
            local_window_size=None if mask.window is None else (mask.window - 1, 0),
            implementation="cudnn",
        )


def _splash(q_BTHC: Array, k_BSKC: Array, v_BSKC: Array, mask: Mask, scale: float, interpret: bool) -> Array:
    """Pallas's block-sparse flash attention. A kernel cannot be partitioned by XLA, hence the shard_map."""
    from jax.experimental.pallas.ops.tpu import splash_attention as splash  # slow to import

    def one_shard(q_BTHC, k_BSKC, v_BSKC, segments):
        t, heads, s = q_BTHC.shape[1], q_BTHC.shape[2], k_BSKC.shape[1]
        kernel = splash.make_splash_mha(
            splash.MultiHeadMask([_splash_mask(splash, mask, t, s)] * heads),
            block_sizes=_block_sizes(splash, t, s),
            head_shards=1,
            q_seq_shards=1,
            interpret=interpret,
        )
        q, k, v = (jnp.swapaxes(x, 1, 2) for x in (q_BTHC * scale, k_BSKC, v_BSKC))
        return jnp.swapaxes(jax.vmap(kernel)(q, k, v, segments and splash.SegmentIds(*segments)), 1, 2)

    segments = _splash_segments(mask, q_BTHC.shape[0], q_BTHC.shape[1], k_BSKC.shape[1])
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or replica_axis() is not None:
        return one_shard(q_BTHC, k_BSKC, v_BSKC, segments)
    # The key-value heads decide the split: whatever divides K divides H, and queries stay with their keys.
    spec = fitting_spec((BATCH, None, "tensor", None), k_BSKC.shape, dict(mesh.shape))
    rows = jax.sharding.PartitionSpec(spec[0])
    sharded = jax.shard_map(one_shard, in_specs=(spec, spec, spec, rows), out_specs=spec, check_vma=False)
    return sharded(q_BTHC, k_BSKC, v_BSKC, segments)


def _splash_mask(splash, mask: Mask, t: int, s: int):
    if mask.window is not None:
        return splash.LocalMask((t, s), (mask.window - 1, 0 if mask.causal else mask.window - 1), 0)
    return (splash.CausalMask if mask.causal else splash.FullMask)((t, s))


def _splash_segments(mask: Mask, batch: int, t: int, s: int) -> tuple[Array, Array] | None:
    """Segments of queries (B, T) and keys (B, S); padding is a segment of its own, -1.

    In self-attention padding sees padding, so that no query is left without a key: the kernel would divide by 0.
    """
    if mask.lengths_B is None and mask.segments_BT is None:
        return None
    itself = mask.segments_BT is not None or mask.window is not None  # only self-attention has these
    q_BT = jnp.zeros((batch, t), jnp.int32) if mask.segments_BT is None else mask.segments_BT
    kv_BS = jnp.zeros((batch, s), jnp.int32) if mask.segments_BT is None else mask.segments_BT
    if mask.lengths_B is not None:
        kv_BS = jnp.where(jnp.arange(s) < mask.lengths_B[:, None], kv_BS, -1)
        q_BT = kv_BS if itself else q_BT
    return q_BT, kv_BS


def _block_sizes(splash, t: int, s: int):
    """The largest blocks up to 512 that divide the lengths: fewer steps of the kernel's grid."""
    q, kv = (next(b for b in (512, 256, LANES) if n % b == 0) for n in (t, s))
    return splash.BlockSizes(
        block_q=q,
        block_kv=kv,
        block_kv_compute=kv,
        block_q_dkv=q,
        block_kv_dkv=kv,
        block_kv_dkv_compute=kv,
        block_q_dq=q,
        block_kv_dq=kv,
    )
