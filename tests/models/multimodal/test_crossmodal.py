"""The cross-modal transformer: captions of pictures, pictures of captions, and CLIP's loss."""

import dataclasses
import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from halving import Halving

from genjax.data.tokenizers import make_tokenizer
from genjax.engine.gradient import gradient
from genjax.errors import UsageError, UserError
from genjax.models import FSQ, VAE, VQVAE, CrossModal
from genjax.models.base import LossOutput, Term
from genjax.models.multimodal.contrastive import clip_loss, recalls
from genjax.models.multimodal.crossmodal_options import CrossModalOptions
from genjax.runs import initialize
from genjax.runs.sources import parse
from genjax.spec import DataSpec, Image, Tokens

FIRST = VQVAE(network=Halving(), quantizer=FSQ((4, 3)))
IMAGE, CAPTION = Image(8, 12, 1), Tokens((5,), 9, ragged=True, end=8)
SPEC = DataSpec({"image": IMAGE, "caption": CAPTION})
MODEL = CrossModal(layers=2, heads=2, width=16, patch=2, shared=8, candidates=10, first_stage=FIRST).resolve(SPEC)
KEY = jax.random.key(0)
outputs_of = jax.jit(functools.partial(MODEL.outputs_of, train=False))


@pytest.fixture(scope="module")
def weights():
    params, state = jax.jit(lambda key: MODEL.init(key, SPEC))(KEY)
    # larger weights, so that what is read matters
    return {**params, "transformer": jax.tree.map(lambda x: 5 * x, params["transformer"])}, state


def some(rows=3):
    return SPEC.random_batch(rows) | {"caption_length": np.array([2, 5, 3][:rows], np.int32)}


def embeddings(rows=6, size=4, seed=0):
    x = np.random.default_rng(seed).normal(size=(2, rows, size)).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.peers
def test_the_contrastive_loss_and_its_gradients_are_those_of_clip():
    torch, clip = pytest.importorskip("torch"), pytest.importorskip("transformers.models.clip.modeling_clip")
    image, caption = embeddings()
    theirs = [torch.tensor(x, requires_grad=True) for x in (image, caption, np.float32(7.5))]
    of_similarity = getattr(clip, "image_text_contrastive_loss", None) or clip.clip_loss  # before version 5
    loss = of_similarity(theirs[2] * theirs[1] @ theirs[0].T)
    loss.backward()
    value, grads = jax.value_and_grad(lambda *x: clip_loss(*x).mean(), argnums=(0, 1, 2))(image, caption, 7.5)
    np.testing.assert_allclose(value, loss.item(), rtol=1e-6)
    for ours, x in zip(grads, theirs):
        np.testing.assert_allclose(ours, x.grad, rtol=1e-5, atol=1e-7)


def test_the_contrastive_loss_of_replicas_is_that_of_the_whole_batch():
    image, caption = embeddings(8)
    whole, gradient = jax.value_and_grad(lambda *x: clip_loss(*x, 5.0).sum(), argnums=(0, 1))(image, caption)

    def of_replica(image, caption):
        return jax.value_and_grad(lambda *x: clip_loss(*x, 5.0).sum(), argnums=(0, 1))(image, caption)

    parts = [x.reshape(4, 2, -1) for x in (image, caption)]
    values, grads = jax.pmap(of_replica, axis_name="replica", devices=jax.devices()[:4])(*parts)
    np.testing.assert_allclose(values.sum(), whole, rtol=1e-6)
    for ours, x in zip(grads, gradient):
        np.testing.assert_allclose(ours.reshape(x.shape), x, rtol=1e-5, atol=1e-6)


def test_with_accumulation_each_micro_batch_is_contrasted_within_itself():
    image, caption = embeddings(8)
    data = {"image": image, "caption": caption, "index": np.arange(8)}

    def loss(trained, state, batch):
        nats_B = clip_loss(batch["image"], batch["caption"], trained["scale"])
        return LossOutput({"contrastive": Term.mean(nats_B)}, {}, state)

    def outcome(parts):
        return gradient(loss, {"scale": jnp.float32(3.0)}, {}, data, KEY, batch_size=8, micro_batches=parts)

    halves = [clip_loss(image[i::2], caption[i::2], 3.0).mean() for i in range(2)]
    np.testing.assert_allclose(outcome(2).metrics["loss"], np.mean(halves), rtol=1e-6)
    assert outcome(2).metrics["loss"] < outcome(1).metrics["loss"] - 0.5  # half as many captions to be told from


def test_recalls_take_pictures_of_one_caption_as_alike():
    caption_NS = np.array([[1, 2], [1, 2], [3, 4], [5, 6]])
    caption_NE = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    image_NE = np.array([[1, 0.1], [0.1, 0.9], [0.3, 1], [-1, 0]], np.float32)  # the second is taken for the third
    found = recalls(image_NE, caption_NE, caption_NS)
    assert found["image_to_caption_r1"] == 0.75 and found["caption_to_image_r1"] == 1.0
    assert found["image_to_caption_r5"] == found["caption_to_image_r10"] == 1.0
    assert recalls(0 * image_NE, caption_NE, caption_NS)["caption_to_image_r1"] == 0  # ties are not found


def test_recalls_are_of_all_batches_of_a_split(weights):
    data = SPEC.random_batch(10)  # the last rows only fill up the second batch
    valid = np.arange(10) < 8
    evaluate, sums = jax.jit(MODEL.evaluate), []
    for rows in (slice(0, 5), slice(5, 10)):
        part = {name: x[rows] for name, x in data.items()}
        part |= {"index": np.arange(len(part["index"])), "row": data["index"][rows], "valid": valid[rows]}
        sums.append(evaluate(*weights, part, KEY)["pairs"])
    mean = sum(np.asarray(term.total) for term in sums) / sum(term.count for term in sums)
    found = MODEL.finalize({"image_nll": 1.0, "pairs": mean})
    out, _, _ = outputs_of(*weights, {name: x[:8] for name, x in data.items()}, KEY)
    counts = np.arange(5) < data["caption_length"][:8, None]
    wanted = recalls(np.asarray(out.image_BE), np.asarray(out.caption_BE), np.where(counts, data["caption"][:8], -1))
    assert found == {"image_nll": 1.0, **wanted}


def test_each_direction_sees_what_counts_of_the_other(weights):
    def said(**changed):
        out, (caption, _), image = outputs_of(*weights, some() | changed, KEY)
        return np.asarray(out.caption_BE), np.asarray(image), np.asarray(caption)

    words, padding = some()["caption"], np.arange(5) >= some()["caption_length"][:, None]
    other = said(caption=np.where(padding, (words + 1) % 9, words))
    for here, there in zip(said()[:2], other):
        np.testing.assert_allclose(here, there, atol=1e-5)
    for here, there in zip(said()[:2], said(caption=(words + 1) % 9)):
        assert not np.allclose(here, there, atol=1e-3)
    assert not np.allclose(said()[2], said(image=-some()["image"])[2], atol=1e-3)


def test_a_caption_that_is_left_out_says_nothing_to_the_picture(weights):
    deaf = dataclasses.replace(MODEL, text_dropout=1 - 1e-7)
    words = some()["caption"]

    def image(caption):
        return deaf.outputs_of(*weights, some() | {"caption": caption}, KEY, train=True)[2]

    np.testing.assert_allclose(image(words), image((words + 1) % 9), atol=1e-6)
    assert not np.allclose(image(words), outputs_of(*weights, some(), KEY)[2], atol=1e-3)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_cached_and_guided_decoding_is_that_of_whole_sequences(weights, guidance):
    """The likeliest ids, one after another, by logits of the whole sequence; then the caption of the picture."""
    params, state = weights
    options = CrossModalOptions(direction="caption-to-image", temperature=0.0, guidance=guidance, beams=1)
    given = {name: array for name, array in some().items() if name != "image"}
    made = jax.jit(MODEL.sample, static_argnums=4)(params, state, KEY, given, options)
    words, length, sizes = given["caption"], given["caption_length"], MODEL.sizes

    def greedy(kind, memory_and_lengths, count, steps):
        ids = np.zeros((3, 0), np.int32)
        for place in range(steps):
            before = np.pad(ids, ((0, 0), (1, steps - 1 - place)))
            logits = [
                MODEL.apply(params, before, kind, memory_BMD=memory, lengths_B=lengths, method="write")[:, place]
                for memory, lengths in memory_and_lengths
            ]
            mixed = logits[-1] + guidance * (logits[0] - logits[-1]) if len(logits) > 1 else logits[0]
            assert mixed.shape == (3, count)
            ids = np.concatenate([ids, np.argmax(mixed, axis=-1)[:, None].astype(np.int32)], axis=1)
        return ids

    memory = MODEL.apply(params, words, length, method="read_caption")
    nothing = MODEL.apply(params, memory, length, np.zeros(3, bool), method="without")
    ids = greedy("image", [(memory, length), nothing] if guidance != 1 else [(memory, length)], sizes.codes, sizes.ids)
    own = {name.removeprefix("first_stage."): tree for name, tree in params.items()}
    np.testing.assert_allclose(made["image"], FIRST.resolve(SPEC).decode(own, {}, ids, given), atol=1e-5)
    seen = MODEL.apply(params, made["image"], method="read_image")
    ids = greedy("caption", [(seen, None)], sizes.words, sizes.text)
    ended = np.cumsum(ids == 8, axis=1) - (ids == 8) > 0
    np.testing.assert_array_equal(made["caption"], np.where(ended, 0, ids))
    np.testing.assert_array_equal(made["caption_length"], (~ended).sum(1))


def test_the_score_is_the_cosine_of_the_shared_space(weights):
    out, _, _ = outputs_of(*weights, some(), KEY)
    np.testing.assert_allclose(MODEL.score(*weights, some()), (out.image_BE * out.caption_BE).sum(-1), atol=1e-6)


def test_bad_input_is_one_line():
    given = SimpleNamespace(spec=SPEC, tokenizer=make_tokenizer("char", ["four next to"], end=True))
    drawing = {"direction": "caption-to-image"}
    with pytest.raises(UsageError, match="--prompt number 1 has 9 tokens, and the model's text 5: fourfour"):
        CrossModalOptions(prompt=("fourfour",), **drawing).conditions(MODEL, given, 2)
    with pytest.raises(UsageError, match="--direction caption-to-image"):
        CrossModalOptions(prompt=("four",))
    with pytest.raises(UsageError, match="--direction image-to-caption"):
        CrossModalOptions(image=("four.png",), **drawing)
    with pytest.raises(UsageError, match="--beams 0"):
        CrossModalOptions(beams=0)
    with pytest.raises(UsageError, match="cannot be guided"):
        dataclasses.replace(MODEL, text_dropout=0.0).check(CrossModalOptions(guidance=2.0, **drawing))
    with pytest.raises(UserError, match="takes the field image, and none was given"):
        MODEL.sample({}, {}, KEY, {"index": jnp.arange(2)}, CrossModalOptions())
    with pytest.raises(UsageError, match="patch 3 does not divide pictures of 8 x 12"):
        CrossModal(width=16, heads=2, patch=3, first_stage=FIRST).resolve(SPEC)
    with pytest.raises(UserError, match="such as VQVAE; VAE has others"):
        CrossModal(width=16, heads=2, patch=2, first_stage=VAE(network=Halving())).resolve(SPEC)
    with pytest.raises(UsageError, match="end in a token of their own"):
        CrossModal(patch=2, width=16, heads=2).resolve(DataSpec({"image": IMAGE, "caption": Tokens((5,), 9)}))
    with pytest.raises(UsageError, match="CrossModal: positions are learned"):
        CrossModal(positions="rope")


def test_a_first_stage_of_other_pictures_is_refused(monkeypatch, tmp_path):
    taller = FIRST.resolve(DataSpec({"image": dataclasses.replace(IMAGE, height=16)}))  # its weights have these shapes
    monkeypatch.setattr(initialize, "open_run", lambda path: SimpleNamespace(engine=SimpleNamespace(model=taller)))
    found = "makes codes of 8 x 6 ids below 12 of images of 16 x 12 x 1, and first_stage here makes codes of 4 x 6 ids"
    with pytest.raises(UserError, match=found):
        initialize.load_weights(parse(f"first_stage={tmp_path}"), MODEL)
