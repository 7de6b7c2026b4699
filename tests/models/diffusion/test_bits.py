"""Bits per dimension as `evaluate` measures them, against a model that knows its data."""

import dataclasses
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffusion.mixture import Mixture
from models.diffusion.small import INDEX, LINE, Known

from genjax.diffusion import DDPM, EDM, Flow, clipped, likelihood, vlb_terms
from genjax.errors import UsageError
from genjax.models import Diffusion
from genjax.models.diffusion import learning
from genjax.models.diffusion.bits import level_shares
from genjax.nn import noise


@pytest.mark.parametrize("process", [DDPM(), DDPM("cosine"), EDM(), Flow(), Flow(3.0)], ids=str)
def test_the_likelihood_of_evaluate_is_that_of_the_data(process):
    """On a line Hutchinson's estimate is exact: what is left are the errors of the steps, and the dequantization."""
    model = Known(process=process, target="x0", likelihood_steps=50)
    x = LINE.draw(256).astype(np.float32)
    batch = {"index": np.arange(256, dtype=np.int32), "image": x}
    evaluate = jax.jit(lambda batch: model.evaluate({}, {}, batch, jax.random.key(2)))
    total, count, _ = evaluate(batch)["ode50_bits_per_dim"]
    truth = float(np.mean(-LINE.log_density_B(x)) / np.log(2) + np.log2(127.5))
    assert count == 256 and float(total / count) == pytest.approx(truth, abs=0.01)


PLATE = Mixture(shape=(3, 4, 1))


@pytest.mark.parametrize(
    ("process", "variance"), [(DDPM("cosine"), "large"), (DDPM("cosine", 100), "small"), (DDPM(), "small")], ids=str
)
def test_the_bound_of_evaluate_is_within_two_standard_errors_of_the_sum_over_all_levels(process, variance):
    model = Known(process=process, target="x0", variance=variance, mixture=PLATE, image_shape=PLATE.shape)
    count = 256
    x = np.round((np.clip(PLATE.draw(count), -1, 1) + 1) * 127.5) / 127.5 - 1
    batch = {"index": np.arange(count, dtype=np.int32), "image": x.astype(np.float32)}

    @jax.jit
    def whole(key):
        grid = process.grid(process.steps)
        denoise = clipped(lambda x, level, previous: PLATE.denoise(x, level))
        terms = vlb_terms(denoise, batch["image"], grid, key=key, index_B=batch["index"], variance=variance)
        return jnp.mean(terms.total)

    exact = np.mean([whole(key) for key in jax.random.split(jax.random.key(9), 4)])
    evaluate = jax.jit(lambda key: model.evaluate({}, {}, batch, key))
    for seed in range(10):
        metrics = {name: float(term.value) for name, term in evaluate(jax.random.key(seed)).items()}
        metrics = model.finalize({**metrics, "count": count})
        error = metrics["vlb_bits_per_dim_error"]
        assert 0 < error < 0.3 and "vlb_bits_per_dim_square" not in metrics
        assert abs(metrics["vlb_bits_per_dim"] - exact) < 2 * error, (seed, metrics, exact)


def test_the_bound_clips_its_estimates_as_samplers_do(monkeypatch):
    model = Known(process=DDPM(steps=20), target="x0")
    batch = {"index": np.arange(64, dtype=np.int32), "image": np.clip(LINE.draw(64), -1, 1).astype(np.float32)}
    seen = []
    term = likelihood.vlb_term
    monkeypatch.setattr(likelihood, "vlb_term", lambda x, estimate, *a: seen.append(estimate) or term(x, estimate, *a))
    denoise = Known.denoise

    def doubled(self, *args, **given):
        image = 3 * denoise(self, *args, **given)[1]
        return learning.Estimate(image), image

    monkeypatch.setattr(Known, "denoise", doubled)
    model.evaluate({}, {}, batch, jax.random.key(0))
    assert len(seen) == 2 and all(np.abs(estimate.image).max() == 1 for estimate in seen)


def test_levels_are_spread_evenly_over_their_shares_and_the_decoder_is_always_there(monkeypatch):
    process, seen, level = DDPM(steps=101), [], DDPM.level
    monkeypatch.setattr(DDPM, "level", lambda self, t: seen.append(np.asarray(t)) or level(self, t))
    model = Known(process=process, target="x0")
    batch = {"index": np.arange(200, dtype=np.int32), "image": np.clip(LINE.draw(200), -1, 1).astype(np.float32)}
    model.evaluate({}, {}, batch, jax.random.key(3))
    drawn = [t for t in seen if t.shape == (200,)]
    assert any(not t.any() for t in drawn)  # L_0 of every example
    shares, edges = level_shares(process), [1, 2, 3, 5, 10, 30, 101]
    assert shares.sum() == pytest.approx(1) and (np.diff(shares) < 0).all() and shares[-1] > 0.2 / 100
    expected = [200 * shares[low - 1 : high - 1].sum() for low, high in pairwise(edges)]
    counts = [np.histogram(t, edges)[0] for t in drawn]
    assert any(np.abs(count - expected).max() <= 2 for count in counts), (counts, expected)


def test_every_draw_of_an_evaluation_has_its_own_key(monkeypatch):
    keys = []

    def record(where, name, key_of, result=None):
        original = getattr(where, name)

        def spy(*args, **options):
            keys.append((name, tuple(np.ravel(jax.random.key_data(key_of(args, options))))))
            return result(args) if result else original(*args, **options)

        monkeypatch.setattr(where, name, spy)

    record(noise, "normal", lambda args, _: args[0])
    record(likelihood, "dequantize", lambda args, _: args[1], lambda args: args[0])
    record(likelihood, "ode_bits_per_dim", lambda _, options: options["key"], lambda args: jnp.zeros(4))
    record(learning, "degrade", lambda args, _: args[2])
    model = Known(task="inpaint", likelihood_steps=20)
    batch = {"index": INDEX, "image": np.clip(LINE.draw(4), -1, 1).astype(np.float32)}
    model.evaluate({}, {}, batch, jax.random.key(0))
    assert {name for name, _ in keys} == {"normal", "dequantize", "ode_bits_per_dim", "degrade"}
    assert len({key for _, key in keys}) == len(keys), keys


def test_rows_that_fill_a_batch_up_count_nothing():
    model = Known(process=DDPM(steps=20), target="x0", likelihood_steps=20)
    image = np.clip(LINE.draw(8), -1, 1).astype(np.float32)
    batch = {"index": np.arange(8, dtype=np.int32), "image": image, "valid": np.arange(8) < 5}
    evaluate = jax.jit(lambda batch: model.evaluate({}, {}, batch, jax.random.key(0)))
    one, other = evaluate(batch), evaluate({**batch, "image": np.where(batch["valid"][:, None, None, None], image, 0)})
    for name, term in one.items():
        assert term.count == 5
        np.testing.assert_allclose(term.total, other[name].total, rtol=1e-6, err_msg=name)


def test_likelihood_steps_that_measure_nothing_are_refused():
    for steps in (-1, 1, 19):
        with pytest.raises(UsageError, match="likelihood_steps"):
            Diffusion(likelihood_steps=steps)
    assert dataclasses.replace(Diffusion(), likelihood_steps=50).measured == ("likelihood_steps",)
