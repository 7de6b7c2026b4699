"""MaskGIT: ids that are hidden, and drawn many at a time."""

import dataclasses

import jax
import numpy as np
import pytest
from halving import Halving

from genjax.errors import UsageError
from genjax.models import FSQ, VQVAE, MaskGIT
from genjax.models.multimodal import MaskGITOptions
from genjax.models.multimodal.maskgit import hidden_share
from genjax.spec import DataSpec, Image, Tokens

FIRST = VQVAE(network=Halving(), quantizer=FSQ((4, 3)))
SPEC = DataSpec({"image": Image(8, 12, 1), "caption": Tokens((5,), 9, ragged=True, end=8)})
MODEL = MaskGIT(layers=2, heads=2, width=16, first_stage=FIRST).resolve(SPEC)
KEY, IDS = jax.random.key(0), 24


@pytest.fixture(scope="module")
def weights():
    params, state = jax.jit(lambda key: MODEL.init(key, SPEC))(KEY)
    # larger weights, so that the text and the other ids matter
    return {**params, "decoder": jax.tree.map(lambda x: 5 * x, params["decoder"])}, state


def batch(rows=3):
    return SPEC.random_batch(rows) | {"caption_length": np.array([2, 5, 3], np.int32)[np.arange(rows) % 3]}


def drawn_ids(weights, given, options, model=MODEL):
    """The ids that `sample` decodes."""
    seen = {}

    class Spy(VQVAE):
        def decode(self, params, state, code, batch):
            seen["code"] = code
            return super().decode(params, state, code, batch)

    dataclasses.replace(model, first_stage=Spy(**vars(model.first_stage))).sample(*weights, KEY, given, options)
    return np.asarray(seen["code"])


def test_a_cosine_says_how_many_ids_are_hidden(weights):
    np.testing.assert_allclose(hidden_share(np.array([0, 1 / 3, 1])), [1, 0.8660254, 0], atol=1e-6)
    many = batch(600)
    _, hidden = jax.jit(lambda data: MODEL.hidden_nats(*weights, data, KEY, train=True))(many)
    count = np.asarray(hidden).sum(1)
    assert count.min() >= 1 and count.max() == IDS
    assert abs(count.mean() / IDS - 2 / np.pi) < 0.05  # the mean of the cosine
    assert np.abs(np.asarray(hidden).mean(0) - 2 / np.pi).max() < 0.1  # at any place


def test_the_loss_is_that_of_the_hidden_ids_which_are_not_seen(weights):
    ids = np.random.default_rng(0).integers(0, 12, (3, IDS)).astype(np.int32)
    data = {name: array for name, array in batch().items() if name != "image"} | {"tokens": ids}
    nats, hidden = map(np.asarray, MODEL.hidden_nats(*weights, data, KEY, train=False))
    out = MODEL.loss("unmask", *weights, data, KEY, step=0, train=False)
    np.testing.assert_allclose(out.loss, (nats * hidden).sum() / hidden.sum(), rtol=1e-5)

    def changed(where):  # the losses of ids that stayed
        other = np.where(where, (ids + 1) % 12, ids)
        return np.asarray(MODEL.hidden_nats(*weights, data | {"tokens": other}, KEY, train=False)[0])[~where]

    one = (np.cumsum(hidden, axis=1) == 1) & (hidden == 1)  # the first hidden id of each picture
    np.testing.assert_allclose(changed(one), nats[~one], atol=1e-6)
    last = (np.cumsum(hidden[:, ::-1] == 0, axis=1)[:, ::-1] == 1) & (hidden == 0)  # its last id that is seen
    before = (np.cumsum(last, axis=1) == 0)[~last]
    assert np.abs(changed(last) - nats[~last])[before].max() > 1e-3  # seen by those before it too


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_surest_ids_are_kept_at_each_step(weights, guidance):
    """Without noise, by logits of the whole sequence, in numpy."""
    given = {name: array for name, array in batch().items() if name != "image"}
    options = MaskGITOptions(temperature=0.0, choice=0.0, steps=5, guidance=guidance)
    s, decoder = MODEL.sequence, MODEL.networks()["decoder"]
    logits = jax.jit(lambda tokens: decoder.apply({"params": weights[0]["decoder"]}, tokens)[1])
    full, empty = (s.texts(given["caption"], k * given["caption_length"]) for k in (1, 0))
    codes = np.full((3, IDS), s.start)
    for number in range(5):
        one, none = (np.asarray(logits(np.concatenate([text, codes], axis=1)), np.float64) for text in (full, empty))
        mixed = none + guidance * (one - none)
        hidden, likeliest = codes == s.start, mixed.argmax(-1)
        codes = np.where(hidden, s.first_code + likeliest, codes)
        shifted = mixed - mixed.max(-1, keepdims=True)
        sure = np.where(hidden, -np.log(np.exp(shifted).sum(-1)), np.inf)
        again = int(np.floor(IDS * np.cos(np.pi / 2 * (number + 1) / 5))) if number < 4 else 0
        for row in range(3):
            codes[row, np.argsort(sure[row], kind="stable")[:again]] = s.start
    np.testing.assert_array_equal(drawn_ids(weights, given, options), codes - s.first_code)


def test_one_step_draws_everything_and_more_steps_than_ids_do_too(weights):
    given = {name: array for name, array in batch().items() if name != "image"}
    for steps in (1, 40):
        ids = drawn_ids(weights, given, MaskGITOptions(steps=steps))
        assert ids.shape == (3, IDS) and ids.min() >= 0 and ids.max() < 12


def test_the_upper_rows_of_an_init_image_are_kept(weights):
    given = batch() | {"init": batch()["image"]}
    del given["image"]
    ids, drawn = np.asarray(MODEL.ids(*weights, batch(), KEY)), drawn_ids(weights, given, MaskGITOptions(keep=0.5))
    np.testing.assert_array_equal(drawn[:, :12], ids[:, :12])
    assert not np.array_equal(drawn[:, 12:], ids[:, 12:])


def test_bad_input_is_one_line():
    with pytest.raises(UsageError, match="--steps 0"):
        MaskGITOptions(steps=0)
    with pytest.raises(UsageError, match="does not write text"):
        MaskGIT(text_weight=0.1)
