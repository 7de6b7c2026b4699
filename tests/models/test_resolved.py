"""Models that do not know their data yet."""

import jax
import pytest
import systems

from genjax.errors import UserError
from genjax.models import VAE
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
