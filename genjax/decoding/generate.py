"""Drawing tokens one after another, in a loop on the device.

Shapes: N rows, P columns of the prompt, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from genjax.decoding.draw import draw
from genjax.decoding.stream import tell

__all__ = ["Extend", "generate", "window_start"]

Array = jax.Array

# (tokens_NT, cache, start) -> (logits_NTV, cache): the tokens take slots start, start + 1 ... of the cache and see the
# slots before them.
Extend = Callable[[Array, Any, Array | int], tuple[Array, Any]]


def window_start(position: Array | int, context: int) -> Array:
    """The first position in the window of `position`: it moves on by half a context whenever that is full.

    A function of the position alone, so that a row does not depend on the others of its batch.
    """
    half = (context + 1) // 2
    return jnp.where(position < context, 0, ((position - context) // half + 1) * half)


def generate(
    extend: Extend,
    cache: Any,
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
    stream: bool = False,
) -> tuple[Array, Array]:
    """Continues each row's prompt by at most `new_tokens`, in one loop that ends when every row has stopped.

    All rows stand at the same position; where a row's prompt is longer, its own token is taken instead of a
    drawn one. Past the context the last half of it is read again from position 0, which costs one parallel
    pass every half context (nanoGPT reads the whole context again for every token).

    Args:
      extend: the language model; see `Extend`.
      cache: empty, with min(context, P + new_tokens) slots.
      prompt_NP: int32, padded on the right.
      length_N: how many tokens of each prompt count, 1 to P.
      stop_N: (N,) or (N, S), the ids that end a row, negative for none.
      stream: the host is told of the first row's tokens as they are drawn (`genjax.decoding.stream`).

    Returns:
      tokens (N, P + new_tokens) int32, prompt included and 0 after the end; lengths (N,) int32, stop token included.
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
        if stream:
            tell(tokens, length[0] - stopped[0])
        done |= ~forced & (stopped | (at + 2 >= last_N))
        return at + 1, tokens, length, done, cache

    begin = jnp.min(length_N) - 1
    if p > 1:
        cache = read(tokens_NT, cache, window_start(begin, context), min(p, context))
    carry = (begin, tokens_NT, length_N, jnp.zeros(n, bool), cache)
    _, tokens_NT, length_N, _, _ = jax.lax.while_loop(lambda c: ~jnp.all(c[3]), step, carry)
    return tokens_NT, length_N
