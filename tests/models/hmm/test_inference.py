"""Inference against the sum over all paths, whatever the semiring and the number of blocks."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.models.hmm.inference import block_count, log_likelihood, smooth, viterbi

TIMES, STATES = 5, 3
LENGTHS = np.array([5, 3, 1])


@functools.cache
def chain(seed: int = 0):
    """Log probabilities: start (K,), move (K, K), emissions (B, T, K)."""
    random = np.random.default_rng(seed)
    logs = np.log(random.dirichlet(np.ones(STATES), STATES + 1)).astype(np.float32)
    emit_BTK = random.normal(size=(len(LENGTHS), TIMES, STATES)).astype(np.float32)
    emit_BTK[0, 2] = 0  # missing
    return logs[0], logs[1:], emit_BTK


def by_paths(start_K, move_KK, emit_TK):
    """(log p, posteriors, expected moves, best path), by enumeration."""
    paths = np.array(list(itertools.product(range(STATES), repeat=len(emit_TK))))
    logs = start_K[paths[:, 0]] + emit_TK[np.arange(len(emit_TK)), paths].sum(1)
    logs = logs + move_KK[paths[:, :-1], paths[:, 1:]].sum(1)
    total = np.logaddexp.reduce(logs)
    weight = np.exp(logs - total)
    state_TK = np.stack([weight @ (paths == k) for k in range(STATES)], 1)
    move = np.zeros((STATES, STATES))
    for i, j in itertools.product(range(STATES), repeat=2):
        move[i, j] = weight @ ((paths[:, :-1] == i) & (paths[:, 1:] == j)).sum(1)
    return total, state_TK, move, paths[logs.argmax()], logs.max()


@pytest.mark.parametrize("probabilities", [True, False, None])
@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_posteriors_are_those_of_all_paths(blocks, probabilities):
    start_K, move_KK, emit_BTK = chain()
    run = jax.jit(functools.partial(smooth, blocks=blocks, probabilities=probabilities))
    done = run(start_K, move_KK, emit_BTK, LENGTHS)
    expected = [by_paths(start_K, move_KK, emit[:length]) for emit, length in zip(emit_BTK, LENGTHS)]
    np.testing.assert_allclose(done.log_likelihood_B, [each[0] for each in expected], rtol=1e-5)
    np.testing.assert_allclose(done.move_KK, sum(each[2] for each in expected), rtol=1e-4)
    for row, length, (_, state_TK, *_) in zip(done.state_BTK, LENGTHS, expected):
        np.testing.assert_allclose(row[:length], state_TK, atol=1e-5)
        assert not row[length:].any()


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_the_best_path_is_the_best_of_all(blocks):
    start_K, move_KK, emit_BTK = chain()
    best = jax.jit(functools.partial(viterbi, blocks=blocks))(start_K, move_KK, emit_BTK, LENGTHS)
    for row, joint, emit, length in zip(best.path_BT, best.log_joint_B, emit_BTK, LENGTHS):
        *_, path, log = by_paths(start_K, move_KK, emit[:length])
        np.testing.assert_array_equal(row[:length], path)
        np.testing.assert_allclose(joint, log, rtol=1e-5)


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_gradient_in_the_moves_is_their_expected_number(blocks):
    start_K, move_KK, emit_BTK = chain()

    def total(move_KK):
        return log_likelihood(start_K, move_KK, emit_BTK, LENGTHS, blocks=blocks).sum()

    expected = jax.jit(smooth)(start_K, move_KK, emit_BTK, LENGTHS).move_KK
    np.testing.assert_allclose(jax.jit(jax.grad(total))(jnp.asarray(move_KK)), expected, rtol=1e-4)


@pytest.mark.parametrize("blocks", [1, 3])
def test_what_probabilities_would_lose_is_computed_in_logarithms(blocks):
    """Two chains that never meet: the first leads by 200 nats, and the second wins in the end."""
    start_K, move_KK = np.log([0.5, 0.5]), np.array([[0, -np.inf], [-np.inf, 0]])
    emit_BTK = np.repeat([[0.0, -20.0], [-40.0, 0.0]], 10, axis=0)[None]
    arguments = [np.float32(x) for x in (start_K, move_KK, emit_BTK)]
    done = jax.jit(functools.partial(smooth, blocks=blocks))(*arguments, np.array([20]))
    np.testing.assert_allclose(done.log_likelihood_B, np.log(0.5) - 200, rtol=1e-6)
    np.testing.assert_allclose(done.state_BTK[0, :, 1], 1, atol=1e-6)


def test_float32_keeps_its_digits_over_100_000_times():
    random = np.random.default_rng(0)
    logs = np.log(random.dirichlet(np.ones(2), 3))
    emit_BTK = np.log(random.dirichlet(np.ones(2), (1, 100_000)))
    length = np.array([100_000])
    single = jax.jit(smooth)(*[np.float32(x) for x in (logs[0], logs[1:], emit_BTK)], length)
    with jax.enable_x64(True):
        double = jax.jit(smooth)(*[jnp.asarray(x) for x in (logs[0], logs[1:], emit_BTK)], length)
    np.testing.assert_allclose(single.log_likelihood_B, double.log_likelihood_B, rtol=1e-6)
    np.testing.assert_allclose(single.state_BTK, double.state_BTK, atol=1e-5)
    np.testing.assert_allclose(single.move_KK, double.move_KK, rtol=1e-4)


def test_only_long_sequences_are_cut():
    assert block_count(1, 100_000, 4096) == 632
    assert block_count(1000, 100_000, 4096) == 4
    assert block_count(1, 100, 4096) == block_count(1, 100_000, 1) == 1
