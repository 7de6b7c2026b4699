"""Diffusion with text."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.diffusion import Flow
from genjax.diffusion.process import Level
from genjax.errors import UsageError, UserError
from genjax.models import DiTConfig, SongUNetConfig, Text2Image, UNetConfig
from genjax.models.multimodal import Text2ImageOptions
from genjax.spec import DataSpec, Image, Tokens

SPEC = DataSpec({"image": Image(8, 8, 1), "caption": Tokens((5,), 9, ragged=True, end=8)})
NETWORKS = {
    "dit": DiTConfig(patch=2, layers=1, width=16, heads=2),
    "unet": UNetConfig(channels=8, multipliers=(1, 2), blocks=1, attention=(4,)),
}
KEY, LEVEL = jax.random.key(0), Level(jnp.float32(0.5), jnp.float32(0.5), jnp.float32(0.5))


def made(name):
    """The model, and weights without zeros, so that the text is heard."""
    model = Text2Image(
        process=Flow(), target="velocity", network=NETWORKS[name], text_layers=1, text_width=16, text_heads=2
    ).resolve(SPEC)
    params, _ = jax.jit(lambda key: model.init(key, SPEC))(KEY)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(KEY, len(leaves))
    return model, tree.unflatten([x + 0.2 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)])


def batch():
    return SPEC.random_batch(3) | {"caption_length": np.array([2, 5, 3], np.int32)}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_denoiser_hears_what_counts_of_the_text(name):
    model, params = made(name)
    x = batch()["image"]

    @jax.jit
    def output(words):
        return model.denoise(params, x, LEVEL, given=model.given(params, batch() | {"caption": words}))[1]

    words, padding = batch()["caption"], np.arange(5) >= batch()["caption_length"][:, None]
    here = output(words)
    assert here.shape == x.shape
    assert np.abs(here - output((words + 1) % 9)).reshape(3, -1).max(1).min() > 1e-4
    np.testing.assert_allclose(here, output(np.where(padding, (words + 1) % 9, words)), atol=1e-5)
    short = batch() | {"caption": words[:, :4], "caption_length": np.array([2, 4, 3], np.int32)}
    assert model.given(params, short).memory.shape == (3, *model.nothing(params).memory.shape[1:])


def test_captions_are_left_out_in_training_and_sampled_without():
    model, params = made("dit")
    none = model.nothing(params)
    only_end = batch() | {"caption": np.full((3, 5), 8, np.int32), "caption_length": np.ones(3, np.int32)}
    given = model.given(params, only_end)
    np.testing.assert_allclose(given.memory[:, 0], jnp.broadcast_to(none.memory[:, 0], (3, 16)), atol=1e-5)
    always = dataclasses.replace(model, label_dropout=1 - 1e-7)
    losses = [
        float(m.loss("denoise", params, {}, data, KEY, step=0, train=train).loss)
        for m, data, train in ((always, batch(), True), (model, only_end, False))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    conditions = {name: array for name, array in batch().items() if name != "image"}
    one, alone, more = (
        model.sample(params, {}, KEY, conditions, Text2ImageOptions(steps=2, guidance=g))["image"] for g in (1, 0, 3)
    )
    assert not np.allclose(one, alone, atol=1e-3) and not np.allclose(one, more, atol=1e-3)


def test_bad_input_is_one_line():
    with pytest.raises(UsageError, match="SongUNetConfig attends to no text"):
        Text2Image(network=SongUNetConfig())
    with pytest.raises(UserError, match="Text2Image needs the field `caption`"):
        Text2Image().resolve(DataSpec({"image": Image(8, 8, 1)}))
    model, params = made("dit")
    with pytest.raises(UserError, match="none was given"):
        model.given(params, {"index": np.arange(2)})
