"""Drawing a picture's ids from a text, one after another, and decoding them."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from genjax.decoding.generate import generate
from genjax.models.base import Array, Batch, Params, Tree
from genjax.models.first_stage import own
from genjax.models.multimodal.dalle_options import DALLEOptions
from genjax.networks import transformer

if TYPE_CHECKING:
    from genjax.models.multimodal.dalle import DALLE

__all__ = ["sample", "told"]


def told(
    model: "DALLE", params: Params, state: Tree, key: Array, conditions: Batch, options: DALLEOptions
) -> tuple[Array, Array, Array]:
    """The texts and texts of nothing, (N, 1 + S) each, and the picture's ids (N, P) that are given, P perhaps 0."""
    s, index_N = model.sequence, conditions["index"]
    words_NS, length_N = model.texts(conditions)
    known_NP = jnp.zeros((len(index_N), 0), jnp.int32)
    if "init" in conditions:
        known_NP = model.ids(params, state, {"index": index_N, "image": conditions["init"]}, key)
        rows = min(max(round(options.keep * s.grid[0]), 1), s.grid[0] - 1)
        known_NP = known_NP[:, : rows * s.grid[1]]
    return s.texts(words_NS, length_N), s.texts(words_NS, 0 * length_N), s.first_code + known_NP


def sample(model: "DALLE", params: Params, state: Tree, key: Array, conditions: Batch, options: DALLEOptions) -> Array:
    """(N, H, W, C) in [-1, 1]; see `DALLE.sample`.

    Guidance adds logits as Ho & Salimans (2022, arXiv:2207.12598) add scores: none + g (given - none).
    """
    s, guided, index_N = model.sequence, options.guidance != 1.0, conditions["index"]
    encode_key, key = jax.random.split(key)
    text_NS, empty_NS, known_NP = told(model, params, state, encode_key, conditions, options)
    prompt_NP = jnp.concatenate([text_NS, known_NP], axis=1)
    decoder, rows = model.networks()["decoder"], len(index_N)

    def extend(tokens_NT: Array, cache: transformer.Caches, start: Array):
        if guided:
            at_T = start + jnp.arange(tokens_NT.shape[1])
            emptied = jnp.where(at_T <= s.text, empty_NS[:, jnp.minimum(at_T, s.text)], tokens_NT)
            tokens_NT = jnp.concatenate([tokens_NT, emptied])
        logits, cache = decoder.apply({"params": params["decoder"]}, tokens_NT, cache=cache, start=start)
        if guided:
            logits, free = logits[:rows], logits[rows:]
            logits = free + options.guidance * (logits - free)
        return logits, cache

    tokens_NN, _ = generate(
        extend,
        transformer.empty_cache(model, rows * (1 + guided), s.length),
        prompt_NP,
        jnp.full((rows,), prompt_NP.shape[1]),
        key,
        index_N,
        new_tokens=s.length - prompt_NP.shape[1],
        context=s.length,
        stop_N=jnp.full((rows,), -1),
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
    )
    codes_NT = tokens_NN[:, 1 + s.text :] - s.first_code
    return model.first_stage.decode(own(params), own(state), codes_NT, conditions)
