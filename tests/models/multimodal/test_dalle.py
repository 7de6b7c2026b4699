"""DALL-E: one sequence of text and picture."""

import dataclasses
import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from halving import Halving

from genjax.data.tokenizers import make_tokenizer
from genjax.errors import UsageError, UserError
from genjax.models import DALLE, FSQ, VAE, VQVAE
from genjax.models.multimodal import DALLEOptions
from genjax.networks import transformer
from genjax.spec import Codes, DataSpec, Image, Label, Tokens

FIRST = VQVAE(network=Halving(), quantizer=FSQ((4, 3)))
IMAGE, CAPTION = Image(8, 12, 1), Tokens((5,), 9, ragged=True, end=8)
SPEC = DataSpec({"image": IMAGE, "caption": CAPTION})
MODEL = DALLE(layers=2, heads=2, width=16, first_stage=FIRST).resolve(SPEC)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def weights():
    params, state = jax.jit(lambda key: MODEL.init(key, SPEC))(KEY)
    # larger weights, so that the text matters
    return {**params, "decoder": jax.tree.map(lambda x: 5 * x, params["decoder"])}, state


def batch(rows=3):
    found = SPEC.random_batch(rows)
    return found | {"caption_length": np.array([2, 5, 3][:rows], np.int32)}


def test_a_sequence_is_a_start_a_text_and_a_picture():
    s = MODEL.sequence
    assert (s.text, s.words, s.image, s.codes, s.length) == (5, 9, 24, 12, 30) == (5, 9, 24, 12, MODEL.context)
    tokens = s.texts(np.array([[1, 8, 7, 7, 7], [1, 2, 3, 4, 8]]), np.array([2, 0]))
    np.testing.assert_array_equal(tokens, [[14, 1, 8, 11, 12, 13], [14, 9, 10, 11, 12, 13]])
    may = np.asarray(s.possible(jnp.arange(30)))
    assert (may[:5].sum(1) == 9).all() and (may[5:].sum(1) == 12).all() and may[5, s.first_code] and may[4, 8]


def test_the_loss_weighs_text_and_picture_by_their_own_tokens(weights):
    (text, counts), image = MODEL.nats(*weights, batch(), KEY, train=False)
    assert counts.sum() == 10 and np.isfinite(text).all() and image.shape == (3, 24)
    model = dataclasses.replace(MODEL, text_dropout=0.0)
    out = model.loss("next_token", *weights, batch(), KEY, step=0, train=True)
    np.testing.assert_allclose(out.loss, (text * counts).sum() / 10 / 8 + image.mean() * 7 / 8, rtol=1e-5)


def test_pictures_see_the_text_and_only_what_counts_of_it(weights):
    def image(**changed):
        return np.asarray(MODEL.nats(*weights, batch() | changed, KEY, train=False)[1])

    words = batch()["caption"]
    assert not np.allclose(image(), image(caption=(words + 1) % 9), atol=1e-3)
    padding = np.arange(5) >= batch()["caption_length"][:, None]
    np.testing.assert_allclose(image(), image(caption=np.where(padding, (words + 1) % 9, words)), atol=1e-6)


def test_captions_of_a_batch_that_is_padded_less_give_the_same_loss(weights):
    short = batch(3) | {"caption_length": np.array([2, 3, 3], np.int32)}
    (text, counts), image = MODEL.nats(*weights, short, KEY, train=False)
    cut = short | {"caption": short["caption"][:, :3]}
    (text_cut, _), image_cut = MODEL.nats(*weights, cut, KEY, train=False)
    np.testing.assert_allclose(image_cut, image, atol=1e-6)
    np.testing.assert_allclose(text_cut * counts, text * counts, atol=1e-6)


def test_ids_that_were_encoded_once_give_the_same_loss(weights):
    ids = np.asarray(MODEL.ids(*weights, batch(), KEY))
    encoded = {name: array for name, array in batch().items() if name != "image"} | {"tokens": ids}
    np.testing.assert_allclose(*(MODEL.nats(*weights, b, KEY, train=False)[1] for b in (batch(), encoded)), rtol=1e-5)
    fields = {"tokens": FIRST.resolve(SPEC).code, "caption": CAPTION}
    model = dataclasses.replace(MODEL, context=None, vocabulary=None).resolve(DataSpec(fields))
    assert model == MODEL


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_cached_and_guided_decoding_is_that_of_whole_sequences(weights, guidance):
    """The likeliest ids, one after another, by logits of the whole sequence."""
    params, state = weights
    options = DALLEOptions(temperature=0.0, guidance=guidance)
    given = {name: array for name, array in batch().items() if name != "image"}
    got = jax.jit(MODEL.sample, static_argnums=4)(params, state, KEY, given, options)["image"]
    s, decoder = MODEL.sequence, MODEL.networks()["decoder"]
    logits = jax.jit(lambda tokens: decoder.apply({"params": params["decoder"]}, tokens[:, :-1])[1])
    full, empty = (s.texts(given["caption"], k * given["caption_length"]) for k in (1, 0))
    codes = np.zeros((3, 0), np.int32)
    for place in range(s.image):
        filled = np.pad(codes, ((0, 0), (0, s.image - place)), constant_values=s.first_code)
        one, none = (logits(np.concatenate([text, filled], axis=1))[:, place] for text in (full, empty))
        codes = np.concatenate(
            [codes, s.first_code + np.argmax(none + guidance * (one - none), axis=-1)[:, None]], axis=1
        )
    own = {name.removeprefix("first_stage."): tree for name, tree in params.items()}
    np.testing.assert_allclose(got, MODEL.first_stage.decode(own, {}, codes - s.first_code, given), atol=1e-5)


def test_the_upper_rows_of_an_init_image_are_kept(weights):
    params, state = weights
    given = batch() | {"init": batch()["image"]}
    del given["image"]
    seen = {}
    model = MODEL

    class Spy(VQVAE):
        def decode(self, params, state, code, batch):
            seen["code"] = code
            return super().decode(params, state, code, batch)

    model = dataclasses.replace(MODEL, first_stage=Spy(**vars(MODEL.first_stage)))
    model.sample(params, state, KEY, given, DALLEOptions(keep=0.5))
    ids = MODEL.ids(params, state, batch(), KEY)
    np.testing.assert_array_equal(seen["code"][:, :12], ids[:, :12])
    assert not np.array_equal(seen["code"][:, 12:], ids[:, 12:])


def test_classes_and_pictures_alone_take_the_same_model():
    spec = DataSpec({"image": IMAGE, "label": Label(7)})
    labels = DALLE(layers=1, heads=2, width=8, first_stage=FIRST).resolve(spec)
    assert labels.condition == "label" and labels.sequence.text == 1 and labels.sequence.words == 7
    alone = DALLE(layers=1, heads=2, width=8, first_stage=FIRST, condition="none").resolve(spec)
    assert alone.sequence.text == 0 and alone.text_weight == 0
    params, state = jax.jit(lambda key: alone.init(key, spec))(KEY)
    loss = functools.partial(alone.loss, "next_token", step=0, train=True)
    assert set(jax.eval_shape(loss, params, state, spec.random_batch(2), KEY).terms) == {"image"}
    draw = jax.jit(alone.sample, static_argnums=4)
    image = draw(params, state, KEY, {"index": np.arange(2)}, DALLEOptions())["image"]
    assert image.shape == (2, 8, 12, 1) and not np.array_equal(image[0], image[1])


def test_bad_input_is_one_line():
    given = SimpleNamespace(spec=SPEC, tokenizer=make_tokenizer("char", ["four next to"], end=True))
    with pytest.raises(UsageError, match="--prompt number 2 has 9 tokens, and the model's text 5: fourfour"):
        DALLEOptions(prompt=("four", "fourfour")).conditions(MODEL, given, 2)
    with pytest.raises(UsageError, match="number 1 is empty"):
        DALLEOptions(prompt=(" ",)).conditions(MODEL, given, 2)
    labels = dataclasses.replace(MODEL, condition="label", text_dropout=0.0)
    with pytest.raises(UsageError, match="trained without captions"):
        labels.check(DALLEOptions(prompt=("x",)))
    with pytest.raises(UsageError, match="cannot be guided"):
        labels.check(DALLEOptions(guidance=2.0))
    other = Codes((24,), 13, grid=(4, 6), image=IMAGE)
    with pytest.raises(UserError, match=r"ids below 13, and --model\.first-stage makes codes of"):
        DALLE(width=16, heads=2, first_stage=FIRST).resolve(DataSpec({"tokens": other, "caption": CAPTION}))
    with pytest.raises(UserError, match="such as VQVAE; VAE has others"):
        DALLE(width=16, heads=2, first_stage=VAE(network=Halving())).resolve(SPEC)
    with pytest.raises(UsageError, match="positions are learned"):
        DALLE(positions="rope")
    assert transformer.empty_cache(MODEL, 1, 2).own.k_LBKCS.shape[0] == 2
