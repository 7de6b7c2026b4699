"""What language models share that continue texts: prompts, and the choice between drawing and beam search.

Shapes: N rows, P columns of the prompt.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from genjax.decoding.beam import beam_search
from genjax.decoding.generate import Extend, generate
from genjax.errors import UsageError
from genjax.models.base import Array, Batch
from genjax.models.language.options import GPTOptions

__all__ = ["continued", "prompts"]


def prompts(conditions: Batch) -> tuple[Array, Array]:
    """(N, P) int32 of `conditions`, and how many tokens of each row count, 1 to P: prompts, or one start token.

    Raises UsageError for prompts that are no ids.
    """
    if "prompt" in conditions:
        if not jnp.issubdtype(getattr(conditions["prompt"], "dtype", object), jnp.integer):
            raise UsageError("conditions: `prompt` holds ids (N, P), which tokenizer.encode makes of text")
        return conditions["prompt"].astype(jnp.int32), jnp.maximum(conditions["prompt_length"].astype(jnp.int32), 1)
    n = len(conditions["index"])
    start_N = jnp.broadcast_to(conditions.get("start", 0), (n,)).astype(jnp.int32)
    return start_N[:, None], jnp.ones((n,), jnp.int32)


def continued(
    extend: Extend,
    empty: Callable[[int], Any],
    key: Array,
    conditions: Batch,
    options: GPTOptions,
    *,
    new_tokens: int,
    context: int,
    reorder: Callable[[Any, Array], Any] = lambda cache, row_R: jax.tree.map(lambda x: x[row_R], cache),
) -> dict[str, Array]:
    """Each row's prompt and at most `new_tokens` more, drawn or, with `options.beams`, searched for.

    Args:
      extend: the language model; see `genjax.decoding.generate`.
      empty: an empty cache of so many rows.
      conditions:
        index (N,): rows draw their own noise from it.
        prompt (N, P) int32 padded on the right, prompt_length (N,) int32 from 1 to P. Without them
        start (N,) int32, the token before the text (end of text, or a newline); 0 where absent.
        stop (), (N,) or (N, S) int32: the ids that end a row, negative or absent for none.
      reorder: takes rows of the cache; see `beam_search`.

    Returns:
      tokens (N, P + new), prompt or start token included; tokens_length (N,), the stop token included.
    """
    index_N = conditions["index"]
    prompt_NP, length_N = prompts(conditions)
    stop = jnp.asarray(conditions.get("stop", -1))
    given = {"new_tokens": new_tokens, "stop_N": stop if stop.ndim == 2 else jnp.broadcast_to(stop, index_N.shape)}
    if options.beams > 1:
        searched = {"beams": options.beams, "length_penalty": options.length_penalty, **given}
        found = beam_search(extend, reorder, empty(len(index_N) * options.beams), prompt_NP, length_N, **searched)
        return {"tokens": found.tokens_NKT[:, 0], "tokens_length": found.length_NK[:, 0]}
    how = {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "stream")}
    cache = empty(len(index_N))
    tokens_NT, length_N = generate(extend, cache, prompt_NP, length_N, key, index_N, context=context, **how, **given)
    return {"tokens": tokens_NT, "tokens_length": length_N}
