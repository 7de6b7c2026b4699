"""The loop against a small table-driven language model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.decoding.generate import generate, window_start


def test_window_start():
    for context in (2, 7, 8):
        starts = [int(window_start(t, context)) for t in range(40)]
        assert starts[:context] == [0] * context
        for t in range(1, 40):
            assert 0 <= t - starts[t] < context
            if starts[t] != starts[t - 1]:
                assert t - starts[t] == context // 2  # what `generate` reads again


VOCABULARY = 17


def sum_model(tokens_NT, cache_NS, start):
    """A "language model" whose likeliest next id is 1 + the sum of all ids it sees, modulo VOCABULARY."""
    cache_NS = jax.lax.dynamic_update_slice(cache_NS, tokens_NT, (0, start))
    seen = jnp.arange(cache_NS.shape[1]) <= start + jnp.arange(tokens_NT.shape[1])[:, None]
    total_NT = jnp.einsum("ns,ts->nt", cache_NS, seen.astype(jnp.int32))
    return 9.0 * jax.nn.one_hot((total_NT + 1) % VOCABULARY, VOCABULARY), cache_NS


def run(prompts, new_tokens, context, stop=-1, temperature=0.0, index=None):
    width = max(map(len, prompts))
    prompt = np.array([p + [0] * (width - len(p)) for p in prompts], np.int32)
    index = np.arange(len(prompts)) if index is None else index
    tokens, lengths = jax.jit(
        lambda prompt, length, index: generate(
            sum_model,
            jnp.full((len(prompts), min(context, width + new_tokens)), 5, jnp.int32),  # garbage: must not be seen
            prompt,
            length,
            jax.random.key(3),
            index,
            new_tokens=new_tokens,
            context=context,
            stop_N=jnp.full(len(prompts), stop),
            temperature=temperature,
        )
    )(prompt, np.array([len(p) for p in prompts]), index)
    return [row[:n].tolist() for row, n in zip(np.asarray(tokens), np.asarray(lengths))]


def by_hand(prompt, new_tokens, context, stop=-1):
    tokens = list(prompt)
    for t in range(len(prompt) - 1, len(prompt) + new_tokens - 1):
        tokens.append((sum(tokens[int(window_start(t, context)) : t + 1]) + 1) % VOCABULARY)
        if tokens[-1] == stop:
            break
    return tokens


PROMPTS = [[3], [1, 2, 3, 4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize("context", [2, 5, 8, 64])
def test_unequal_prompts_past_the_context(context):
    """Every row as computed by hand: forced prompts, windows that move, prompts longer than the context."""
    assert run(PROMPTS, 20, context) == [by_hand(p, 20, context) for p in PROMPTS]
    assert run(PROMPTS[1:2], 20, context) == [by_hand(PROMPTS[1], 20, context)]


def test_stop_ends_a_row_and_then_the_loop():
    expected = [by_hand(p, 30, 64, stop=16) for p in PROMPTS]
    assert {len(e) for e in expected} != {len(p) + 30 for p in PROMPTS}  # some row does stop early
    assert run(PROMPTS, 30, 64, stop=16) == expected


def test_a_row_keeps_its_noise_in_any_batch():
    together = run(PROMPTS, 12, 64, temperature=3.0, index=np.array([4, 5, 6]))
    alone = run(PROMPTS[2:], 12, 64, temperature=3.0, index=np.array([6]))
    assert together[2] == alone[0]
    assert run([[3], [3]], 12, 64, temperature=3.0)[0] != run([[3], [3]], 12, 64, temperature=3.0)[1]
