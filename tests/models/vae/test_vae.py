"""The terms of the VAE against scipy and closed forms; the bounds against a linear model whose likelihood is known."""

import collections
import dataclasses
import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from genjax.errors import UsageError, UserError
from genjax.models.base import Layout
from genjax.models.vae import VAE, VAEOptions
from genjax.models.vae.likelihood import log_probability
from genjax.models.vae.sample import LAYOUTS, interpolate
from genjax.networks import AutoencoderConfig, DenseAutoencoder
from genjax.spec import DataSpec, Image, Label, Latent

KEY = jax.random.key(0)
Given = collections.namedtuple("Given", "spec")
SPEC = DataSpec({"image": Image(4, 6, 1), "label": Label(3)})
DENSE = VAE(network=DenseAutoencoder(widths=(8,)), latent=2)


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
    return {name: term.value for name, term in model.evaluate(params, {}, data, KEY).items()}


def summed(per_pixel):
    return per_pixel.reshape(len(per_pixel), -1).sum(1)


def test_bernoulli_is_scipys_and_takes_grey_values_as_probabilities():
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (5, 4, 6, 1))
    p = scipy.special.expit(logits)
    binary = random.integers(0, 2, logits.shape)
    ours = log_probability("bernoulli", jnp.float32(binary), jnp.float32(logits), jnp.zeros(()))
    np.testing.assert_allclose(ours, summed(scipy.stats.bernoulli.logpmf(binary, p)), rtol=1e-5)
    grey = random.uniform(0, 1, logits.shape)
    ours = log_probability("bernoulli", jnp.float32(grey), jnp.float32(logits), jnp.zeros(()))
    np.testing.assert_allclose(ours, summed(grey * np.log(p) + (1 - grey) * np.log1p(-p)), rtol=1e-5)


def test_gaussian_is_scipys_and_mse_lacks_the_constant():
    x, mean = np.random.default_rng(0).normal(size=(2, 5, 4, 6, 1))
    for log_sigma in (-1.5, 0.4):
        ours = log_probability("gaussian", jnp.float32(x), jnp.float32(mean), jnp.float32(log_sigma))
        np.testing.assert_allclose(ours, summed(scipy.stats.norm.logpdf(x, mean, math.exp(log_sigma))), rtol=1e-5)
    ours = log_probability("mse", jnp.float32(x), jnp.float32(mean), jnp.zeros(()))
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
    for step, share in ((0, 0.0), (1, 0.25), (2, 0.5), (4, 1.0), (100, 1.0)):
        out = loss(model, params, batch(), step)
        expected = share * beta * out.metrics["kl"].value - out.metrics["reconstruction"].value
        assert out.loss == pytest.approx(float(expected), rel=1e-5)
        assert {name: float(term.count) for name, term in out.terms.items()} == {"reconstruction": 5, "kl": 5}
    plain = loss(dataclasses.replace(model, kl_warmup_steps=0), params, batch())
    metrics = {name: float(term.value) for name, term in plain.metrics.items()}
    assert plain.loss == pytest.approx(beta * metrics["kl"] - metrics["reconstruction"], rel=1e-5)
    assert metrics["elbo"] == pytest.approx(metrics["reconstruction"] - metrics["kl"], rel=1e-5)


def test_kl_is_the_closed_form():
    model, params = build()
    mean, log_var = (np.asarray(x, np.float64) for x in model.posterior(params, batch()["image"]))
    expected = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(1)
    np.testing.assert_allclose(model.elbo(params, batch(), KEY)[1], expected, rtol=1e-5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Linear(VAE):
    """x = z W + sigma eps. The rows of W are orthogonal, so that the true posterior is a diagonal Gaussian."""

    def posterior(self, params, image_BHWC, label_B=None):
        return image_BHWC.reshape(-1, 24) @ params["V"], jnp.broadcast_to(params["log_var"], (len(image_BHWC), 2))

    def pixels(self, params, z_BZ, label_B=None):
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
        (model.posterior(params, data["image"], data["label"]), model.posterior(params, data["image"], other["label"])),
        (model.pixels(params, jnp.ones((5, 2)), data["label"]), model.pixels(params, jnp.ones((5, 2)), other["label"])),
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
    given, rest = options.conditions(build(conditional=True)[0], Given(SPEC), 2)
    assert given["label"].tolist() == [1, 1] and rest == VAEOptions()
    with pytest.raises(UsageError, match="--label: the samples of --mode reconstruct have the labels of their"):
        VAEOptions(mode="reconstruct", label=(1,)).conditions(build(conditional=True)[0], Given(SPEC), 2)


def test_only_the_prior_needs_no_images():
    model = build(conditional=True)[0]
    assert model.needs(VAEOptions()) == ()
    assert model.needs(VAEOptions(mode="reconstruct")) == ("image", "label")
    assert build()[0].needs(VAEOptions(mode="interpolate")) == ("image",)
    assert VAEOptions(mode="reconstruct").conditions(model, Given(SPEC), 2) == ({}, VAEOptions(mode="reconstruct"))


def test_reconstructions_are_shown_beside_their_images_and_interpolations_in_rows_of_eight():
    model, params = build()
    data = batch(16)
    images = {mode: model.sample(params, {}, KEY, data, VAEOptions(mode=mode)) for mode in LAYOUTS}
    assert all(set(out) == {"image"} and out["image"].shape == (16, 4, 6, 1) for out in images.values())
    z, _ = model.posterior(params, data["image"])
    np.testing.assert_allclose(images["reconstruct"]["image"], model.mean_image(params, z), atol=1e-6)
    ends = images["interpolate"]["image"].reshape(2, 8, 4, 6, 1)
    np.testing.assert_allclose(ends[:, 0], model.mean_image(params, z[:2]), atol=1e-6)
    np.testing.assert_allclose(ends[:, -1], model.mean_image(params, z[2:4]), atol=1e-6)
    assert model.layout(VAEOptions()) == Layout()
    assert model.layout(VAEOptions(mode="reconstruct")).beside == ("given.image", "image")
    assert model.layout(VAEOptions(mode="interpolate")).columns == 8
    assert model.outputs(SPEC) == {"image": Image(4, 6, 1)}


def test_an_interpolation_keeps_its_first_label_and_may_end_within_a_row():
    z, label = interpolate(jnp.arange(20.0).reshape(10, 2), jnp.arange(10))
    assert z.shape == (10, 2) and label.tolist() == [0] * 8 + [1] * 2
    np.testing.assert_allclose(z[:8, 0], np.linspace(0, 4, 8), rtol=1e-6)  # from the first to the third
    np.testing.assert_allclose(z[8:, 0], 2 + np.arange(2) * 4 / 7, rtol=1e-6)


@pytest.mark.parametrize(
    "fields", [{"beta": -1.0}, {"beta": math.nan}, {"beta": math.inf}, {"kl_warmup_steps": -1}, {"classes": -1}]
)
def test_numbers_that_would_train_nonsense_are_refused(fields):
    with pytest.raises(UsageError, match=next(iter(fields))):
        VAE(**fields)


def test_fields_that_disagree_with_the_data_are_refused_and_resolving_again_changes_nothing():
    assert DENSE.expects() == {}
    for fields in ({"image_shape": (8, 8, 1)}, {"classes": 5, "conditional": True}):
        with pytest.raises(UserError, match=rf"model\.{next(iter(fields))} is .*, but the data has "):
            dataclasses.replace(DENSE, **fields).resolve(SPEC)
    for conditional in (False, True):
        model, _ = build(conditional=conditional)
        assert model.resolve(SPEC) == model
        assert model.expects() == {"image": Image(4, 6, 1)} | ({"label": Label(3)} if conditional else {})


def test_what_loss_cannot_use_is_refused():
    model, params = build(conditional=True)

    def refused(turn="elbo", **fields):
        model.loss(turn, params, {}, {**batch(), **fields}, KEY, step=0, train=True)

    with pytest.raises(UserError, match="VAE has no turn 'denoise': its turns are elbo"):
        refused("denoise")
    with pytest.raises(UserError, match=r"images are uint8: give float32 in \[-1, 1\]"):
        refused(image=np.zeros((5, 4, 6, 1), np.uint8))
    with pytest.raises(UserError, match="images reach 255"):
        refused(image=np.full((5, 4, 6, 1), 255.0, np.float32))
    with pytest.raises(UserError, match=r"shape \(5, 1, 4, 6\): give \(B, H, W, C\), channels last"):
        refused(image=np.zeros((5, 1, 4, 6), np.float32))
    unlabelled = {name: value for name, value in batch().items() if name != "label"}
    with pytest.raises(UserError, match="a conditional VAE needs a label"):
        model.loss("elbo", params, {}, unlabelled, KEY, step=0, train=True)


@dataclasses.dataclass(frozen=True)
class Halves(AutoencoderConfig):
    """A user's own network: z is the image's upper half."""

    def latent_shape(self, image_shape, latent):
        return (image_shape[0] // 2, image_shape[1], latent)

    def encoder(self, features, classes=0, dtype=None):
        return Rows(features)

    def decoder(self, image_shape, classes=0, dtype=None):
        return Rows(image_shape[-1], 2)


class Rows(nn.Module):
    features: int
    times: int = 0

    @nn.compact
    def __call__(self, x, label=None):
        x = jnp.repeat(x, self.times, axis=1) if self.times else x[:, : x.shape[1] // 2]
        return nn.Dense(self.features)(x)


def test_a_users_own_network_is_asked_for_its_members_only():
    model, params = build(network=Halves(), latent=3)
    assert model.code == Latent(2, 6, 3, std=1.0, image=Image(4, 6, 1))
    assert loss(model, params, batch()).loss > 0
    assert model.encode(params, {}, batch(), KEY).shape == (5, 2, 6, 6)
