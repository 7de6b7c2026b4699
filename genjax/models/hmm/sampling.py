"""Sequences drawn from a hidden Markov model, and the states of sequences that are given."""

from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp

from genjax.models.hmm.inference import smooth, viterbi
from genjax.nn import noise

if TYPE_CHECKING:
    from genjax.models.hmm.model import HMM

__all__ = ["decode", "draw"]

Array = jax.Array
Tree = Any


def draw(model: "HMM", hmm: Tree, key: Array, index_N: Array, length: int) -> dict[str, Array]:
    """Ancestral sampling: states (N, T), then what each emits."""

    def sequence(key: Array) -> tuple[Array, Array]:
        first, moves, emits = jax.random.split(key, 3)

        def move(state: Array, key: Array) -> tuple[Array, Array]:
            return jax.random.categorical(key, hmm["move"][state]), state

        state_T = jax.lax.scan(move, jax.random.categorical(first, hmm["start"]), jax.random.split(moves, length))[1]

        def emit(state: Array, key: Array) -> Array:
            return model.emission.draw(jax.tree.map(lambda p: p[state], hmm["emission"]), key)

        return jax.vmap(emit)(state_T, jax.random.split(emits, length)), state_T.astype(jnp.int32)

    x, state_NT = jax.vmap(sequence)(noise.example_keys(key, index_N))
    return {model.emission.field: x, "states": state_NT}


def decode(model: "HMM", hmm: Tree, conditions: dict[str, Array], how: Literal["viterbi", "posterior"]) -> dict:
    """The given sequences with their states (N, T), -1 from a sequence's length on."""
    data = model.sequences(conditions)
    arguments = *model.chain(hmm, data), data.length_B
    if how == "viterbi":
        state_NT = viterbi(*arguments, blocks=model.blocks(data)).path_BT
    else:
        state_NT = smooth(*arguments, blocks=model.blocks(data)).state_BTK.argmax(-1).astype(jnp.int32)
    within_NT = jnp.arange(state_NT.shape[1]) < data.length_B[:, None]
    field, values = model.emission.field, model.emission.kind(state_NT.shape[1]).values()
    given = conditions[field].reshape(-1, *values.shape).astype(values.dtype)  # (N, T) numbers are (N, T, 1) here
    return {field: given, "states": jnp.where(within_NT, state_NT, -1)}
