"""Attention: one function, three implementations that compute the same numbers.

Shapes: B batch, T queries, S keys, H query heads, K key-value heads (H is a multiple of K), C size of a head.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from genjax.nn.sharding import BATCH, fitting_spec, replica_axis

Array = jax.Array
Implementation = Literal["auto", "xla", "cudnn", "splash"]

CAUSAL = "causal_attention"  # the scope of its operations, by which profiles and FLOP counts know them
LANES = 128  # splash works on tiles of this many positions


def choose(implementation: Implementation, platform: str, dtype) -> Implementation:
    """The concrete implementation for "cpu", "gpu" or "tpu"; cuDNN's kernels exist for 16-bit floats only."""
    if implementation != "auto":
        return implementation
    if platform == "gpu":
        return "cudnn" if jnp.dtype(dtype or jnp.float32).itemsize == 2 else "xla"
    return "splash" if platform == "tpu" else "xla"


def attention(
    q_BTHC: Array,
    k_BSKC: Array,
    v_BSKC: Array,
    *,
    causal: bool = False,
    mask_BTS: Array | None = None,
    implementation: Implementation = "xla",
    interpret: bool = False,
) -> Array:
    """softmax(q k' / sqrt(C)) v, (B, T, H, C), the softmax in float32 (Vaswani et al. 2017, equation 1).

    Grouped-query attention (Ainslie et al. 2023): query head h reads key-value head h // (H / K).
    `causal` needs S = T. An explicit `mask_BTS` (True = attend; B may be 1) always takes the XLA path, and so
    does splash on lengths that its tiles of 128 do not divide. "auto" is XLA; see `choose`.
    `interpret` emulates splash's kernel on any platform (for tests).
    """
    flash = implementation in ("cudnn", "splash") and mask_BTS is None
    if flash and implementation == "splash" and q_BTHC.shape[1] % LANES == 0 and k_BSKC.shape[1] % LANES == 0:
        return _splash(q_BTHC, k_BSKC, v_BSKC, causal, interpret)
    with jax.named_scope(CAUSAL if causal else "attention"):
        return jax.nn.dot_product_attention(
            q_BTHC,
            k_BSKC,
            v_BSKC,
            mask=None if mask_BTS is None else mask_BTS[:, None],
            is_causal=causal,
            implementation="cudnn" if flash and implementation == "cudnn" else "xla",
        )


def _splash(q_BTHC: Array, k_BSKC: Array, v_BSKC: Array, causal: bool, interpret: bool) -> Array:
    """Pallas's block-sparse flash attention. A kernel cannot be partitioned by XLA, hence the shard_map."""
    from jax.experimental.pallas.ops.tpu import splash_attention as splash  # slow to import

    def one_shard(q_BTHC, k_BSKC, v_BSKC):
        t, heads, s = q_BTHC.shape[1], q_BTHC.shape[2], k_BSKC.shape[1]
        mask = (splash.CausalMask if causal else splash.FullMask)((t, s))
        kernel = splash.make_splash_mha(
            splash.MultiHeadMask([mask] * heads),
            block_sizes=_block_sizes(splash, t, s),
            head_shards=1,
            q_seq_shards=1,
            interpret=interpret,
        )
        q, k, v = (jnp.swapaxes(x, 1, 2) for x in (q_BTHC * q_BTHC.shape[-1] ** -0.5, k_BSKC, v_BSKC))
        return jnp.swapaxes(jax.vmap(kernel)(q, k, v), 1, 2)

    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or replica_axis() is not None:
        return one_shard(q_BTHC, k_BSKC, v_BSKC)
    # The key-value heads decide the split: whatever divides K divides H, and queries stay with their keys.
    spec = fitting_spec((BATCH, None, "tensor", None), k_BSKC.shape, dict(mesh.shape))
    sharded = jax.shard_map(one_shard, in_specs=(spec, spec, spec), out_specs=spec, check_vma=False)
    return sharded(q_BTHC, k_BSKC, v_BSKC)


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
