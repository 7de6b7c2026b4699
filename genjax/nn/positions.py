"""Positions in a text: rotations of queries and keys, and a bias of their scores by distance."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

__all__ = ["RelativeBias", "distance_bucket", "rotate"]

Array = jax.Array


def rotate(x_BTHC: Array, position_BT: Array, base: float = 10000.0) -> Array:
    """Rotary position embedding (Su et al. 2021, equation 34) for positions (T,) or (B, T).

    The pairs are (i, i + C/2), as in GPT-NeoX and Hugging Face's Llama, where the paper pairs (2i, 2i + 1):
    the two differ by a fixed permutation of each head's columns.
    """
    half = x_BTHC.shape[-1] // 2
    angle = position_BT[..., None].astype(jnp.float32) * base ** (-jnp.arange(half, dtype=jnp.float32) / half)
    cos, sin = jnp.cos(angle)[..., None, :], jnp.sin(angle)[..., None, :]
    a, b = jnp.split(x_BTHC.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1).astype(x_BTHC.dtype)


def distance_bucket(distance: Array, *, both_sides: bool, buckets: int, farthest: int) -> Array:
    """T5's classes of `distance` = key - query, int32 in [0, buckets), as its released code has them.

    Half of them (of each side's) are single distances; the others widen logarithmically up to `farthest`, and beyond
    it all distances are one. Without `both_sides` every key after the query is at distance 0.
    """
    if both_sides:
        buckets //= 2
        base, distance = jnp.where(distance > 0, buckets, 0), jnp.abs(distance)
    else:
        base, distance = 0, jnp.maximum(-distance, 0)
    single = buckets // 2
    share = jnp.log(jnp.maximum(distance, 1).astype(jnp.float32) / single) / math.log(farthest / single)
    wide = jnp.minimum(single + (share * (buckets - single)).astype(jnp.int32), buckets - 1)
    return base + jnp.where(distance < single, distance, wide)


class RelativeBias(nn.Module):
    """A learned number for each head and class of distance (Raffel et al. 2020, section 2.1): (1, H, T, S) float32."""

    heads: int
    both_sides: bool
    init: nn.initializers.Initializer = nn.initializers.normal(0.02)
    buckets: int = 32  # the paper's numbers, as all of T5's published weights have them
    farthest: int = 128

    @nn.compact
    def __call__(self, t: int, s: int, start: Array | int = 0) -> Array:
        """Of T queries at positions start, start + 1 ... and keys at 0 .. S - 1."""
        table = self.param("embedding", self.init, (self.buckets, self.heads))
        distance_TS = jnp.arange(s) - (start + jnp.arange(t)[:, None])
        bucket_TS = distance_bucket(
            distance_TS, both_sides=self.both_sides, buckets=self.buckets, farthest=self.farthest
        )
        return jnp.take(table, bucket_TS, axis=0).transpose(2, 0, 1)[None]
