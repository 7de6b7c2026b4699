"""Beam search: the likeliest texts, as far as a search that keeps K of them alive finds them.

Shapes: N rows, K beams, P columns of the prompt, T = P + new tokens, V vocabulary, M candidates of a step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from genjax.decoding.generate import Extend

__all__ = ["Beams", "beam_search"]

Array = jax.Array

NEVER = -1e9  # the score of what must not be chosen while there is anything else


class Beams(NamedTuple):
    """Texts by falling score.

    Attributes:
      tokens_NKT: int32, the prompt included and 0 after the end.
      length_NK: int32, the stop token included.
      score_NK: float32 log probability of what follows the prompt, divided by its length ** length_penalty.
    """

    tokens_NKT: Array
    length_NK: Array
    score_NK: Array

    def best(self, k: int) -> "Beams":
        """The k of the highest scores."""
        order = jax.lax.top_k(self.score_NK, k)[1]
        return jax.tree.map(lambda x: _take(x, order), self)


class _Search(NamedTuple):
    at: Array  # position of the tokens that are read next
    alive: Beams  # their scores are sums of log probabilities
    ended: Beams
    open_N: Array  # rows whose beams may still pass one that has ended
    cache: Any


def beam_search(
    extend: Extend,
    reorder: Callable[[Any, Array], Any],
    cache: Any,
    prompt_NP: Array,
    length_N: Array,
    *,
    beams: int,
    new_tokens: int,
    stop_N: Array,
    length_penalty: float = 1.0,
) -> Beams:
    """The K best continuations of each row's prompt by at most `new_tokens`.

    The search of Hugging Face's `generate(num_beams=K)`: a row is finished when its K ended texts score at least as
    high as its best beam does at its present length.

    Args:
      extend: the language model, of N K rows; see `decoding.generate`.
      reorder: (cache, row_R) -> the cache whose row r was row `row_R[r]`, a beam of the same prompt.
      cache: empty, of N K rows, the beams of a prompt together, with P + new_tokens slots.
      prompt_NP: int32, padded on the right.
      length_N: how many tokens of each prompt count, 1 to P.
      stop_N: (N,) or (N, S), the ids that end a text, negative for none.
      length_penalty: above 0 longer texts gain, below 0 shorter ones (Wu et al. 2016, section 7, in a simpler form).
    """
    n, p = prompt_NP.shape
    tokens_NT = jnp.where(jnp.arange(p) < length_N[:, None], prompt_NP, 0)
    tokens_NKT = jnp.repeat(jnp.pad(tokens_NT, ((0, 0), (0, new_tokens)))[:, None], beams, axis=1)
    stop_NS = stop_N.reshape(n, -1)
    length_NK = jnp.repeat(length_N[:, None], beams, axis=1)
    never_NK = jnp.full((n, beams), NEVER)
    begin = jnp.min(length_N) - 1
    if p > 1:  # slots from `begin` on are written again before use
        cache = extend(tokens_NKT[:, :, :p].reshape(n * beams, p), cache, 0)[1]

    def step(search: _Search) -> _Search:
        at, alive, ended, open_N, cache = search
        current = jax.lax.dynamic_index_in_dim(alive.tokens_NKT, at, axis=2, keepdims=False)
        logits, cache = extend(current.reshape(-1, 1), cache, at)
        log_p_NKV = jax.nn.log_softmax(logits[:, 0]).reshape(n, beams, -1)
        vocabulary = log_p_NKV.shape[-1]
        forced_N = at + 1 < length_N
        given_N = jax.lax.dynamic_index_in_dim(tokens_NKT[:, 0], at + 1, axis=1, keepdims=False)
        given_NV = jnp.where(jnp.arange(vocabulary) == given_N[:, None], 0.0, -jnp.inf)
        log_p_NKV = jnp.where(forced_N[:, None, None], given_NV[:, None], log_p_NKV)

        # As many candidates as leave K beams alive when every beam has ended in every way that it can.
        candidates = min((1 + stop_NS.shape[1]) * beams, beams * vocabulary)
        scores_NM = (alive.score_NK[:, :, None] + log_p_NKV).reshape(n, -1)
        score_NM, choice_NM = jax.lax.top_k(scores_NM, candidates)
        parent_NM, token_NM = choice_NM // vocabulary, (choice_NM % vocabulary).astype(jnp.int32)
        text_NMT = _take(alive.tokens_NKT, parent_NM)
        text_NMT = jax.lax.dynamic_update_index_in_dim(text_NMT, token_NM, at + 1, axis=2)
        end_NM = (token_NM[:, :, None] == stop_NS[:, None]).any(-1) | (at + 2 >= length_N + new_tokens)[:, None]
        end_NM &= ~forced_N[:, None]

        worth_N = jnp.maximum(at + 2 - length_N, 1).astype(jnp.float32)[:, None] ** length_penalty
        longer_NM = jnp.broadcast_to(jnp.where(forced_N, length_N, at + 2)[:, None], score_NM.shape)
        # Of those that end, only the ones among the K best count: the others are there to keep beams alive.
        counts_NM = end_NM & (jnp.arange(candidates) < beams) & open_N[:, None]
        new = Beams(text_NMT, longer_NM, jnp.where(counts_NM, score_NM / worth_N, NEVER))
        ended = jax.tree.map(lambda old, x: jnp.concatenate([old, x], axis=1), ended, new).best(beams)

        going_NM = jnp.where(end_NM, score_NM + NEVER, score_NM)
        best_NK = jax.lax.top_k(going_NM, beams)[1]
        alive = jax.tree.map(lambda x: _take(x, best_NK), Beams(text_NMT, longer_NM, going_NM))
        row_NK = jnp.arange(n)[:, None] * beams + _take(parent_NM, best_NK)
        open_N &= (alive.score_NK[:, :1] / worth_N > ended.score_NK[:, -1:])[:, 0] & ~end_NM.all(axis=1)
        return _Search(at + 1, alive, ended, open_N, reorder(cache, row_NK.reshape(-1)))

    alive = Beams(tokens_NKT, length_NK, never_NK.at[:, 0].set(0.0))  # K equal beams would stay equal
    search = _Search(begin, alive, Beams(tokens_NKT, length_NK, never_NK), jnp.ones(n, bool), cache)
    return jax.lax.while_loop(lambda search: search.open_N.any(), step, search).ended


def _take(x: Array, index_NM: Array) -> Array:
    """(N, M, ...) the entries `index_NM` along the second axis."""
    return jnp.take_along_axis(x, index_NM.reshape(*index_NM.shape, *[1] * (x.ndim - 2)), axis=1)
