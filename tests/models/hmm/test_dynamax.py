"""Likelihoods, posteriors, paths and EM beside dynamax's, which is no part of the extra `peers`."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.interop.hmmlearn import from_hmmlearn, to_hmmlearn
from genjax.models import HMM, CategoricalEmission
from genjax.models.hmm.inference import viterbi

pytestmark = pytest.mark.peers
ROWS, TIMES, STATES, SYMBOLS, STEPS = 4, 30, 3, 5, 4
PRECISIONS = {"float32": (contextlib.nullcontext, 1e-4), "float64": (functools.partial(jax.enable_x64, True), 1e-6)}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_inference_and_em_are_dynamaxs(precision):
    models = pytest.importorskip("dynamax.hidden_markov_model")
    inference = pytest.importorskip("dynamax.hidden_markov_model.inference")
    context, tolerance = PRECISIONS[precision]
    random = np.random.default_rng(0)
    x_BT = random.integers(0, SYMBOLS, (ROWS, TIMES))
    arrays = {"startprob_": random.dirichlet(np.ones(STATES)), "transmat_": random.dirichlet(np.ones(STATES), STATES)}
    arrays["emissionprob_"] = random.dirichlet(np.ones(SYMBOLS), STATES)
    with context():
        params = jax.tree.map(lambda p: jnp.asarray(p, jnp.result_type(float)), from_hmmlearn(arrays))
        start_K, move_KK, emit_KV = (jnp.asarray(p, jnp.result_type(float)) for p in arrays.values())
        model = HMM(states=STATES, emission=CategoricalEmission(symbols=SYMBOLS))
        batch = {"index": np.arange(ROWS), model.emission.field: x_BT}
        data = model.sequences(batch)
        known = jax.jit(lambda p: model.smooth(p["hmm"], data))(params)
        one = jax.tree.map(lambda p: p[0], params["hmm"])
        best = jax.jit(lambda p: viterbi(*model.chain(p, data), data.length_B))(one)
        log_BTK = jnp.log(emit_KV).T[x_BT]
        smoothed = jax.vmap(lambda e_TK: inference.hmm_smoother(start_K, move_KK, e_TK))(log_BTK)
        path_BT = jax.vmap(lambda e_TK: inference.hmm_posterior_mode(start_K, move_KK, e_TK))(log_BTK)
        np.testing.assert_allclose(known.log_likelihood_B[0], smoothed.marginal_loglik, rtol=tolerance)
        np.testing.assert_allclose(known.state_BTK[0], smoothed.smoothed_probs, atol=tolerance)
        np.testing.assert_array_equal(best.path_BT, path_BT)

        peer = models.CategoricalHMM(
            STATES,
            1,
            SYMBOLS,
            initial_probs_concentration=1.0,  # no prior
            transition_matrix_concentration=1.0,
            emission_prior_concentration=1.0,
        )
        given = dict(initial_probs=start_K, transition_matrix=move_KK, emission_probs=emit_KV[:, None])
        learned, score = peer.fit_em(*peer.initialize(**given), x_BT[..., None], num_iters=STEPS, verbose=False)
        score -= peer.log_prior(learned)  # which is flat, but counts there
        state, key = model.init(jax.random.key(0), None)[1], jax.random.key(0)

        @jax.jit
        def step(params):
            out = model.loss("em", params, state, batch, key, step=jnp.int32(0), train=True)
            return model.update("em", params, state, out.sums, out.rows, step=jnp.int32(0))[0], out.sums["nats"]

        for number in range(STEPS):
            params, nats = step(params)
            np.testing.assert_allclose(-nats[0], score[number], rtol=tolerance)
        theirs = (learned.initial.probs, learned.transitions.transition_matrix, learned.emissions.probs[:, 0])
        for ours, array in zip(to_hmmlearn(jax.device_get(params)).values(), theirs):
            np.testing.assert_allclose(ours, array, atol=tolerance)
