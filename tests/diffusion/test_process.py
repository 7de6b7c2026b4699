"""Processes: their levels, where they are trained, and the grids they are sampled on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.diffusion import DDPM, EDM, Flow, Level, diffuse, least_end
from genjax.errors import UsageError

PROCESSES = [DDPM(), DDPM("cosine"), DDPM(steps=100), DDPM(zero_snr=True), EDM(), Flow(), Flow(3.0)]


def test_linear_betas_are_those_of_ho():
    alpha = DDPM().level(np.arange(1000)).alpha
    np.testing.assert_allclose(alpha**2, np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)), rtol=1e-10)
    assert DDPM(steps=250).level(249).alpha == pytest.approx(alpha[-1], rel=0.15)  # about the same noise at the end


def test_cosine_is_that_of_nichol():
    level = DDPM("cosine").level(np.arange(1000))
    signal = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(level.alpha[:-1] ** 2, (signal / signal[0])[1:-1], rtol=1e-9)
    assert level.alpha[-1] ** 2 == pytest.approx(0.001 * level.alpha[-2] ** 2)  # beta is capped at 0.999


@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_levels(process):
    times = process.draw(jnp.linspace(0, 0.999999, 200))
    level = jax.jit(process.level)(times)
    assert all(np.isfinite(v).all() and v.dtype == jnp.float32 for v in (*level, process.condition(level)))
    assert (np.asarray(level.sigma) > 0).all()
    assert (np.diff(level.sigma) >= 0).all()
    exact = process.level(np.asarray(times, np.float64))
    for traced, host in zip(level, exact, strict=True):
        np.testing.assert_allclose(traced, host, rtol=2e-5, atol=1e-7)
    inside = np.asarray(exact.alpha) > 1e-3
    back = process.at((exact.sigma / exact.alpha)[inside])
    for there, here in zip(exact, back, strict=True):
        np.testing.assert_allclose(here, there[inside], rtol=1e-6, atol=1e-9)
    if isinstance(process, DDPM):
        np.testing.assert_allclose(exact.alpha**2 + exact.sigma**2, 1, rtol=1e-12)
        between = process.level(np.array([10.5]))
        ratios = process.level(np.array([10.0, 11.0]))
        np.testing.assert_allclose(between.sigma / between.alpha, np.sqrt(np.prod(ratios.sigma / ratios.alpha)))


@pytest.mark.parametrize("process", PROCESSES, ids=str)
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_grids(process, steps):
    for spacing in ("auto", *process.spacings):
        grid = process.grid(steps, spacing)
        assert all(v.shape == (steps + 1,) and v.dtype == np.float64 for v in grid)
        assert (np.diff(grid.sigma) < 0).all()
        assert (grid.t[-1], grid.alpha[-1], grid.sigma[-1]) == (0, 1, 0)
        if isinstance(process, DDPM):
            t = {"leading": (steps - 1) * (process.steps // steps)}.get(spacing, process.steps - 1)
            top = process.level(t).sigma
            if spacing in ("karras", "log_snr"):  # at most Karras' own 80
                assert grid.sigma[0] / grid.alpha[0] <= 80 * (1 + 1e-9)
                top = min(top, 80 / np.sqrt(1 + 80**2))
        else:
            top = {EDM: 80.0, Flow: 1.0}[type(process)]
        assert grid.sigma[0] == pytest.approx(top, rel=1e-9)


def test_spacings_of_ddpm():
    def t(spacing):
        return DDPM().grid(4, spacing).t[:-1].tolist()

    assert t("trailing") == [999, 749, 499, 249]
    assert t("leading") == [750, 500, 250, 0]
    assert t("linspace") == [999, 666, 333, 0]
    grid = DDPM().grid(4, "log_snr")
    np.testing.assert_allclose(np.diff(np.log(grid.sigma[:-1] / grid.alpha[:-1]), 2), 0, atol=1e-12)
    assert grid.t[-2] == pytest.approx(0, abs=1e-9)
    for spacing in ("trailing", "leading", "linspace"):
        np.testing.assert_array_equal(DDPM().grid(1000, spacing).t, [*np.arange(1000)[::-1], 0])


def test_a_grid_may_end_at_the_least_noise():
    process = DDPM()
    for spacing, steps in (
        ("trailing", 4),
        ("leading", 3),
        ("linspace", 3),
    ):  # the last step of these would lead nowhere
        grid = least_end(process.grid(4, spacing), process)
        assert len(grid.t) == steps + 1 and (np.diff(grid.sigma) < 0).all()
        assert grid.sigma[-1] == process.level(0).sigma
    with pytest.raises(UsageError, match="take 2 steps or more"):
        least_end(process.grid(1, "leading"), process)


def test_zero_snr_ends_in_pure_noise_and_keeps_the_least():
    """Lin et al. 2024, algorithm 1."""
    process, plain = DDPM(zero_snr=True), DDPM()
    level, before = process.level(np.arange(1000)), plain.level(np.arange(1000))
    assert level.alpha[-1] < 1e-17 and level.sigma[-1] == 1
    np.testing.assert_allclose(level.alpha[0], before.alpha[0], rtol=1e-12)
    slope = np.diff(level.alpha[:-1]) / np.diff(before.alpha[:-1])  # shifted and scaled
    np.testing.assert_allclose(slope, slope[0], rtol=1e-6)
    traced = jax.jit(process.level)(jnp.arange(1000.0))
    assert all(np.isfinite(v).all() for v in traced)
    assert float(diffuse(Level(*(v[-1] for v in traced)), jnp.ones(1), jnp.full(1, 0.5))[0]) == 0.5


def test_grid_of_all_steps_and_shift():
    np.testing.assert_array_equal(DDPM().grid(1000).t, [*np.arange(1000)[::-1], 0])
    np.testing.assert_allclose(Flow(3.0).grid(4).t, [1, 0.9, 0.75, 0.5, 0])
    grid = EDM().grid(18)
    assert grid.sigma[-2] == pytest.approx(0.002)
    np.testing.assert_allclose(np.diff(grid.sigma[:-1] ** (1 / 7), n=2), 0, atol=1e-12)


def test_draws_follow_their_distribution():
    u = (jnp.arange(20000) + 0.5) / 20000
    t = np.asarray(DDPM(steps=10).draw(u))
    np.testing.assert_array_equal(np.unique(t, return_counts=True), [np.arange(10), np.full(10, 2000)])
    logs = np.log(EDM().draw(u))
    assert (logs.mean(), logs.std()) == (pytest.approx(-1.2, abs=1e-2), pytest.approx(1.2, abs=1e-2))
    t = np.asarray(Flow(logit_normal=True).draw(u))
    assert np.log(t / (1 - t)).std() == pytest.approx(1, abs=1e-2)
    assert np.median(Flow(3.0).draw(u)) == pytest.approx(0.75, abs=1e-3)  # shift s t / (1 + (s - 1) t)
    assert float(DDPM().draw(jnp.float32(0.99999997))) == 999


def test_condition_and_scale():
    level = Level(*(np.array([v]) for v in (0.5, 0.5, 0.5)))
    assert Flow().condition(level) == 500
    assert Flow().scale(level) == 1
    assert EDM().condition(EDM().level(np.array([2.0]))) == pytest.approx(np.log(2) / 4)
    assert DDPM().condition(DDPM().level(np.array([7.0]))) == 7


def test_diffuse_broadcasts():
    x, eps = jnp.ones((2, 3, 3, 1)), jnp.full((2, 3, 3, 1), 2.0)
    level = Flow().level(jnp.array([0.25, 1.0]))
    np.testing.assert_allclose(diffuse(level, x, eps)[:, 0, 0, 0], [0.75 + 0.5, 2.0])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: DDPM("sine"), "linear or cosine"),
        (lambda: DDPM(steps=1), "2 steps or more"),
        (lambda: EDM(sigma_min=0.0), "sigma-min"),
        (lambda: EDM(p_std=0.0), "p-std"),
        (lambda: Flow(shift=0.0), "shift > 0"),
    ],
)
def test_bad_processes(make, says):
    with pytest.raises(UsageError, match=says):
        make()
