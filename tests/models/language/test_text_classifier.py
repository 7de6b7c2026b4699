"""The classifier of texts: padding, pooling, F1, the maps over words, prompts, refusals, and its baseline."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import f1_score

from genjax import data
from genjax.data import make_tokenizer
from genjax.errors import UsageError, UserError
from genjax.evaluation.baseline import bag_of_words
from genjax.experiment import Data
from genjax.models.language.text_classifier import TextClassifier, TextClassifierOptions
from genjax.nn.attention import Mask
from genjax.spec import DataSpec, Label, Tokens

SPEC = DataSpec({"text": Tokens((8,), 20, ragged=True, end=19), "label": Label(3, ("a", "b", "c"))})
RANDOM = np.random.default_rng(0)
BATCH = {
    "text": RANDOM.integers(0, 19, (6, 8)).astype(np.int32),
    "text_length": np.int32([8, 3, 5, 1, 2, 7]),
    "label": np.int32([0, 1, 2, 0, 1, 0]),
    "index": np.arange(6, dtype=np.int32),
}


def build(pooling="mean", **fields):
    model = TextClassifier(layers=2, heads=2, width=16, hidden=32, pooling=pooling, **fields).resolve(SPEC).on("cpu")
    params = jax.jit(lambda: model.init(jax.random.key(0), SPEC)[0])()
    return model, jax.tree.map(lambda x: 5 * x, params)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_what_pads_a_text_changes_nothing(pooling):
    model, params = build(pooling)
    logits = jax.jit(model.logits)
    other = BATCH | {"text": np.where(np.arange(8) < BATCH["text_length"][:, None], BATCH["text"], 7)}
    np.testing.assert_allclose(logits(params, BATCH), logits(params, other), rtol=1e-4, atol=1e-5)
    shorter = {name: BATCH[name][1:3, :5] if name == "text" else BATCH[name][1:3] for name in BATCH}
    np.testing.assert_allclose(logits(params, BATCH)[1:3], logits(params, shorter), rtol=1e-4, atol=1e-5)


def test_macro_f1_is_that_of_scikit_learn():
    model, params = build()
    terms = [model.evaluate(params, {}, BATCH | {"valid": np.arange(6) % 2 == half}, None) for half in (0, 1)]
    sums = {name: sum(np.asarray(t[name].total) for t in terms) / 6 for name in terms[0]}
    found = model.finalize(dict(sums))
    said = model.logits(params, BATCH).argmax(-1)
    assert found["macro_f1"] == pytest.approx(f1_score(BATCH["label"], said, average="macro", zero_division=0))
    assert found["accuracy"] == pytest.approx((said == BATCH["label"]).mean())
    assert set(found) == {"nll", "accuracy", "macro_f1"}


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_maps_are_over_the_words_of_a_text(pooling):
    model, params = build(pooling)
    label_B = jnp.asarray(BATCH["label"])
    weights, counts = model.attended(params, BATCH), model.counting(params, BATCH, label_B)
    assert weights.shape == counts.shape == (6, 8)
    beyond = np.arange(8) >= BATCH["text_length"][:, None]
    assert np.abs(weights)[beyond].max() < 1e-6 and not np.asarray(counts)[beyond].any()
    if pooling == "mean":
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-4)
    # The logit's slope when one word's embedding grows, by differences.
    table, row, place, step = params["encoder"]["embedding"], 2, 1, 1e-2
    ids = jnp.arange(8 + (pooling == "cls"))[None]
    text_BT, length_B = model.read(BATCH)

    def logit(scale):
        rows_TD = table[text_BT[row]].at[place + (pooling == "cls")].multiply(scale)
        x = model.networks()["encoder"].apply(
            {"params": params["encoder"]}, ids, mask=Mask(lengths_B=length_B[row][None]), table_VD=rows_TD
        )
        from genjax.networks.pooled import pooled

        head = model.networks()["head"]
        return head.apply({"params": params["head"]}, pooled(x, length_B[row][None], pooling))[0, BATCH["label"][row]]

    slope = (logit(1 + step) - logit(1 - step)) / (2 * step)
    assert counts[row, place] == pytest.approx(abs(float(slope)), rel=2e-2)


def test_prompts_are_read_as_the_data_is_and_get_probabilities():
    model, params = build()
    tokenizer = make_tokenizer("char", "abcdefghijklmnopqrs", end=True)
    given = SimpleNamespace(tokenizer=tokenizer, spec=SPEC)
    conditions, options = TextClassifierOptions(prompt=("abc", "kind")).conditions(model, given, 3)
    assert conditions["text_length"].tolist() == [4, 5, 4] and conditions["text"][0, 3] == 19
    out = model.sample(params, {}, None, conditions | {"index": np.arange(3)}, options)
    np.testing.assert_allclose(out["label_probability"].sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(out["label"], out["label_probability"].argmax(-1))
    np.testing.assert_array_equal(out["label_probability"][0], out["label_probability"][2])
    for prompt, message in (
        ("  ", "--prompt number 1 is empty"),
        ("abcdefghi", "has 10 tokens, and the model reads 8"),
    ):
        with pytest.raises(UsageError, match=message):
            TextClassifierOptions(prompt=(prompt,)).conditions(model, given, 1)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match="vocabulary 5 is less than the data's 20"):
        TextClassifier(vocabulary=5).resolve(SPEC)
    with pytest.raises(UserError, match="needs the field `label` of kind Label"):
        TextClassifier().resolve(DataSpec({"text": SPEC.fields["text"]}))
    endless = dataclasses.replace(SPEC.fields["text"], end=None)
    with pytest.raises(UserError, match=r"--model.pooling mean"):
        TextClassifier(pooling="cls").resolve(DataSpec(SPEC.fields | {"text": endless}))


def table(folder, rows):
    (folder / "a.tsv").write_text("".join(f"{label}\t{text}\n" for label, text in rows))
    return data.load(Data(path=str(folder / "a.tsv"), fields=("label=0:label", "text=1:text"), context=16))


def test_the_baseline_learns_words_from_training_and_is_measured_on_the_split(tmp_path):
    words = {
        "good": ["fine film", "lovely story", "warm and fine"],
        "bad": ["dull film", "poor story", "cold and dull"],
    }
    rows = [(label, f"{text} {n}") for n in range(20) for label, texts in words.items() for text in texts]
    found = bag_of_words(table(tmp_path, rows), "validation", "text", "label")
    assert found == {"baseline_accuracy": 1.0, "baseline_macro_f1": 1.0}


def test_a_class_that_training_lacks_is_one_line(tmp_path):
    from genjax.data.columns import columns_dataset, objects

    parts = {
        "train": {"text": objects(["x y", "z"]), "label": objects(["kind", "unkind"])},
        "validation": {"text": objects(["x"]), "label": objects(["kynd"])},
    }
    with pytest.raises(
        UserError, match="`label` has the class kynd outside of training, which no training example has"
    ):
        columns_dataset(Data(context=8), "films", parts)
