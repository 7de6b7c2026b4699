"""Models that do not know their data yet, or hold a word that means nothing."""

import dataclasses

import jax
import pytest
import systems

from genjax.errors import UsageError, UserError
from genjax.models import DCGAN, GAN, VAE
from genjax.spec import DataSpec, Tokens


def test_init_says_what_is_open_and_what_to_do():
    with pytest.raises(UserError, match=r"this VAE does not know its image_shape, classes yet: model = model\.resolve"):
        VAE(latent=2).init(jax.random.key(0), systems.IMAGES)
    with pytest.raises(UserError, match="VAE needs the field `image` of kind Image, which is not there"):
        VAE(latent=2).init(jax.random.key(0), DataSpec({"tokens": Tokens((16,), 64, shifted=True)}))
    model = VAE(latent=2).resolve(systems.IMAGES)
    params, _ = model.init(jax.random.key(0), DataSpec())  # a resolved model asks nothing
    assert set(params) == {"encoder", "decoder"}


def test_fields_that_stay_open_are_no_mistake():
    system = systems.SYSTEMS["hmm"]
    model = system.experiment.model.resolve(system.spec)
    assert model.lanes is None  # `on` decides that
    assert model.init(jax.random.key(0), system.spec)[0]


@pytest.mark.parametrize(
    "model, words",
    [
        (VAE(latent=2, likelihood="bernouli"), "VAE.likelihood is 'bernouli': choose bernoulli, gaussian, mse, l1"),
        (GAN(network=DCGAN(generator_norm="bach")), "DCGAN.generator_norm is 'bach': choose batch"),
    ],
)
def test_a_misspelt_word_is_refused(model, words):
    with pytest.raises(UsageError, match=words):
        model.resolve(systems.IMAGES).init(jax.random.key(0), systems.IMAGES)


def test_annotations_that_cannot_be_read_forbid_nothing():
    local = dataclasses.make_dataclass("Local", [("kind", "Unknown", "x")], bases=(VAE,), frozen=True, kw_only=True)
    model = local(latent=2).resolve(systems.IMAGES)
    assert model.init(jax.random.key(0), systems.IMAGES)[0]
