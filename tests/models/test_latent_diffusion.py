"""Latent diffusion: its first stage, its latents, and what it refuses."""

import dataclasses

import jax
import numpy as np
import pytest
from systems import TINY

from genjax import load_experiment
from genjax.errors import UsageError, UserError
from genjax.models import DiTConfig, LatentDiffusion
from genjax.spec import DataSpec

INDEX = np.arange(4, dtype=np.int32)
NET = DiTConfig(patch=2, layers=1, width=16, heads=2)
SPEC = DataSpec(image_shape=(8, 8, 1), classes=10, latent_shape=(4, 4, 2), latent_std=2.0)
SMALL = dataclasses.replace(LatentDiffusion().first_stage, widths=(8, 16), blocks=1, latent=2)


@pytest.mark.parametrize(
    ("recipe", "autoencoder"),
    [("dit_s2_latent", "kl_f8"), ("dit_xl2_imagenet256", "kl_f8"), ("latent_digits", "kl_digits")],
)
def test_recipes_decode_with_the_autoencoder_that_they_name(recipe, autoencoder):
    first_stage, trained = load_experiment(recipe).model.first_stage, load_experiment(autoencoder).model
    assert dataclasses.replace(first_stage, image_shape=trained.image_shape) == trained


def test_latents_are_scaled_and_come_encoded_or_as_images():
    model = LatentDiffusion(network=NET, first_stage=SMALL).resolve(SPEC)
    assert model.shape == (4, 4, 2) and model.latent_std == 2.0
    params = model.init(jax.random.key(0), SPEC)[0]
    moments = np.concatenate([np.full((4, 4, 4, 2), 3.0), np.full((4, 4, 4, 2), -100.0)], axis=-1)
    x0 = model.encode(params, {"index": INDEX, "latent": moments}, jax.random.key(0))
    np.testing.assert_allclose(x0, 1.5, atol=1e-6)
    image = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
    assert model.encode(params, {"index": INDEX, "image": image}, jax.random.key(0)).shape == (4, 4, 4, 2)
    wrong = dataclasses.replace(SPEC, latent_shape=(2, 2, 2))
    with pytest.raises(UserError, match="latents have the shape"):
        LatentDiffusion(network=NET, first_stage=SMALL).resolve(wrong)


def test_latents_have_no_bounds_to_clip_to():
    model = LatentDiffusion(network=NET, first_stage=SMALL).resolve(SPEC)
    assert not model.check(model.Options()).clip
    with pytest.raises(UsageError, match="--clip"):
        model.check(model.Options(clip=True))


def test_likelihoods_of_latents_are_refused():
    with pytest.raises(UsageError, match="likelihood"):
        dataclasses.replace(TINY["latent-diffusion"].model, likelihood_steps=10)
    with pytest.raises(UsageError, match="latent_std"):
        LatentDiffusion(latent_std=float("nan"))
