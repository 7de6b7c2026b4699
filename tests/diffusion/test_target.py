"""Targets: one formula recovers x0 and eps from every one of them; weightings are those of the papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.diffusion import DDPM, EDM, TARGETS, WEIGHTINGS, Flow, Level, diffuse
from genjax.diffusion.target import coefficients, denoised, input_scale, make, weight
from genjax.errors import UsageError

PROCESSES = [DDPM(), DDPM("cosine"), EDM(), Flow()]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_the_image_comes_back(process, target):
    grid = process.grid(12)
    noisiest = 1 if target == "epsilon" else 0  # where alpha is 0, or next to it, eps does not tell the image
    level = Level(*(jnp.asarray(v[noisiest:-1], jnp.float32) for v in grid))
    x0, eps = (jax.random.normal(jax.random.key(n), (len(level.t), 2, 2, 1)) for n in (0, 1))
    x = diffuse(level, x0, eps)
    output = make(target, level, x0, eps)
    # float32 sums of alpha x0 and sigma eps keep this much of x0
    lost = 1e-6 + (2e-7 * np.max(grid.sigma[noisiest:] / grid.alpha[noisiest:]) if noisiest else 0.0)
    lost = lost if target in ("epsilon", "x0", "v") else max(lost, 1e-7 * np.max(grid.sigma))
    np.testing.assert_allclose(denoised(target, level, output, x), x0, atol=4 * lost, rtol=1e-4)


@pytest.mark.parametrize("target", [t for t in TARGETS if t != "epsilon"])
def test_pure_noise_and_nearly_clean_are_finite(target):
    for level in (Flow().level(jnp.array([1.0, 1e-7])), DDPM("cosine").level(jnp.array([999.0, 0.0]))):
        ones = jnp.ones((2, 1, 1, 1))
        assert np.isfinite(denoised(target, level, ones, ones)).all()
        assert np.isfinite(input_scale(target, level)).all()
        for weighting in WEIGHTINGS:
            assert np.isfinite(weight(weighting, target, level)).all(), weighting


def test_edm_is_karras_preconditioning():
    s, d = np.array([0.01, 0.5, 30.0]), 0.5
    level = EDM().level(s)
    x, output = np.ones((3, 1)), np.full((3, 1), 0.7)
    c_skip, c_out = d**2 / (s**2 + d**2), s * d / np.sqrt(s**2 + d**2)
    np.testing.assert_allclose(
        denoised("edm", level, output, x, d)[:, 0], c_skip * x[:, 0] + c_out * output[:, 0], rtol=1e-5
    )
    np.testing.assert_allclose(input_scale("edm", level, d), 1 / np.sqrt(s**2 + d**2), rtol=1e-6)
    np.testing.assert_allclose(weight("edm", "edm", level, d), np.ones(3), rtol=1e-5)  # lambda c_out^2 = 1: "simple"
    # x of a process with alpha < 1 is alpha times EDM's
    half = Level(0.0, np.float32(0.5), np.float32(0.25))
    np.testing.assert_allclose(input_scale("edm", half, d) * 0.5, 1 / np.sqrt(0.25 + d**2), rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_weights(target):
    """A weighting weighs the same error of the image by the same amount, whatever the network is trained to say."""
    level = DDPM().level(np.array([3.0, 300.0, 800.0]))
    x0, eps = np.ones((3, 1)), np.full((3, 1), -0.5)
    x = diffuse(level, x0, eps)
    output = make(target, level, x0, eps)
    error = np.asarray(denoised(target, level, output + 0.01, x) - x0)[:, 0] ** 2
    snr = (level.alpha / level.sigma) ** 2
    for weighting, per_image in (("min_snr", np.minimum(snr, 5.0)), ("edm", snr + 4.0)):
        np.testing.assert_allclose(weight(weighting, target, level) * 1e-4, per_image * error, rtol=2e-2)
    np.testing.assert_array_equal(weight("simple", target, level), np.ones(3))


def test_velocity_is_noise_minus_data_and_v_turns():
    level = Flow().level(np.array([0.3]))
    assert [float(v[0]) for v in coefficients("velocity", level)] == [-1, 1]
    level = DDPM().level(np.array([400.0]))
    a, b = coefficients("v", level)
    assert float(a[0]) == pytest.approx(-level.sigma[0]) and float(b[0]) == pytest.approx(level.alpha[0])


def test_unknown_names():
    level = Flow().level(jnp.array([0.5]))
    with pytest.raises(UsageError, match="choose epsilon"):
        coefficients("noise", level)
    with pytest.raises(UsageError, match="choose simple"):
        weight("snr", "v", level)
