"""The terms of the VAE against scipy and closed forms; the bounds against a linear model whose likelihood is known."""

import dataclasses
import functools
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from PIL import Image

from genjax.errors import UsageError, UserError
from genjax.evaluation import sampling
from genjax.experiment import Data, Experiment
from genjax.models import VAE, DataSpec
from genjax.models.vae import VAEOptions
from genjax.runs.sheets import GAP, WIDTH, save_samples

KEY = jax.random.key(0)
SPEC = DataSpec(image_shape=(4, 6, 1), classes=3)
DENSE = VAE(network="dense", widths=(8,), latent=2)


@functools.cache
def build(**fields):
    model = dataclasses.replace(DENSE, **fields).resolve(SPEC)
    return model, jax.jit(lambda key: model.init(key, SPEC)[0])(KEY)


def batch(rows=5):
    image = np.random.default_rng(0).uniform(-1, 1, (rows, 4, 6, 1)).astype(np.float32)
    return {"index": np.arange(rows, dtype=np.int32), "image": image, "label": np.arange(rows, dtype=np.int32) % 3}


@functools.partial(jax.jit, static_argnums=0)
def loss(model, params, data, step=0):
    return model.loss("elbo", params, {}, data, KEY, step=step, train=True)


@functools.partial(jax.jit, static_argnums=0)
def evaluate(model, params, data):
    return {name: total / count for name, (total, count) in model.evaluate(params, {}, data, KEY).items()}


def summed(per_pixel):
    return per_pixel.reshape(len(per_pixel), -1).sum(1)


def test_bernoulli_is_scipys_and_takes_grey_values_as_probabilities():
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (5, 4, 6, 1))
    p = scipy.special.expit(logits)
    model = VAE(likelihood="bernoulli")
    binary = random.integers(0, 2, logits.shape)
    ours = model.log_likelihood(jnp.float32(binary), jnp.float32(logits), jnp.zeros(()))
    np.testing.assert_allclose(ours, summed(scipy.stats.bernoulli.logpmf(binary, p)), rtol=1e-5)
    grey = random.uniform(0, 1, logits.shape)
    ours = model.log_likelihood(jnp.float32(grey), jnp.float32(logits), jnp.zeros(()))
    np.testing.assert_allclose(ours, summed(grey * np.log(p) + (1 - grey) * np.log1p(-p)), rtol=1e-5)


def test_gaussian_is_scipys_and_mse_lacks_the_constant():
    x, mean = np.random.default_rng(0).normal(size=(2, 5, 4, 6, 1))
    for log_sigma in (-1.5, 0.4):
        ours = VAE(likelihood="gaussian").log_likelihood(jnp.float32(x), jnp.float32(mean), jnp.float32(log_sigma))
        np.testing.assert_allclose(ours, summed(scipy.stats.norm.logpdf(x, mean, math.exp(log_sigma))), rtol=1e-5)
    ours = VAE(likelihood="mse").log_likelihood(jnp.float32(x), jnp.float32(mean), jnp.zeros(()))
    np.testing.assert_allclose(
        ours, summed(scipy.stats.norm.logpdf(x, mean)) + 24 * math.log(2 * math.pi) / 2, rtol=1e-5
    )


def test_static_binarization_is_a_threshold():
    model, image = VAE(binarization="static"), batch()["image"]
    for seed in range(2):
        np.testing.assert_array_equal(model.seen(image, jax.random.key(seed), np.arange(5)), np.where(image > 0, 1, -1))


def test_dynamic_binarization_belongs_to_the_key_and_the_example():
    model, image = VAE(binarization="dynamic"), batch()["image"]
    seen = model.seen(image, KEY, np.arange(5))
    assert set(np.unique(seen)) == {-1, 1}
    np.testing.assert_array_equal(model.seen(image, KEY, np.arange(5)), seen)
    np.testing.assert_array_equal(model.seen(image[3:], KEY, np.arange(3, 5)), seen[3:])
    assert (model.seen(image, jax.random.key(1), np.arange(5)) != seen).any(axis=(1, 2, 3)).all()
    same = np.broadcast_to(image[:1], (4000, 4, 6, 1))
    np.testing.assert_allclose(model.seen(same, KEY, np.arange(4000)).mean(0), image[0], atol=0.08)  # five errors


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_the_kl_term_grows_to_beta(beta):
    model, params = build(beta=beta, kl_warmup_steps=4)
    for step, share in ((0, 0.25), (1, 0.5), (3, 1.0), (100, 1.0)):
        out = loss(model, params, batch(), step)
        expected = share * beta * out.metrics["kl"] - out.metrics["reconstruction"]
        assert out.loss == pytest.approx(float(expected), rel=1e-5) and out.weight == 5
    plain = loss(dataclasses.replace(model, kl_warmup_steps=0), params, batch())
    assert plain.loss == pytest.approx(float(beta * plain.metrics["kl"] - plain.metrics["reconstruction"]), rel=1e-5)


def test_kl_is_the_closed_form():
    model, params = build()
    mean, log_var = (np.asarray(x, np.float64) for x in model.encode(params, batch()["image"]))
    expected = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(1)
    np.testing.assert_allclose(model.elbo(params, batch(), KEY)[1], expected, rtol=1e-5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Linear(VAE):
    """x = z W + sigma eps. The rows of W are orthogonal, so that the true posterior is a diagonal Gaussian."""

    def encode(self, params, image_BHWC, label_B=None):
        return image_BHWC.reshape(-1, 24) @ params["V"], jnp.broadcast_to(params["log_var"], (len(image_BHWC), 2))

    def decode(self, params, z_BZ, label_B=None):
        return (z_BZ @ params["W"]).reshape(-1, 4, 6, 1), params["log_sigma"]


W = np.zeros((2, 24))
W[0, :12], W[1, 12:] = 0.3, 0.5
SIGMA = 0.7
VARIANCE = 1 / (1 + (W**2).sum(1) / SIGMA**2)  # of the true posterior


def linear(iwae_samples, wider=1.0):
    """The model, its posterior too wide by a factor in variance, and the mean of the true log p(x) of its data."""
    params = {"W": W, "V": W.T * VARIANCE / SIGMA**2, "log_var": np.log(wider * VARIANCE), "log_sigma": np.log(SIGMA)}
    model = Linear(likelihood="gaussian", latent=2, iwae_samples=iwae_samples, image_shape=(4, 6, 1))
    data = batch(400)
    exact = scipy.stats.multivariate_normal(np.zeros(24), W.T @ W + SIGMA**2 * np.eye(24))
    return model, jax.tree.map(jnp.float32, params), data, exact.logpdf(data["image"].reshape(-1, 24)).mean()


def test_with_the_true_posterior_every_bound_is_the_likelihood():
    for k in (1, 7):
        model, params, data, exact = linear(k)
        assert -evaluate(model, params, data)[f"nll_iwae{k}"] == pytest.approx(exact, rel=1e-5)


def test_the_bound_of_one_sample_is_the_elbo_and_more_samples_come_closer():
    bounds = []
    for k in (1, 4, 64):
        model, params, data, exact = linear(k, wider=4.0)
        metrics = evaluate(model, params, data)
        bounds.append(-metrics[f"nll_iwae{k}"])
        analytic = exact - (4 - 1 - math.log(4))  # less KL(q || p(z | x)), of two dimensions
        assert metrics["elbo"] == pytest.approx(analytic, abs=0.35)
        if k == 1:
            # the same z's give both; the KL of the one is exact, that of the other sampled
            keys = jax.random.split(KEY, 1)
            np.testing.assert_allclose(bounds[0], model.elbo(params, data, keys[0])[2].mean(), rtol=1e-5)
            assert bounds[0] == pytest.approx(float(metrics["elbo"]), abs=0.35)
    assert bounds[0] + 0.5 < bounds[1] < bounds[2] < exact + 0.02
    assert bounds[2] == pytest.approx(exact, abs=0.05)


def test_rows_that_fill_up_count_nothing():
    model, params = build(beta=0.5)
    whole = evaluate(model, params, {k: v[:3] for k, v in batch().items()})
    filled = evaluate(model, params, {**batch(), "valid": np.arange(5) < 3})
    assert set(whole) == {"elbo", "reconstruction", "kl", "nll_iwae16", "loss"}
    for name in whole:
        assert filled[name] == pytest.approx(float(whole[name]), rel=1e-5)


def test_both_networks_see_the_label_where_the_model_is_conditional():
    data = batch()
    other = {**data, "label": (data["label"] + 1) % 3}
    model, params = build(conditional=True)
    for ours, theirs in (
        (model.encode(params, data["image"], data["label"]), model.encode(params, data["image"], other["label"])),
        (model.decode(params, jnp.ones((5, 2)), data["label"]), model.decode(params, jnp.ones((5, 2)), other["label"])),
    ):
        assert (np.abs(ours[0] - theirs[0]).reshape(5, -1).max(1) > 1e-4).all()
    assert loss(model, params, data).loss != loss(model, params, other).loss
    plain, params = build()
    assert loss(plain, params, data).loss == loss(plain, params, other).loss


def test_the_label_can_be_chosen_only_where_the_model_has_one():
    options = VAEOptions(label=(1,))
    assert build(conditional=True)[0].check(options) == options
    with pytest.raises(UsageError, match="trained without labels"):
        build()[0].check(options)
    with pytest.raises(UsageError, match="--label: these samples are made from validation images"):
        options = VAEOptions(mode="reconstruct", label=(1,))
        sampling.conditions(build(conditional=True)[0], options, SPEC, None, None, 2)


def test_pairs_and_interpolations_come_in_rows_of_eight(tmp_path):
    model, params = build()
    data = batch(16)
    outputs = {
        mode: model.sample(params, {}, KEY, data, VAEOptions(mode=mode)) for mode in ("reconstruct", "interpolate")
    }
    assert all(out["image"].shape == (16, 4, 6, 1) and (out["columns"] == 8).all() for out in outputs.values())
    np.testing.assert_array_equal(outputs["reconstruct"]["image"][::2], data["image"][:8])
    z, _ = model.encode(params, data["image"])
    ends = outputs["interpolate"]["image"].reshape(2, 8, 4, 6, 1)
    np.testing.assert_allclose(ends[:, 0], model.decoded_image(params, z[:2]), atol=1e-6)
    np.testing.assert_allclose(ends[:, -1], model.decoded_image(params, z[2:4]), atol=1e-6)
    assert "columns" not in model.sample(params, {}, KEY, data, VAEOptions())

    def width(outputs):
        with Image.open(save_samples(tmp_path / "grid", outputs)) as image:
            return image.width

    one = outputs["interpolate"]["image"][:1]
    factor = -(-WIDTH // (8 * 6))  # small images are enlarged
    assert width(outputs["interpolate"]) == 8 * (6 * factor + GAP) - GAP
    assert width({"image": one, "columns": np.array([8])}) == width({"image": one})  # fewer than a row


def test_a_call_draws_whole_rows():
    calls = []

    def sample(state, given, seed, options):
        calls.append(given["index"].tolist())
        return {"image": given["index"]}

    engine = types.SimpleNamespace(experiment=Experiment(DENSE, Data(batch_size=12)), sample=sample)
    drawn = sampling.draw(engine, None, 40, seed=0, options=VAEOptions(), given={})
    assert drawn["image"].tolist() == list(range(40)) and [len(call) for call in calls] == [16, 16, 16]


@pytest.mark.parametrize(
    "fields", [{"beta": -1.0}, {"beta": math.nan}, {"beta": math.inf}, {"kl_warmup_steps": -1}, {"classes": -1}]
)
def test_numbers_that_would_train_nonsense_are_refused(fields):
    with pytest.raises(UsageError, match=next(iter(fields))):
        VAE(**fields)


def test_fields_that_disagree_with_the_data_are_refused_and_resolving_again_changes_nothing():
    for fields in ({"image_shape": (8, 8, 1)}, {"classes": 5, "conditional": True}):
        with pytest.raises(UserError, match=rf"model\.{next(iter(fields))} is .*, but the data has "):
            dataclasses.replace(DENSE, **fields).resolve(SPEC)
    for conditional in (False, True):
        model, _ = build(conditional=conditional)
        assert model.resolve(SPEC) == model
