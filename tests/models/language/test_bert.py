"""BERT: what is hidden and how, pairs of texts, terms and their counts, gaps in prompts, embeddings, refusals."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.data import make_tokenizer
from genjax.errors import UsageError, UserError
from genjax.models.language.bert import BERT, BERTOptions
from genjax.spec import DataSpec, Tokens

SPEC = DataSpec({"tokens": Tokens((12,), 20, shifted=True)})
SMALL = BERT(layers=1, heads=2, width=16, hidden=32)
MODEL = SMALL.resolve(SPEC).on("cpu")
PAIRS = dataclasses.replace(SMALL, next_sentence=True).resolve(SPEC).on("cpu")
ROWS = 2000
TEXT = np.random.default_rng(0).integers(0, 20, (ROWS, 13)).astype(np.int32)
BATCH = {"tokens": TEXT, "index": np.arange(ROWS, dtype=np.int32)}
KEY = jax.random.key(3)


def few(batch, rows):
    return {name: x[rows] for name, x in batch.items()}


def init(model):
    return jax.jit(lambda: model.init(jax.random.key(0), SPEC)[0])()


def test_ids_of_its_own_follow_those_of_the_data():
    assert (MODEL.mask_id, MODEL.cls_id, MODEL.sep_id, MODEL.vocabulary, MODEL.context) == (20, 21, 22, 23, 14)
    assert PAIRS.context == 4 + 4 + 3


def test_80_10_10_of_15_percent_of_the_words():
    whole = MODEL.read(BATCH, KEY)
    shown, chosen = MODEL.hide(whole, BATCH["index"], KEY)
    chosen, shown_ids, ids = np.asarray(chosen), np.asarray(shown.ids_BT), np.asarray(whole.ids_BT)
    assert not chosen[:, [0, -1]].any() and (ids[:, 0] == 21).all() and (ids[:, -1] == 22).all()
    np.testing.assert_array_equal(shown_ids[~chosen], ids[~chosen])
    assert (chosen.sum(axis=1) == 2).all()  # of 12
    assert chosen[:, 1:-1].mean(axis=0) == pytest.approx(1 / 6, abs=0.05)
    hidden, kept = shown_ids[chosen] == 20, shown_ids[chosen] == ids[chosen]
    assert hidden.mean() == pytest.approx(0.8, abs=0.03)
    assert kept.mean() == pytest.approx(0.1 + 0.1 / 20, abs=0.02)
    others = shown_ids[chosen][~hidden & ~kept]
    assert others.max() < 20 and len(np.unique(others)) == 20


@pytest.mark.parametrize("length, count", [(0, 0), (1, 1), (3, 1), (9, 1), (10, 2), (12, 2)])
def test_a_shorter_text_has_fewer_gaps(length, count):
    batch = few(BATCH, slice(8)) | {"tokens_length": np.full(8, length, np.int32)}
    chosen = np.asarray(MODEL.hide(MODEL.read(batch, KEY), batch["index"], KEY)[1])
    assert (chosen.sum(axis=1) == count).all() and not chosen[:, length + 1 :].any()


def test_the_loss_is_that_of_the_hidden_words_alone():
    params, batch = init(MODEL), few(BATCH, slice(16))
    whole = MODEL.read(batch, KEY)
    shown, chosen = MODEL.hide(whole, batch["index"], jax.random.fold_in(KEY, 2))
    nats = -jax.nn.log_softmax(MODEL.logits(params, MODEL.features(params, shown)))
    nats = jnp.take_along_axis(nats, whole.ids_BT[:, :, None], axis=2)[:, :, 0]
    term = MODEL.loss("fill", params, {}, batch, KEY, step=0, train=False).terms["masked"]
    assert term.value == pytest.approx(float(nats[chosen].mean()), abs=1e-5) and term.count == 32


def test_what_is_hidden_belongs_to_the_example():
    whole = MODEL.hide(MODEL.read(BATCH, KEY), BATCH["index"], KEY)[0].ids_BT
    part = few(BATCH, slice(5, 50, 3))
    np.testing.assert_array_equal(MODEL.hide(MODEL.read(part, KEY), part["index"], KEY)[0].ids_BT, whole[5:50:3])


def test_whole_words_are_hidden_together():
    model = dataclasses.replace(MODEL, word_breaks=(0, 1), hidden_share=0.4)
    whole = model.read(BATCH, KEY)
    _, chosen = model.hide(whole, BATCH["index"], KEY)
    chosen, breaks = np.asarray(chosen), np.asarray(jnp.isin(whole.ids_BT, jnp.asarray([0, 1, 21, 22])))
    assert not chosen[breaks].any()
    both = ~breaks[:, 1:] & ~breaks[:, :-1]
    assert (chosen[:, 1:] == chosen[:, :-1])[both].all()
    assert chosen[~breaks].mean() == pytest.approx(0.4, abs=0.03)


def test_pairs_are_the_next_words_or_later_ones_at_even_odds():
    read = PAIRS.read(BATCH, KEY)
    ids, apart = np.asarray(read.ids_BT), np.asarray(read.apart_B)
    assert apart.mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(ids[:, 1:5], TEXT[:, :4])
    np.testing.assert_array_equal(ids[apart == 0][:, 6:10], TEXT[apart == 0][:, 4:8])
    np.testing.assert_array_equal(ids[apart == 1][:, 6:10], TEXT[apart == 1][:, 8:12])
    assert (ids[:, [5, 10]] == 22).all() and np.asarray(read.kind_BT)[0].tolist() == [0] * 6 + [1] * 5


def test_each_term_has_its_own_count():
    params, batch = init(PAIRS), few(BATCH, slice(64))
    out = PAIRS.loss("fill", params, {}, batch, KEY, step=0, train=True)
    _, chosen = PAIRS.hide(PAIRS.read(batch, KEY), batch["index"], jax.random.fold_in(KEY, 2))
    assert {name: float(term.count) for name, term in out.terms.items()} == {
        "masked": float(chosen.sum()),
        "next_sentence": 64.0,
    }
    assert out.terms["masked"].value == pytest.approx(np.log(23), rel=0.1)
    assert out.terms["next_sentence"].value == pytest.approx(np.log(2), rel=0.1)


def test_texts_of_unequal_length_end_in_sep_and_what_pads_them_is_not_read():
    spec = DataSpec({"tokens": Tokens((12,), 20, shifted=True, ragged=True, end=19)})
    model = SMALL.resolve(spec).on("cpu")
    batch = few(BATCH, slice(3)) | {"tokens_length": np.int32([13, 5, 2])}
    read = model.read(batch, KEY)
    assert read.length_B.tolist() == [14, 7, 4]
    assert [int(row[n - 1]) for row, n in zip(read.ids_BT, read.length_B)] == [22, 22, 22]
    params = init(model)
    other = batch | {"tokens": np.where(np.arange(13) < batch["tokens_length"][:, None], batch["tokens"], 3)}
    x, y = (np.asarray(model.features(params, model.read(b, KEY))) for b in (batch, other))
    own = np.arange(14) < np.asarray(read.length_B)[:, None]
    np.testing.assert_allclose(x[own], y[own], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tokenizer, shown", [("bpe:300", "an|a,|!"), ("byte", "an |a, |!")])
def test_the_space_before_a_gap_is_the_missing_words_where_pieces_have_spaces(tokenizer, shown):
    tokenizer = make_tokenizer(tokenizer, "an a, an a, an a, !")
    given = SimpleNamespace(tokenizer=tokenizer, spec=SPEC)
    conditions, _ = BERTOptions(prompt=("an [MASK]a, [MASK]!",), likeliest=1).conditions(MODEL, given, 1)
    ids = conditions["prompt"][0, : conditions["prompt_length"][0]]
    parts = np.split(ids, np.flatnonzero(ids == MODEL.mask_id))
    assert "|".join(tokenizer.decode(part[part != MODEL.mask_id]) for part in parts) == shown


def test_gaps_of_a_prompt_are_filled_from_the_likeliest_on():
    tokenizer = make_tokenizer("char", "abcdefghijklmnopqrst")
    given = SimpleNamespace(tokenizer=tokenizer, spec=SPEC)
    options = BERTOptions(prompt=("ab[MASK]d[MASK]", "cat"), likeliest=3)
    assert options.count == 6
    conditions, options = options.conditions(MODEL, given, 6)
    assert (
        conditions["prompt"][0, :5].tolist() == [0, 1, 20, 3, 20]
        and conditions["prompt_length"].tolist() == [5] * 3 + [3] * 3
    )
    params = jax.tree.map(lambda x: 5 * x, init(MODEL))
    out = MODEL.sample(params, {}, KEY, conditions | {"index": np.arange(6)}, options)
    tokens = np.asarray(out["tokens"])
    read = MODEL.single(conditions["prompt"][:1], conditions["prompt_length"][:1])
    logits = MODEL.logits(params, MODEL.features(params, read))[0, :, :20]
    assert tokens[:3, 2].tolist() == np.argsort(-logits[3])[:3].tolist()
    assert (tokens[:3, 4] == int(logits[5].argmax())).all()
    np.testing.assert_array_equal(tokens[:3, [0, 1, 3]], [[0, 1, 3]] * 3)
    np.testing.assert_allclose(out["probability"][:3], np.sort(jax.nn.softmax(logits[3]))[::-1][:3], rtol=1e-4)
    np.testing.assert_array_equal(tokens[3:, :3], [[2, 0, 19]] * 3)
    x = MODEL.features(params, read)[0]
    np.testing.assert_allclose(out["embedding_mean"][0], x[:7].mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out["embedding_cls"][0], x[0], rtol=1e-4, atol=1e-5)
    pair, _ = BERTOptions(prompt=("ab[MASK]",)).conditions(PAIRS, given, 1)
    assert PAIRS.single(pair["prompt"], pair["prompt_length"]).ids_BT.shape == (1, PAIRS.context)
    with pytest.raises(UsageError, match="--likeliest 21: the vocabulary has 20 pieces"):
        BERTOptions(prompt=("ab[MASK]",), likeliest=21).conditions(MODEL, given, 1)
    for prompt, message in (("", "number 1 is empty"), ("abcdefghijklm", "has 13 tokens, and the model reads 12")):
        with pytest.raises(UsageError, match=message):
            BERTOptions(prompt=(prompt,)).conditions(MODEL, given, 1)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match="vocabulary 20 is less than the 23 that this data needs"):
        BERT(vocabulary=20).resolve(SPEC)
    with pytest.raises(UserError, match=r"a --data.context that 3 divides"):
        BERT(next_sentence=True).resolve(DataSpec({"tokens": Tokens((10,), 20, shifted=True)}))
    with pytest.raises(UsageError, match=r"hidden_share is 0, must be in \(0, 1\)"):
        BERT(hidden_share=0)
