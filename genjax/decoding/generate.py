"""Drawing tokens one after another: temperature, top-k, top-p, and the loop on the device.

Shapes: N rows, P columns of the prompt, V vocabulary.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax.nn.noise import example_keys

Array = jax.Array


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
        least_N1 = jnp.min(jnp.where(before_NV < top_p, ordered_NV, jnp.inf), axis=-1, keepdims=True)
        logits_NV = jnp.where(probability_NV >= least_N1, logits_NV, -jnp.inf)
    return logits_NV


def draw(key: Array, index_N: Array, logits_NV: Array, *, temperature: float, top_k: int, top_p: float) -> Array:
    """(N,) int32 ids, each row's from its own noise; temperature 0 takes the likeliest."""
    if temperature == 0.0:
        return jnp.argmax(logits_NV, axis=-1).astype(jnp.int32)
    logits_NV = filter_logits(logits_NV, temperature=temperature, top_k=top_k, top_p=top_p)
    return jax.vmap(jax.random.categorical)(example_keys(key, index_N), logits_NV).astype(jnp.int32)


def window_start(position: Array | int, context: int) -> Array:
    """The first position in the window of `position`: it moves on by half a context whenever that is full.

    A function of the position alone, so that a row does not depend on the others of its batch.
    """
    half = (context + 1) // 2
    return jnp.where(position < context, 0, ((position - context) // half + 1) * half)


def generate(
    extend: Callable[[Array, Array, Array], tuple[Array, Array]],
    cache: Array,
    prompt_NP: Array,
    length_N: Array,
    key: Array,
    index_N: Array,
    *,
    new_tokens: int,
    context: int,
    stop_N: Array,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> dict[str, Array]:
    """Continues each row's prompt by at most `new_tokens`, in one loop that ends when every row has stopped.

    All rows stand at the same position; where a row's prompt is longer, its own token is taken instead of a
    drawn one. Past the context the last half of it is read again from position 0, which costs one parallel
    pass every half context (nanoGPT reads the whole context again for every token).

    Args:
      extend: (tokens_NT, cache, start) -> (logits_NTV, cache); the tokens take slots start, start + 1 ... of
        the window and see those before them.
      cache: empty, with min(context, P + new_tokens) slots.
      prompt_NP: int32, padded on the right.
      length_N: how many tokens of each prompt count, 1 to P.
      stop_N: (N,) or (N, S), the ids that end a row, negative for none.

    Returns:
      tokens (N, P + new_tokens), prompt included and 0 after the end; length (N,), the stop token included.
    """
    n, p = prompt_NP.shape
    total = p + new_tokens
    last_N = length_N + new_tokens  # where a row ends at the latest
    stop_NS = stop_N.reshape(n, -1)
    tokens_NT = jnp.pad(prompt_NP, ((0, 0), (0, new_tokens)))
    tokens_NT = jnp.where(jnp.arange(total) < length_N[:, None], tokens_NT, 0)

    def read(tokens, cache, first, count):
        """Fills the window's first `count` slots; those past `at` are written again before use."""
        padded = jnp.pad(tokens, ((0, 0), (0, count)))
        return extend(jax.lax.dynamic_slice_in_dim(padded, first, count, axis=1), cache, 0)[1]

    def step(carry):
        at, tokens, length, done, cache = carry
        first = window_start(at, context)
        if total > context > 1:
            moved = (at > 0) & (first != window_start(at - 1, context))
            kept = context // 2
            cache = jax.lax.cond(moved, lambda c: read(tokens, c, first, kept), lambda c: c, cache)
        current = jax.lax.dynamic_slice_in_dim(tokens, at, 1, axis=1)
        logits, cache = extend(current, cache, at - first)
        fresh = draw(
            jax.random.fold_in(key, at),
            index_N,
            logits[:, 0],
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
        )
        given = jax.lax.dynamic_index_in_dim(tokens, at + 1, axis=1, keepdims=False)
        forced = at + 1 < length_N
        following = jnp.where(forced | done, given, fresh)
        tokens = jax.lax.dynamic_update_index_in_dim(tokens, following, at + 1, axis=1)
        length = jnp.where(forced | done, length, at + 2)
        stopped = (following[:, None] == stop_NS).any(axis=1)
        done |= ~forced & (stopped | (at + 2 >= last_N))
        return at + 1, tokens, length, done, cache

    begin = jnp.min(length_N) - 1
    if p > 1:
        cache = read(tokens_NT, cache, window_start(begin, context), min(p, context))
    carry = (begin, tokens_NT, length_N, jnp.zeros(n, bool), cache)
    _, tokens_NT, length_N, _, _ = jax.lax.while_loop(lambda c: ~jnp.all(c[3]), step, carry)
    return {"tokens": tokens_NT, "length": length_N}
