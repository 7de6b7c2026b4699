"""Latents as a space of diffusion: the first stage, its latents, and what they refuse."""

import dataclasses

import jax
import numpy as np
import pytest
from models.diffusion.small import INDEX

from genjax import load_experiment
from genjax.diffusion import Flow
from genjax.errors import UsageError, UserError
from genjax.models import KL_F8, VAE, Diffusion, DiTConfig, Latents
from genjax.networks.spatial_autoencoder import SpatialAutoencoder
from genjax.spec import DataSpec, Image, Label, Latent

NET = DiTConfig(patch=2, layers=1, width=16, heads=2)
IMAGE, LABEL = Image(8, 8, 1), Label(10)
IMAGES = DataSpec({"image": IMAGE, "label": LABEL})
LATENTS = DataSpec({"latent": Latent(4, 4, 2, std=2.0, image=IMAGE), "label": LABEL})
SMALL = dataclasses.replace(KL_F8, network=SpatialAutoencoder(widths=(8, 16), blocks=1), latent=2)
MODEL = Diffusion(network=NET, space=Latents(SMALL))


@pytest.mark.parametrize(
    ("recipe", "autoencoder"),
    [("dit_s2_latent", "kl_f8"), ("dit_xl2_imagenet256", "kl_f8"), ("latent_digits", "kl_digits")],
)
def test_recipes_decode_with_the_autoencoder_that_they_name(recipe, autoencoder):
    first_stage, trained = load_experiment(recipe).model.space.first_stage, load_experiment(autoencoder).model
    known = dataclasses.replace(trained, perceptual=None, adversarial=None)  # the terms that it was trained by are gone
    assert dataclasses.replace(first_stage, image_shape=trained.image_shape) == known


def test_latents_are_scaled_and_come_encoded_or_as_images():
    model = MODEL.resolve(LATENTS)
    assert model.shape == (4, 4, 2) and model.space.std == 2.0 and model.image_shape == (8, 8, 1)
    assert MODEL.resolve(IMAGES).space.std == 1.0
    params, state = model.init(jax.random.key(0), LATENTS)
    moments = np.concatenate([np.full((4, 4, 4, 2), 3.0), np.full((4, 4, 4, 2), -100.0)], axis=-1)
    x0 = model.space.encode(params, state, {"index": INDEX, "latent": moments}, jax.random.key(0))
    np.testing.assert_allclose(x0, 1.5, atol=1e-6)
    image = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
    batch = {"index": INDEX, "image": image}
    assert model.space.encode(params, state, batch, jax.random.key(0)).shape == (4, 4, 4, 2)
    wrong = DataSpec({"latent": Latent(2, 2, 2, std=1.0, image=IMAGE)})
    with pytest.raises(UserError, match="latents have the shape"):
        MODEL.resolve(wrong)


def test_the_first_stage_lives_under_a_prefix_and_is_never_trained():
    model = MODEL.resolve(LATENTS)
    entries = {"denoiser", "first_stage.encoder", "first_stage.decoder"}
    params, state = model.init(jax.random.key(0), LATENTS)
    assert set(params) == set(model.networks()) == entries and state == {}
    assert [turn.trains for turn in model.turns] == [("denoiser",)]
    own = {name: params[f"first_stage.{name}"] for name in ("encoder", "decoder")}
    z = np.random.default_rng(0).normal(size=(4, 4, 4, 2)).astype(np.float32)
    image = model.space.decode(params, state, z, {"index": INDEX})
    np.testing.assert_array_equal(image, model.space.first_stage.decode(own, {}, z * 2.0, {"index": INDEX}))
    label = {"index": INDEX, "label": INDEX}
    drawn = model.sample(params, state, jax.random.key(0), label, model.Options(steps=2))
    assert drawn["image"].shape == (4, 8, 8, 1) and model.outputs(LATENTS) == {"image": IMAGE}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Halved(VAE):
    """A first stage with state: its codes are the image's values, times a number that it keeps."""

    @property
    def code(self):
        return Latent(*self.image_shape, std=1.0, image=Image(*self.image_shape))

    def networks(self):
        return {}

    def init(self, key, spec, batch_size=1):
        return {}, {"gain": np.float32(0.5)}

    def encode(self, params, state, batch, key):
        mean = batch["image"] * state["gain"]
        return np.concatenate([mean, np.full_like(mean, -100.0)], axis=-1)

    def decode(self, params, state, code, batch):
        return code / state["gain"]


def test_any_system_with_codes_is_a_first_stage_and_keeps_its_state():
    model = Diffusion(network=NET, process=Flow(), target="velocity", space=Latents(Halved(), std=0.25)).resolve(IMAGES)
    params, state = model.init(jax.random.key(0), IMAGES)
    assert state == {"first_stage.gain": 0.5} and model.shape == (8, 8, 1)
    image = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
    batch = {"index": INDEX, "image": image, "label": INDEX}
    x0 = model.space.encode(params, state, batch, jax.random.key(0))
    np.testing.assert_allclose(x0, 2 * image, rtol=1e-6)
    np.testing.assert_allclose(model.space.decode(params, state, x0, batch), image, rtol=1e-6)
    assert model.loss("denoise", params, state, batch, jax.random.key(0), step=0, train=True).state == state


def test_the_space_says_what_data_it_expects():
    model = Diffusion(network=NET, space=Latents(SMALL), image_shape=(8, 8, 1), classes=10, conditional=True)
    fields = model.expects()
    assert set(fields) == {"latent", "label"} and fields["latent"].shape == (4, 4, 2)
    assert model.resolve(DataSpec(fields)).shape == (4, 4, 2) and MODEL.expects() == {}


def test_latents_have_no_bounds_to_clip_to():
    model = MODEL.resolve(LATENTS)
    assert not model.check(model.Options()).clip
    with pytest.raises(UsageError, match="--clip"):
        model.check(model.Options(clip=True))


def test_what_latents_refuse_is_one_line():
    with pytest.raises(UsageError, match="likelihood"):
        Diffusion(space=Latents(SMALL), likelihood_steps=50)
    with pytest.raises(UsageError, match="restores pixels"):
        Diffusion(space=Latents(SMALL), task="deblur")
    with pytest.raises(UsageError, match="std"):
        Latents(std=float("nan"))
    with pytest.raises(UserError, match="keep the picture's layout"):
        Diffusion(space=Latents(VAE())).resolve(IMAGES)
    with pytest.raises(UserError, match="needs the field `image`"):
        MODEL.resolve(DataSpec({"label": LABEL}))
