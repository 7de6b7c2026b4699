"""Autoencoders of ids."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from halving import Halving

from genjax.errors import UserError
from genjax.models import FSQ, VQVAE, ConvAutoencoder, Gumbel, VectorQuantizer
from genjax.spec import Codes, DataSpec, Image

SPEC = DataSpec({"image": Image(8, 12, 1)})
KINDS = {
    "ema": VectorQuantizer(16, 4),
    "gradient": VectorQuantizer(16, 4, learn="gradient"),
    "fsq": FSQ((4, 3)),
    "gumbel": Gumbel(16, 4),
}


def made(kind):
    model = VQVAE(network=Halving(), quantizer=KINDS[kind]).resolve(SPEC)
    return model, *jax.jit(lambda key: model.init(key, SPEC))(jax.random.key(0))


def batch(rows=3):
    image = np.random.default_rng(0).uniform(-1, 1, (rows, 8, 12, 1)).astype(np.float32)
    return {"index": np.arange(rows, dtype=np.int32), "image": image}


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_stage_of_ids(kind):
    model, params, state = made(kind)
    key, data = jax.random.key(1), batch()
    assert model.code == Codes((24,), model.quantizer.codes, grid=(4, 6), image=Image(8, 12, 1))
    code = jax.jit(model.encode)(params, state, data, key)
    assert code.shape == (3, 24) and code.dtype == jnp.int32
    image = jax.jit(model.decode)(params, state, code, data)
    again = jax.jit(model.sample, static_argnums=4)(params, state, key, data, model.Options())["image"]
    np.testing.assert_allclose(image, again, atol=1e-5)
    assert ("quantizer" in params) == (kind in ("gradient", "gumbel")) and ("quantizer" in state) == (
        kind in ("ema", "gradient")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_learns_through_the_codes(kind):
    model, params, state = made(kind)

    def error(params):
        out = model.loss("reconstruct", params, state, batch(), jax.random.key(0), step=jnp.int32(9), train=True)
        return out.terms["mse"].value

    grads = jax.jit(jax.grad(error))(params)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads["encoder"]["conv_in"]))


def test_use_and_perplexity_are_those_of_the_whole_split():
    model, params, state = made("fsq")
    valid = np.array([True, True, False])
    found = jax.jit(model.evaluate)(params, state, batch() | {"valid": valid}, jax.random.key(0))
    ids = np.asarray(model.encode(params, state, batch(), jax.random.key(0)))[:2]
    share = np.bincount(ids.ravel(), minlength=12) / ids.size
    np.testing.assert_allclose(found["codes"].total / found["codes"].count, share, rtol=1e-6)
    values = model.finalize({"mse": 0.04, "codes": share, "count": 2.0})
    used = share[share > 0]
    assert values["codebook_use"] == len(used) / 12 and values["mse_db"] == pytest.approx(20)
    assert values["codebook_perplexity"] == pytest.approx(np.exp(-(used * np.log(used)).sum()))
    assert "codes" not in values


def test_codes_without_a_layout_are_refused():
    model = dataclasses.replace(VQVAE(), network=ConvAutoencoder((4,)))
    with pytest.raises(UserError, match="keep the picture's layout, not ConvAutoencoder"):
        model.resolve(SPEC)
