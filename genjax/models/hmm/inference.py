"""Inference in hidden Markov models: likelihood, posteriors, the likeliest path.

Time t turns a row vector v of K numbers, one a state, into the vector of sum_i v_i A_ij b_j(x_t): a product with the
matrix A diag(b(x_t)), in one of three semirings. Products are associative, so that a sequence can be cut into blocks
that are computed side by side (Särkkä & García-Fernández 2021, arXiv:1905.13002, here in two levels):

    1. the product of each block, one time of all blocks after another;
    2. the vector that enters each block, by an associative scan over the products;
    3. the vectors within each block, again one time of all blocks after another.

One block is the sequential algorithm (Rabiner 1989), blocks of one time are the associative scan alone. Vectors are
normalized at every time, so that float32 keeps its digits on sequences of any length.

B sequences, T times, K states, C blocks of L times. Times from a sequence's length on change nothing.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax.models.hmm.semiring import BEST, LOGARITHMS, PROBABILITIES, Semiring, probabilities_do

__all__ = ["Best", "Smoothed", "block_count", "log_likelihood", "smooth", "viterbi"]

Array = jax.Array
SHORTEST = 256  # times; shorter sequences are not cut: their steps are few anyway


class Smoothed(NamedTuple):
    """What the whole sequence tells of its states.

    Attributes:
      log_likelihood_B: log p(x).
      state_BTK: p(s_t | x), gamma of Rabiner 1989, equation 27; 0 from a sequence's length on.
      move_KK: the expected number of moves from one state to another, over all sequences: the sum of xi, equation 37.
    """

    log_likelihood_B: Array
    state_BTK: Array
    move_KK: Array


class Best(NamedTuple):
    """The likeliest path; from a sequence's length on it repeats the last state."""

    log_joint_B: Array  # log p(x, path)
    path_BT: Array  # int32


def block_count(sequences: int, times: int, lanes: int) -> int:
    """How many blocks a sequence is cut into, so that about `lanes` vectors are computed side by side."""
    if times < SHORTEST:
        return 1
    return max(1, min(lanes // sequences, 2 * math.isqrt(times)))


def log_likelihood(
    start_K: Array,
    move_KK: Array,
    emit_BTK: Array,
    length_B: Array,
    *,
    blocks: int = 1,
    probabilities: Array | bool | None = None,
) -> Array:
    """(B,) log p(x).

    Args:
      start_K, move_KK: log probabilities of the first state, and of the next one (from, to).
      emit_BTK: log p(x_t | s_t); 0 where x_t is missing.
      length_B: times that count, at least 1.
      blocks: that a sequence is cut into.
      probabilities: whether to compute with probabilities, or with their logarithms; None = as `probabilities_do` says.
    """

    def filtered(ring: Semiring) -> Array:
        cut = _cut(ring, start_K, emit_BTK, length_B, blocks)
        return _forward(ring, ring.of_log(move_KK), cut)[1].sum((0, 2))

    return _either(filtered, move_KK, probabilities)


def smooth(
    start_K: Array,
    move_KK: Array,
    emit_BTK: Array,
    length_B: Array,
    *,
    blocks: int = 1,
    probabilities: Array | bool | None = None,
) -> Smoothed:
    """Posteriors by the forward-backward algorithm; arguments as in `log_likelihood`."""

    def smoothed(ring: Semiring) -> Smoothed:
        cut, move = _cut(ring, start_K, emit_BTK, length_B, blocks), ring.of_log(move_KK)
        products = _products(ring, move, cut)
        alpha, scale = _forward(ring, move, cut, products)
        beta = _backward(ring, move, cut, products)
        both, total = ring.normalized(ring.times(alpha, beta))
        state_BTK = _joined(jnp.exp(ring.to_log(both)) if ring is LOGARITHMS else both, emit_BTK.shape[1])
        valid_BT = jnp.arange(emit_BTK.shape[1]) < length_B[:, None]
        # xi_t = alpha_{t-1} A b_t beta_t, over what normalizes alpha_t (less what the emissions were divided by) beta_t
        norm = ring.times(ring.of_log(scale - cut.shift), total)[..., None]
        right = jnp.where(cut.moves[..., None], ring.divide(ring.times(cut.emit, beta), norm), ring.zero)
        left_BTK, right_BTK = (_joined(x, emit_BTK.shape[1]) for x in (alpha, right))
        move_counts = _moves(ring, left_BTK[:, :-1], move, right_BTK[:, 1:])
        return Smoothed(scale.sum((0, 2)), jnp.where(valid_BT[..., None], state_BTK, 0), move_counts)

    return _either(smoothed, move_KK, probabilities)


def viterbi(start_K: Array, move_KK: Array, emit_BTK: Array, length_B: Array, *, blocks: int = 1) -> Best:
    """The path that maximizes p(x, path) (Viterbi 1967); of equally good states the first. Arguments as above."""
    cut = _cut(BEST, start_K, emit_BTK, length_B, blocks)
    delta, scale = _forward(BEST, move_KK, cut)
    before = jnp.concatenate([jnp.roll(delta[-1:], 1, axis=2), delta[:-1]])
    stay_K = jnp.arange(len(start_K), dtype=jnp.int32)
    from_LBCK = jnp.argmax(before[..., :, None] + move_KK, axis=-2).astype(jnp.int32)
    from_LBCK = jnp.where(cut.moves[..., None], from_LBCK, stay_K)

    # A block maps the state at its end to the state before it. Maps compose, as matrices do.
    def back(map_BCK: Array, from_BCK: Array) -> tuple[Array, None]:
        return jnp.take_along_axis(from_BCK, map_BCK, axis=-1), None

    def trace(state_BC: Array, from_BCK: Array) -> tuple[Array, Array]:
        return jnp.take_along_axis(from_BCK, state_BC[..., None], axis=-1)[..., 0], state_BC

    last_B = jnp.argmax(delta[-1, :, -1], axis=-1).astype(jnp.int32)
    end_BC = last_B[:, None]
    if blocks > 1:
        whole, _ = jax.lax.scan(back, jnp.broadcast_to(stay_K, from_LBCK.shape[1:]), from_LBCK, reverse=True)
        after = jax.lax.associative_scan(
            lambda later, earlier: back(later, earlier)[0], whole[:, 1:], reverse=True, axis=1
        )
        ends = jnp.take_along_axis(after, last_B[:, None, None], axis=-1)[..., 0]
        end_BC = jnp.concatenate([ends, end_BC], axis=1)
    _, path = jax.lax.scan(trace, end_BC, from_LBCK, reverse=True)
    return Best(scale.sum((0, 2)), _joined(path, emit_BTK.shape[1]))


class _Cut(NamedTuple):
    """The sequences in blocks, times first."""

    emit: Array  # (L, B, C, K), over the largest of its time, in the numbers of a semiring; times the start at time 0
    shift: Array  # (L, B, C) the logarithm of that largest
    moves: Array  # (L, B, C) bool: not at a sequence's first time, and not after its last


def _cut(ring: Semiring, start_K: Array, emit_BTK: Array, length_B: Array, blocks: int) -> _Cut:
    b, times, _ = emit_BTK.shape
    each = -(-times // blocks)
    time_T = jnp.arange(each * blocks)
    valid_BT = time_T < length_B[:, None]
    emit_BTK = jnp.pad(jnp.asarray(emit_BTK).at[:, 0].add(start_K), ((0, 0), (0, each * blocks - times), (0, 0)))
    emit_BTK = jnp.where(valid_BT[..., None], emit_BTK, 0)
    shift_BT = emit_BTK.max(-1)
    shift_BT = jnp.where(jnp.isfinite(shift_BT), shift_BT, 0)
    cut = _Cut(ring.of_log(emit_BTK - shift_BT[..., None]), shift_BT, valid_BT & (time_T > 0))
    return _Cut(*(jnp.moveaxis(x.reshape(b, blocks, each, *x.shape[2:]), 2, 0) for x in cut))


def _joined(x: Array, times: int) -> Array:
    """(L, B, C, ...) as (B, T, ...)."""
    x = jnp.moveaxis(x, 0, 2)
    return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :times]


def _products(ring: Semiring, move: Array, cut: _Cut) -> Array | None:
    """(B, C, K, K): the product of the matrices of each block, up to a factor; None of a single block."""
    _, b, blocks, k = cut.emit.shape
    if blocks == 1:
        return None

    def step(product: Array, at: _Cut) -> tuple[Array, None]:
        moved = jnp.where(at.moves[..., None, None], ring.row(product, move), product)
        return _scaled(ring, ring.times(moved, at.emit[..., None, :])), None

    identity = jnp.where(jnp.eye(k, dtype=bool), ring.one, ring.zero).astype(move.dtype)
    return jax.lax.scan(step, jnp.broadcast_to(identity, (b, blocks, k, k)), cut)[0]


def _forward(ring: Semiring, move: Array, cut: _Cut, products: Array | None = None) -> tuple[Array, Array]:
    """(alpha (L, B, C, K), scale (L, B, C)): normalized vectors, and log p(x_t | x_1 ... x_{t-1})."""
    _, b, blocks, k = cut.emit.shape
    enter = jnp.full((b, 1, k), ring.one, move.dtype)
    if blocks > 1:
        products = _products(ring, move, cut) if products is None else products
        until = jax.lax.associative_scan(lambda a, b: _scaled(ring, ring.product(a, b)), products[:, :-1], axis=1)
        later, _ = ring.normalized(ring.plus(until, axis=-2))
        enter = jnp.concatenate([enter, later], axis=1)

    def step(alpha: Array, at: _Cut) -> tuple[Array, tuple[Array, Array]]:
        moved = jnp.where(at.moves[..., None], ring.row(alpha, move), alpha)
        alpha, scale = ring.normalized(ring.times(moved, at.emit))
        return alpha, (alpha, scale)

    alpha, scale = jax.lax.scan(step, enter, cut)[1]
    return alpha, ring.to_log(scale) + cut.shift


def _backward(ring: Semiring, move: Array, cut: _Cut, products: Array | None) -> Array:
    """beta (L, B, C, K), up to a factor at every time."""
    _, b, _, k = cut.emit.shape
    leave = jnp.full((b, 1, k), ring.one, move.dtype)
    if products is not None:
        after = jax.lax.associative_scan(
            lambda later, earlier: _scaled(ring, ring.product(earlier, later)), products[:, 1:], reverse=True, axis=1
        )
        later, _ = ring.normalized(ring.plus(after, axis=-1))
        leave = jnp.concatenate([later, leave], axis=1)

    def step(beta: Array, at: _Cut) -> tuple[Array, Array]:
        right = ring.times(at.emit, beta)
        moved = jnp.where(at.moves[..., None], ring.column(move, right), right)
        return ring.normalized(moved)[0], beta

    return jax.lax.scan(step, leave, cut, reverse=True)[1]


def _moves(ring: Semiring, left_BTK: Array, move: Array, right_BTK: Array) -> Array:
    """(K, K): sum over all times of left_i A_ij right_j."""
    if ring is PROBABILITIES:
        return move * jnp.einsum("bti,btj->ij", left_BTK, right_BTK, precision="highest")
    return jnp.exp(left_BTK[..., :, None] + move + right_BTK[..., None, :]).sum((0, 1))


def _scaled(ring: Semiring, product: Array) -> Array:
    return ring.normalized(product, (-2, -1))[0]


def _either(compute, move_KK: Array, probabilities: Array | bool | None):
    """`compute` in probabilities or in logarithms."""
    if probabilities is None:
        probabilities = probabilities_do(move_KK)
    branches = [functools.partial(compute, ring) for ring in (PROBABILITIES, LOGARITHMS)]
    if isinstance(probabilities, bool):
        return branches[not probabilities]()
    return jax.lax.cond(probabilities, *branches)
