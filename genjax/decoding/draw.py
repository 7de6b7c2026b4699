"""One token from its logits: temperature, top-k, top-p.

Shapes: N rows, V vocabulary.
"""

import jax
import jax.numpy as jnp

from genjax.nn.noise import example_keys

__all__ = ["draw", "filter_logits"]

Array = jax.Array

LEAST = float(jnp.finfo(jnp.float32).tiny)  # a smaller share is 0 in float32, and would keep no id


def filter_logits(logits_NV: Array, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Array:
    """Logits of the truncated distribution: -inf outside of it. Temperature first, then top-k, then top-p.

    top_k (Fan et al. 2018) keeps the k likeliest ids, 0 = all. top_p (Holtzman et al. 2020) keeps the
    smallest set of likeliest ids whose probabilities, after top-k, sum to at least p. Ties with the last one
    kept stay too.
    """
    logits_NV = logits_NV / temperature
    if 0 < top_k < logits_NV.shape[-1]:
        least_N1 = jax.lax.top_k(logits_NV, top_k)[0][:, -1:]
        logits_NV = jnp.where(logits_NV >= least_N1, logits_NV, -jnp.inf)
    if top_p < 1.0:
        probability_NV = jax.nn.softmax(logits_NV)
        ordered_NV = jnp.sort(probability_NV, descending=True)
        before_NV = jnp.cumsum(ordered_NV, axis=-1) - ordered_NV
        least_N1 = jnp.min(jnp.where(before_NV < max(top_p, LEAST), ordered_NV, jnp.inf), axis=-1, keepdims=True)
        logits_NV = jnp.where(probability_NV >= least_N1, logits_NV, -jnp.inf)
    return logits_NV


def draw(key: Array, index_N: Array, logits_NV: Array, *, temperature: float, top_k: int, top_p: float) -> Array:
    """(N,) int32 ids, each row's from its own noise; temperature 0 takes the likeliest."""
    if temperature == 0.0:
        return jnp.argmax(logits_NV, axis=-1).astype(jnp.int32)
    logits_NV = filter_logits(logits_NV, temperature=temperature, top_k=top_k, top_p=top_p)
    return jax.vmap(jax.random.categorical)(example_keys(key, index_N), logits_NV).astype(jnp.int32)
