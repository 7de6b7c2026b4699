"""A step of EM for a Gaussian hidden Markov model, against hmmlearn's and dynamax's, from the same parameters.

One long sequence, and many short ones. hmmlearn computes in float64, in C++; genjax and dynamax in float32.
"""

import jax
import jax.numpy as jnp
import numpy as np
from peers.pairs import Pair, Side

from genjax.interop.hmmlearn import from_hmmlearn
from genjax.models import HMM, GaussianEmission

STATES, DIMS = 5, 2
LONG, MANY = (1, 100_000), (2000, 50)  # sequences, times


def long(precision: str = "float32") -> Pair:
    return pair("hmm_long", LONG, theirs)


def many(precision: str = "float32") -> Pair:
    return pair("hmm_many", MANY, theirs)


def long_dynamax(precision: str = "float32") -> Pair:
    return pair("hmm_long_dynamax", LONG, their_dynamax)


def many_dynamax(precision: str = "float32") -> Pair:
    return pair("hmm_many_dynamax", MANY, their_dynamax)


def pair(name: str, shape: tuple[int, int], other) -> Pair:
    arrays, x_BTD = problem(shape)
    shapes = f"{shape[0]} sequence(s) of {shape[1]}, {STATES} states, {DIMS} dimensions, a step of EM"
    return Pair(name, ours(arrays, x_BTD), other(arrays, x_BTD), shape[0] * shape[1], "observations", shapes)


def problem(shape: tuple[int, int]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """hmmlearn's parameters, and observations (B, T, D) of as many clusters as there are states."""
    random = np.random.default_rng(0)
    mean = 2 * random.normal(size=(STATES, DIMS))
    x_BTD = mean[random.integers(0, STATES, shape)] + random.normal(size=(*shape, DIMS))
    move = 0.5 * np.eye(STATES) + 0.5 * random.dirichlet(np.ones(STATES), STATES)
    chain = {"startprob_": np.full(STATES, 1 / STATES), "transmat_": move}
    return chain | {"means_": mean, "covars_": np.ones((STATES, DIMS))}, x_BTD


def ours(arrays: dict[str, np.ndarray], x_BTD: np.ndarray) -> Side:
    """`HMM.loss` and `HMM.update`, as the train step calls them."""
    model = HMM(states=STATES, emission=GaussianEmission(dims=DIMS)).on(jax.default_backend())
    params = jax.tree.map(jnp.float32, from_hmmlearn(arrays))
    state, key = model.init(jax.random.key(0), None)[1], jax.random.key(0)
    batch = {"index": jnp.arange(len(x_BTD)), "series": jnp.float32(x_BTD)}

    @jax.jit
    def step(params, batch):
        out = model.loss("em", params, state, batch, key, step=jnp.int32(0), train=True)
        return model.update("em", params, state, out.sums, out.rows, step=jnp.int32(0))[0]

    def run(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(step(params, batch))

    return Side("genjax", run)


def theirs(arrays: dict[str, np.ndarray], x_BTD: np.ndarray) -> Side:
    from hmmlearn.hmm import GaussianHMM

    model = GaussianHMM(STATES, "diag", n_iter=1, init_params="", tol=-np.inf)
    flat_ND, lengths = x_BTD.reshape(-1, DIMS), [x_BTD.shape[1]] * len(x_BTD)

    def run(count: int) -> None:
        for _ in range(count):
            for name, array in arrays.items():
                setattr(model, name, array)
            model.fit(flat_ND, lengths)

    return Side("hmmlearn", run)


def their_dynamax(arrays: dict[str, np.ndarray], x_BTD: np.ndarray) -> Side:
    from dynamax.hidden_markov_model import DiagonalGaussianHMM

    model = DiagonalGaussianHMM(STATES, DIMS)
    params, _ = model.initialize(
        jax.random.key(0),
        method="prior",
        initial_probs=jnp.float32(arrays["startprob_"]),
        transition_matrix=jnp.float32(arrays["transmat_"]),
        emission_means=jnp.float32(arrays["means_"]),
        emission_scale_diags=jnp.float32(np.sqrt(arrays["covars_"])),
    )
    _, properties = model.initialize(jax.random.key(0), method="prior")
    x_BTD = jnp.float32(x_BTD)

    @jax.jit
    def step(params, x_BTD):
        stats, log_B = jax.vmap(lambda x: model.e_step(params, x))(x_BTD)
        return model.m_step(params, properties, stats, model.initialize_m_step_state(params, properties))[0], log_B

    def run(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(step(params, x_BTD))

    return Side("dynamax, jit", run)
