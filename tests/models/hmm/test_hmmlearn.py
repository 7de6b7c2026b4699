"""Likelihoods, posteriors, paths and EM beside hmmlearn's, on sequences of unequal length."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.interop.hmmlearn import from_hmmlearn, to_hmmlearn
from genjax.models import HMM, CategoricalEmission, GaussianEmission, MixtureEmission, PoissonEmission
from genjax.models.hmm.inference import viterbi

pytestmark = pytest.mark.peers
LENGTHS = np.array([40, 7, 1, 25, 33])
STATES, SYMBOLS, DIMS, STEPS = 3, 5, 2, 4
PRECISIONS = {"float32": (contextlib.nullcontext, 1e-4), "float64": (functools.partial(jax.enable_x64, True), 1e-6)}


def theirs(kind: str):
    """A model of hmmlearn with random parameters, and (N, D) observations of all sequences."""
    hmm = pytest.importorskip("hmmlearn.hmm")
    random = np.random.default_rng(0)
    options = {"n_components": STATES, "n_iter": 1, "init_params": "", "tol": -np.inf}
    total = LENGTHS.sum()
    if kind == "categorical":
        model, x = hmm.CategoricalHMM(**options), random.integers(0, SYMBOLS, (total, 1))
        model.n_features, model.emissionprob_ = SYMBOLS, random.dirichlet(np.ones(SYMBOLS), STATES)
    elif kind == "poisson":
        model, x = hmm.PoissonHMM(**options), random.poisson(4, (total, DIMS))
        model.lambdas_ = random.uniform(1, 9, (STATES, DIMS))
    elif kind == "mixture":
        model, x = hmm.GMMHMM(n_mix=2, params="stmw", **options), random.normal(size=(total, DIMS))
        model.weights_, model.means_ = random.dirichlet(np.ones(2), STATES), random.normal(size=(STATES, 2, DIMS))
        model.covars_ = random.uniform(0.5, 2, (STATES, 2, DIMS))
    else:
        prior = 0.01 * np.eye(DIMS) if kind == "full" else 0.01
        model = hmm.GaussianHMM(covariance_type="full" if kind == "full" else "diag", covars_prior=prior, **options)
        model.n_features = DIMS  # what covars_ asks for
        x = 30 + random.normal(size=(total, DIMS)) @ np.array([[1, 0.7], [0, 0.5]])
        model.means_, covariance = 30 + random.normal(size=(STATES, DIMS)), np.array([[1, 0.4], [0.4, 0.8]])
        model.covars_ = np.stack([covariance] * STATES) if kind == "full" else np.full((STATES, DIMS), 0.9)
    model.startprob_, model.transmat_ = random.dirichlet(np.ones(STATES)), random.dirichlet(np.ones(STATES), STATES)
    return model, x


OURS = {
    "categorical": CategoricalEmission(symbols=SYMBOLS),
    "poisson": PoissonEmission(dims=DIMS),
    "diagonal": GaussianEmission(dims=DIMS),
    "full": GaussianEmission(covariance="full", dims=DIMS),
    "mixture": MixtureEmission(component=GaussianEmission(dims=DIMS), dims=DIMS),
}


def arrays_of(model) -> dict[str, np.ndarray]:
    names = ("startprob_", "transmat_", "emissionprob_", "lambdas_", "weights_", "means_", "covars_")
    return {name: np.asarray(getattr(model, name)) for name in names if hasattr(model, name)}


def padded(x: np.ndarray) -> np.ndarray:
    rows = np.zeros((len(LENGTHS), LENGTHS.max(), *x.shape[1:]), x.dtype)
    for row, part in zip(rows, np.split(x, np.cumsum(LENGTHS)[:-1])):
        row[: len(part)] = part
    return rows


def flat(rows) -> np.ndarray:
    return np.concatenate([row[:length] for row, length in zip(np.asarray(rows), LENGTHS)])


def batch_of(kind: str, x: np.ndarray) -> dict:
    field = OURS[kind].field
    array = padded(x[:, 0] if kind == "categorical" else x)
    array = array if kind == "categorical" else jnp.asarray(array, jnp.result_type(float))
    return {"index": np.arange(len(LENGTHS)), field: array, f"{field}_length": LENGTHS}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", OURS)
def test_inference_and_em_are_hmmlearns(kind, precision):
    context, tolerance = PRECISIONS[precision]
    peer, x = theirs(kind)
    with context():
        model = HMM(states=STATES, emission=OURS[kind])
        params = jax.tree.map(lambda p: jnp.asarray(p, jnp.result_type(float)), from_hmmlearn(arrays_of(peer)))
        batch = batch_of(kind, x)
        data = model.sequences(batch)
        known = jax.jit(lambda p: model.smooth(p["hmm"], data))(params)
        score, posterior = peer.score_samples(x, LENGTHS)
        np.testing.assert_allclose(known.log_likelihood_B.sum(), score, rtol=tolerance)
        np.testing.assert_allclose(flat(known.state_BTK[0]), posterior, atol=tolerance)
        one = jax.tree.map(lambda p: p[0], params["hmm"])
        best = jax.jit(lambda p: viterbi(*model.chain(p, data), data.length_B))(one)
        joint, path = peer.decode(x, LENGTHS)
        np.testing.assert_allclose(best.log_joint_B.sum(), joint, rtol=tolerance)
        if precision == "float64":  # symbols have paths that differ by rounding alone
            np.testing.assert_array_equal(flat(best.path_BT), path)

        state = model.init(jax.random.key(0), None)[1]
        key = jax.random.key(0)

        @jax.jit
        def step(params):
            out = model.loss("em", params, state, batch, key, step=jnp.int32(0), train=True)
            return model.update("em", params, state, out.sums, out.rows, step=jnp.int32(0))[0], out.sums["nats"]

        for _ in range(STEPS):
            score = peer.score(x, LENGTHS)
            peer.fit(x, LENGTHS)
            after, nats = step(params)
            np.testing.assert_allclose(-nats[0], score, rtol=tolerance)
            if kind == "mixture":  # their variances have priors of another form
                after["hmm"]["emission"]["component"]["log_scale"] = params["hmm"]["emission"]["component"]["log_scale"]
            params = after
            ours = to_hmmlearn(jax.device_get(params))
            for name, array in arrays_of(peer).items():
                if kind == "diagonal" and name == "covars_":
                    array = np.diagonal(array, axis1=1, axis2=2)
                np.testing.assert_allclose(ours[name], array, rtol=10 * tolerance, atol=tolerance, err_msg=name)


def test_published_likelihoods_of_the_earthquakes():
    """Zucchini et al.: 1 and 2 states, by hmmlearn's EM from our k-means; see the recipe for 3."""
    from genjax.data.earthquakes import COUNTS

    hmm = pytest.importorskip("hmmlearn.hmm")
    x = np.array(COUNTS)[:, None]
    peer = hmm.PoissonHMM(2, n_iter=500, tol=1e-8, init_params="")
    peer.startprob_, peer.transmat_ = np.array([0.5, 0.5]), np.array([[0.9, 0.1], [0.1, 0.9]])
    peer.lambdas_ = np.array([[15.0], [25.0]])
    assert abs(peer.fit(x).score(x) - -341.879) < 1e-3
