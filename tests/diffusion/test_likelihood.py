"""Bits per dimension against densities that are known: the ODE's, and DDPM's bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffusion.mixture import Mixture

from genjax.diffusion import (
    DDPM,
    EDM,
    Estimate,
    Flow,
    Level,
    dequantize,
    diffuse,
    likelihood_grid,
    ode_bits_per_dim,
    vlb_term,
    vlb_terms,
)
from genjax.diffusion.likelihood import variance_floor
from genjax.diffusion.steps import posterior_variances
from genjax.errors import UsageError
from genjax.nn import noise

PLANE = Mixture()
INDEX = np.arange(64)


@pytest.mark.parametrize("process", [DDPM(), DDPM("cosine"), EDM(), Flow(3.0)], ids=str)
def test_likelihood_grid_goes_from_the_least_noise_to_where_there_is_almost_no_signal(process):
    grid = likelihood_grid(process, 8)
    log_ratio = np.log(grid.sigma / grid.alpha)
    assert len(grid.t) == 9 and grid.sigma[0] < 0.011 and 0.009 < grid.alpha[-1] / grid.sigma[-1] <= 1 / 80
    np.testing.assert_allclose(np.diff(log_ratio), np.diff(log_ratio)[0])
    with pytest.raises(UsageError, match="2 steps"):
        likelihood_grid(process, 1)


@pytest.mark.parametrize("process", [DDPM(), EDM(), Flow()], ids=str)
def test_ode_bits_are_those_of_the_density(process):
    x = jnp.asarray(PLANE.draw(64), jnp.float32)
    truth = -PLANE.log_density_B(x) / (2 * np.log(2)) + np.log2(127.5)
    bits = jax.jit(
        lambda key, probes: ode_bits_per_dim(
            PLANE.denoise, x, 50, process=process, key=key, index_B=INDEX, probes=probes
        ),
        static_argnums=1,
    )
    many = bits(jax.random.key(0), 16)
    error = np.asarray(many - truth)
    assert error.std() > 0  # Hutchinson's is an estimate
    assert abs(error.mean()) < 4 * error.std() / 8 + 0.01
    assert np.abs(error).max() < 1.0  # between the modes a divergence is hard to estimate
    one = np.asarray(bits(jax.random.key(1), 1) - truth)
    assert one.std() > error.std()  # fewer probes, more noise


def test_dequantized_bits_bound_those_of_the_discrete_image():
    rng = np.random.default_rng(0)
    values = np.round(127.5 + 127.5 * np.clip(0.1 * rng.normal(size=(4000, 1, 2, 1)), -1, 1)) / 127.5 - 1
    x = dequantize(jnp.asarray(values, jnp.float32), jax.random.key(0), np.arange(4000))
    assert float(jnp.abs(x - values).max()) <= 0.5 / 127.5 + 1e-6
    one = Mixture(means=(0.0,), stds=(0.1,), weights=(1.0,))
    bits = np.mean(-one.log_density_B(x) / (2 * np.log(2))) + np.log2(127.5)
    assert bits == pytest.approx(0.5 * np.log2(2 * np.pi * np.e * 0.01) + np.log2(127.5), abs=0.02)


def discrete(count):
    """Draws of one Gaussian rounded to the 256 values, and their exact bits per dimension."""
    one = Mixture(means=(0.1,), stds=(0.2,), weights=(1.0,))
    values = np.clip(np.round((one.draw(count) + 1) * 127.5), 0, 255) / 127.5 - 1
    centers = one.centers_KD[0].reshape(one.shape)
    edges = [jax.scipy.special.ndtr((values - centers + half / 255) / 0.2) for half in (1, -1)]
    return one, jnp.asarray(values, jnp.float32), -np.mean(np.log2(edges[0] - edges[1]), (1, 2, 3))


@pytest.mark.parametrize(("variance", "slack"), [("small", 0.9), ("large", 0.25), ("learned", 0.02)])
def test_bound_of_ddpm(variance, slack):
    """It bounds the exact bits, and with the true reverse variance is as good as they are."""
    one, x, truth_B = discrete(512)
    process = DDPM()
    grid = process.grid(1000)
    start, end = Level(*(v[:-1] for v in grid)), Level(*(v[1:] for v in grid))
    small, large = posterior_variances(start, end)
    known = (0.2 * start.sigma) ** 2 / ((0.2 * start.alpha) ** 2 + start.sigma**2)  # of x0, given x
    true = small + (end.alpha * large / start.sigma**2) ** 2 * known
    lowest = np.maximum(small, variance_floor(grid))
    share = jnp.asarray((np.log(true) - np.log(lowest)) / (np.log(large) - np.log(lowest)), jnp.float32)[::-1]

    def denoise(x, level, previous):
        return Estimate(one.denoise(x, level).image, jnp.broadcast_to(share[level.t.astype(int)], x.shape))

    bound = jax.jit(
        lambda x: vlb_terms(denoise, x, grid, key=jax.random.key(0), index_B=np.arange(512), variance=variance)
    )(x)
    excess = np.asarray(bound.total) - truth_B
    deviation = excess.std() / np.sqrt(512)
    assert deviation < 0.1
    assert -3 * deviation < excess.mean() < slack + 3 * deviation, (excess.mean(), deviation)
    assert all((np.asarray(v) > -1e-4).all() for v in (bound.prior, bound.steps))
    assert float(bound.prior.mean()) < 1e-3


def test_a_wrong_denoiser_costs_bits():
    one, x, truth_B = discrete(64)

    def denoise(x, level, previous):
        return Estimate(one.denoise(x, level).image * 0.8)

    bound = jax.jit(lambda x: vlb_terms(denoise, x, DDPM().grid(100), key=jax.random.key(0), index_B=INDEX))(x)
    assert float(bound.total.mean()) > truth_B.mean() + 0.5


def test_terms_of_traced_levels_are_those_of_the_grid():
    """Training draws t for each example; the sum over t of its terms is the bound's."""
    one, x, _ = discrete(4)
    process = DDPM(steps=20)
    grid = process.grid(20)
    key = jax.random.key(0)
    floor = variance_floor(grid)

    @jax.jit
    def term(t, number):
        level = process.level(jnp.full(4, t))
        eps = noise.normal(jax.random.fold_in(key, number), np.arange(4), x.shape[1:])
        noisy = diffuse(level, x, eps)
        image = jnp.concatenate([one.denoise(noisy[n : n + 1], process.level(t)).image for n in range(4)])
        previous = process.level(jnp.full(4, t - 1))
        clean = t == 0
        end = type(level)(previous.t, jnp.where(clean, 1.0, previous.alpha), jnp.where(clean, 0.0, previous.sigma))
        return vlb_term(x, Estimate(image, jnp.full_like(x, 0.5)), level, end, floor)

    terms = [term(jnp.float32(19 - n), n) for n in range(20)]

    def denoise(x, level, previous):
        return Estimate(one.denoise(x, level).image, jnp.full_like(x, 0.5))

    bound = vlb_terms(denoise, x, grid, key=key, index_B=np.arange(4), variance="learned")
    np.testing.assert_allclose(sum(terms[:-1]), bound.steps, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(terms[-1], bound.decoder, rtol=2e-4, atol=1e-5)


def test_the_gradient_is_finite_far_from_the_image():
    process = DDPM()
    x = jnp.array([-1.0, 1.0, 0.0]).reshape(3, 1, 1, 1)
    level = process.level(jnp.zeros(3))
    end = type(level)(jnp.zeros(3), jnp.ones(3), jnp.zeros(3))

    @jax.jit
    def loss(image, v):
        return jnp.sum(vlb_term(x, Estimate(image, v), level, end, 5e-5))

    far = jnp.array([1.0, -1.0, 0.9]).reshape(3, 1, 1, 1)
    gradients = jax.jit(jax.grad(loss, (0, 1)))(far, jnp.full_like(x, 0.5))
    assert np.isfinite(loss(far, jnp.full_like(x, 0.5)))
    assert all(np.isfinite(g).all() for g in gradients)
