"""Truncation of the distribution against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.decoding.draw import draw, filter_logits


def brute_force(logits, temperature, top_k, top_p):
    """Probabilities of one row, id by id."""
    logits = np.asarray(logits, np.float64) / temperature
    order = sorted(range(len(logits)), key=lambda i: -logits[i])
    order = order[: top_k or len(order)]
    mass = np.exp(logits[order] - logits.max())
    mass /= mass.sum()
    kept, total = [], 0.0
    for i, m in zip(order, mass):
        kept.append(i)
        total += m
        if total >= top_p:
            break
    probability = np.zeros(len(logits))
    probability[kept] = np.exp(logits[kept] - logits.max())
    return probability / probability.sum()


@pytest.mark.parametrize(
    "temperature, top_k, top_p", [(1, 0, 1), (0.7, 3, 1), (1.3, 0, 0.6), (0.9, 5, 0.8), (1, 99, 0.01), (1, 0, 1e-40)]
)
def test_truncation(temperature, top_k, top_p):
    logits = 2 * np.random.default_rng(0).standard_normal((20, 11)).astype(np.float32)
    ours = jax.nn.softmax(filter_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p))
    theirs = [brute_force(row, temperature, top_k, top_p) for row in logits]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_draws_follow_the_distribution():
    logits = jnp.log(jnp.array([0.5, 0.3, 0.15, 0.05]))
    n = 4000
    ids = draw(jax.random.key(0), jnp.arange(n), jnp.tile(logits, (n, 1)), temperature=1.0, top_k=3, top_p=1.0)
    share = np.bincount(ids, minlength=4) / n
    np.testing.assert_allclose(share, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0], atol=0.03)
