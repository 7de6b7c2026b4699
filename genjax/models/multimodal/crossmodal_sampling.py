"""Searching for the caption of a picture, and drawing a picture's ids from a caption."""

from typing import TYPE_CHECKING

import jax.numpy as jnp

from genjax.decoding.beam import beam_search
from genjax.decoding.generate import Extend, generate
from genjax.models.base import Array, Params, Tree
from genjax.models.first_stage import own
from genjax.models.multimodal.crossmodal_options import CrossModalOptions
from genjax.networks import transformer
from genjax.networks.cross_modal import Kind

if TYPE_CHECKING:
    from genjax.models.multimodal.crossmodal import CrossModal

__all__ = ["captioned", "drawn"]


def captioned(model: "CrossModal", params: Params, image_NHWC: Array, options: CrossModalOptions) -> dict[str, Array]:
    """`caption` (N, S) and `caption_length` (N,), the likeliest that beam search finds for each picture."""
    n, s = len(image_NHWC), model.sizes
    memory_NPD = model.apply(params, image_NHWC, method="read_image")
    extend, cache = _reader(model, params, "caption", jnp.repeat(memory_NPD, options.beams, axis=0), None, s.text)
    found = beam_search(
        extend,
        transformer.Caches.rows,
        cache,
        jnp.zeros((n, 1), jnp.int32),
        jnp.ones((n,), jnp.int32),
        beams=options.beams,
        new_tokens=s.text,
        stop_N=jnp.full((n,), model.end),
        length_penalty=options.length_penalty,
    )
    return {"caption": found.tokens_NKT[:, 0, 1:], "caption_length": found.length_NK[:, 0] - 1}


def drawn(
    model: "CrossModal",
    params: Params,
    state: Tree,
    key: Array,
    index_N: Array,
    caption: dict[str, Array],
    options: CrossModalOptions,
) -> Array:
    """(N, H, W, C) in [-1, 1] of `caption` (N, S) and `caption_length` (N,).

    Guidance adds logits as Ho & Salimans (2022, arXiv:2207.12598) add scores: none + g (given - none).
    """
    n, s, guided = len(index_N), model.sizes, options.guidance != 1.0
    words_NS, length_N = caption["caption"], caption["caption_length"]
    memory_RSD = model.apply(params, words_NS, length_N, method="read_caption")
    if guided:
        heard_R = jnp.arange(2 * n) < n
        twice = (jnp.concatenate([x, x]) for x in (memory_RSD, length_N))
        memory_RSD, length_R = model.apply(params, *twice, heard_R, method="without")
    else:
        length_R = length_N
    both, cache = _reader(model, params, "image", memory_RSD, length_R, s.ids)

    def extend(ids_NT: Array, cache: transformer.Caches, start: Array):
        if not guided:
            return both(ids_NT, cache, start)
        logits, cache = both(jnp.concatenate([ids_NT, ids_NT]), cache, start)
        heard, free = logits[:n], logits[n:]
        return free + options.guidance * (heard - free), cache

    ids_NT, _ = generate(
        extend,
        cache,
        jnp.zeros((n, 1), jnp.int32),
        jnp.ones((n,), jnp.int32),
        key,
        index_N,
        new_tokens=s.ids,
        context=1 + s.ids,
        stop_N=jnp.full((n,), -1),
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
    )
    return model.first_stage.decode(own(params), own(state), ids_NT[:, 1:], {"index": index_N})


def _reader(
    model: "CrossModal", params: Params, kind: Kind, memory_RMD: Array, length_R: Array | None, slots: int
) -> tuple[Extend, transformer.Caches]:
    """The decoder of one kind as `decoding` calls it, and its cache, for which the memory has been read."""
    rows, places = memory_RMD.shape[:2]

    def extend(ids_RT: Array, cache: transformer.Caches, start: Array | int, **memory):
        reading = {"cache": cache, "start": start, "lengths_B": length_R, **memory}
        return model.apply(params, ids_RT, kind, method="write", **reading)

    cache = transformer.empty_cache(model, rows, 1 + slots, places)
    return extend, extend(jnp.zeros((rows, 1), jnp.int32), cache, 0, memory_BMD=memory_RMD)[1]
