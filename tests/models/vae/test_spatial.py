import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.errors import UserError
from genjax.models.vae import LOG_VARIANCE, VAE, VAEOptions
from genjax.networks import SpatialAutoencoder
from genjax.spec import DataSpec, Image, Label, Latent

SPEC = DataSpec({"image": Image(8, 12, 1), "label": Label(3)})
MODEL = VAE(network=SpatialAutoencoder((4, 8), blocks=1), latent=2, likelihood="mse", beta=0.5).resolve(SPEC)


@pytest.fixture(scope="module")
def params():
    return jax.jit(lambda key: MODEL.init(key, SPEC)[0])(jax.random.key(0))


posterior, pixels, elbo = jax.jit(MODEL.posterior), jax.jit(MODEL.pixels), jax.jit(MODEL.elbo)


def batch(rows=3):
    image = np.random.default_rng(0).uniform(-1, 1, (rows, 8, 12, 1)).astype(np.float32)
    return {"index": np.arange(rows, dtype=np.int32), "image": image, "label": np.arange(rows, dtype=np.int32) % 3}


def test_the_latent_is_a_grid(params):
    assert MODEL.latent_shape == (4, 6, 2)
    assert MODEL.code == Latent(4, 6, 2, std=1.0, image=Image(8, 12, 1))
    assert VAE(latent=7).latent_shape == (7,) and VAE().code is None
    mean, log_var = posterior(params, batch()["image"])
    assert mean.shape == log_var.shape == (3, 4, 6, 2) and mean.dtype == jnp.float32
    output, log_sigma = pixels(params, mean)
    assert output.shape == (3, 8, 12, 1) and log_sigma.shape == ()
    image = jax.jit(MODEL.mean_image)(params, 100 * mean)
    assert image.shape == (3, 8, 12, 1) and jnp.abs(image).max() <= 1


def test_each_latent_sees_its_place(params):
    """Attention and normalization reach everywhere; but a change in a corner moves the latents there most."""
    image = batch()["image"]
    for left, right in ((0, 2), (10, 12)):
        changed = image.copy()
        changed[:, :2, left:right] = -changed[:, :2, left:right]
        difference = jnp.abs(posterior(params, image)[0] - posterior(params, changed)[0]).max(axis=(0, 3))
        near, far = (difference[:2, :2], difference[2:, 4:]) if left == 0 else (difference[:2, 4:], difference[2:, :2])
        assert near.max() > 2 * far.max()


def test_elbo_sums_over_the_whole_grid(params):
    data, key = batch(), jax.random.key(1)
    log_likelihood, kl, _ = elbo(params, data, key)
    mean, log_var = (np.asarray(x, np.float64) for x in posterior(params, data["image"]))
    np.testing.assert_allclose(kl, 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).reshape(3, -1).sum(1), rtol=1e-5)
    loss = jax.jit(functools.partial(MODEL.loss, "elbo", step=0, train=True))
    out = loss(params, {}, data, key)
    np.testing.assert_allclose(out.loss, np.mean(0.5 * kl - log_likelihood), rtol=1e-5)
    # E over z of log p(z) - log q(z | x) is -KL
    draws = [elbo(params, data, jax.random.key(i)) for i in range(100)]
    ratios = np.stack([weight - likelihood for likelihood, _, weight in draws])
    error = ratios.std(0) / np.sqrt(len(ratios))
    assert np.all(np.abs(ratios.mean(0) + kl) < 4 * error)


def test_where_beta_is_not_1_the_loss_picks_the_best_checkpoint(params):
    values = jax.jit(MODEL.evaluate)(params, {}, batch(), jax.random.key(0))
    sums = {name: float(term.total) for name, term in values.items()}
    assert sums["loss"] == pytest.approx(0.5 * sums["kl"] - sums["reconstruction"], rel=1e-5)
    assert MODEL.best == ("loss", "min") and dataclasses.replace(MODEL, beta=1.0).best == ("elbo", "max")


@pytest.mark.parametrize("mode", ["prior", "reconstruct", "interpolate"])
def test_samples(params, mode):
    data = batch(10)
    sample = jax.jit(MODEL.sample, static_argnums=4)
    out = sample(params, {}, jax.random.key(0), data, VAEOptions(mode=mode))["image"]
    assert out.shape == (10, 8, 12, 1) and jnp.abs(out).max() <= 1
    if mode == "reconstruct":
        mean, _ = posterior(params, data["image"])
        np.testing.assert_allclose(out, jax.jit(MODEL.mean_image)(params, mean), atol=1e-5)


def test_labels_condition_both_halves(params):
    model = dataclasses.replace(MODEL, conditional=True).resolve(SPEC)
    own, label = jax.jit(lambda key: model.init(key, SPEC)[0])(jax.random.key(0)), jnp.arange(2)
    one, other = jax.jit(model.posterior)(own, np.repeat(batch(1)["image"], 2, axis=0), label)[0]
    assert not np.allclose(one, other)
    one, other = jax.jit(model.pixels)(own, jnp.zeros((2, 4, 6, 2)), label)[0]
    assert not np.allclose(one, other)


def test_log_variances_stay_where_their_exponential_is_finite(params):
    last = jax.tree.map(lambda x: 1e4 * x, params["encoder"]["quantize"])
    large = params | {"encoder": params["encoder"] | {"quantize": last}}
    _, log_var = posterior(large, batch()["image"])
    assert log_var.min() == LOG_VARIANCE[0] and log_var.max() == LOG_VARIANCE[1]
    assert np.isfinite(elbo(large, batch(), jax.random.key(0))[1]).all()


def test_sides_that_do_not_halve_are_refused():
    with pytest.raises(UserError, match="by 4, which does not go into 10x8"):
        VAE(network=SpatialAutoencoder((4, 4, 4))).resolve(DataSpec({"image": Image(10, 8, 1)}))


def test_images_are_needed_not_latents_of_them():
    spec = DataSpec({"latent": Latent(4, 4, 2, std=1.0, image=Image(8, 8, 1))})
    with pytest.raises(UserError, match="VAE needs the field `image` of kind Image, which is not there"):
        MODEL.resolve(spec)


def test_a_first_stage_encodes_what_it_sees_and_decodes_to_images(params):
    data, key = batch(), jax.random.key(0)
    code = jax.jit(MODEL.encode)(params, {}, data, key)
    np.testing.assert_array_equal(code, jnp.concatenate(posterior(params, data["image"]), axis=-1))
    image = jax.jit(MODEL.decode)(params, {}, 100 * code[..., :2], data)
    np.testing.assert_allclose(image, jax.jit(MODEL.mean_image)(params, 100 * code[..., :2]), atol=1e-6)
    assert jnp.abs(image).max() == 1

    binary = dataclasses.replace(MODEL, likelihood="bernoulli", binarization="dynamic")
    seen = binary.seen(data["image"], key, data["index"])
    expected = jnp.concatenate(posterior(params, seen), axis=-1)
    np.testing.assert_allclose(jax.jit(binary.encode)(params, {}, data, key), expected, atol=1e-5)


def test_a_conditional_first_stage_wants_the_label_on_both_ways():
    model = dataclasses.replace(MODEL, conditional=True).resolve(SPEC)
    own, data = jax.jit(lambda key: model.init(key, SPEC)[0])(jax.random.key(0)), batch()
    other = {**data, "label": (data["label"] + 1) % 3}
    encode, decode = jax.jit(model.encode), jax.jit(model.decode)
    one, another = (encode(own, {}, d, jax.random.key(0)) for d in (data, other))
    assert not np.allclose(one, another)
    one, another = (decode(own, {}, jnp.zeros((3, 4, 6, 2)), d) for d in (data, other))
    assert not np.allclose(one, another)
    with pytest.raises(UserError, match="needs a label"):
        model.decode(own, {}, jnp.zeros((3, 4, 6, 2)), {"index": jnp.arange(3)})
