"""Recurrent language models: what is carried in training and evaluation, penalties, dropout, samples, refusals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import data
from genjax.data import split_batches
from genjax.engine.engine import Engine
from genjax.errors import UsageError, UserError
from genjax.evaluation.evaluate import evaluate
from genjax.experiment import Data, Experiment, Train
from genjax.models.language.gpt import GPTOptions, cross_entropy
from genjax.models.language.lstm import RecurrentLM
from genjax.orders import Streams
from genjax.runs.check import resolve
from genjax.spec import DataSpec, Mask, Tokens

SPEC = DataSpec({"tokens": Tokens((6,), 11, shifted=True), "starts": Mask(())})
MODEL = RecurrentLM(layers=2, width=10, embedding=8, vocabulary_multiple=8).resolve(SPEC)
TEXT = np.random.default_rng(0).integers(0, 11, (4, 13)).astype(np.int32)


def build(model=MODEL, batch=4):
    params, state = model.init(jax.random.key(0), SPEC, batch)
    return jax.tree.map(lambda x: 4 * x, params), state  # large enough that it matters what was read


def loss(model, params, state, tokens, starts, train=False, index=None):
    rows = np.arange(len(tokens), dtype=np.int32) if index is None else index
    batch = {"tokens": tokens, "starts": np.full(len(tokens), starts), "index": rows}
    return model.loss("next_token", params, state, batch, jax.random.key(1), step=0, train=train)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("tied", [True, False])
def test_two_windows_with_what_is_carried_are_one_long_window(cell, tied):
    model = dataclasses.replace(MODEL, cell=cell, tied=tied)
    params, state = build(model)
    first = loss(model, params, state, TEXT[:, :7], True)
    _, state = model.update("next_token", params, first.state, {}, first.rows, step=0)
    second = loss(model, params, state, TEXT[:, 6:], False)
    logits = model.read(params, TEXT[:, :-1], model.empty(4)).logits_BTV
    whole = cross_entropy(logits, TEXT[:, 1:])
    halves = [whole[:, :6].mean(), whole[:, 6:].mean()]
    np.testing.assert_allclose([first.loss, second.loss], halves, rtol=1e-5)
    assert abs(loss(model, params, state, TEXT[:, 6:], True).loss - halves[1]) > 1e-3  # rows that begin anew


def test_rows_of_a_part_of_the_batch_find_their_own_carry():
    params, state = build()
    out = loss(MODEL, params, state, TEXT[:, :7], True)
    _, state = MODEL.update("next_token", params, state, {}, out.rows, step=0)
    whole = loss(MODEL, params, state, TEXT[:, 6:], False)
    part = loss(MODEL, params, state, TEXT[1::2, 6:], False, index=np.int32([1, 3]))
    np.testing.assert_allclose(part.rows["layer_1"]["h"], whole.rows["layer_1"]["h"][1::2], rtol=1e-5)


def test_penalties_are_means_of_squares_with_their_own_counts():
    model = dataclasses.replace(MODEL, activation_l2=2.0, slowness=0.5)
    params, state = build(model)
    terms = loss(model, params, state, TEXT[:, :7], True).terms
    h_BTE = model.read(params, TEXT[:, :6], model.empty(4)).raw_BTE
    assert terms["activation"].value == pytest.approx(2.0 * float((h_BTE**2).mean()), rel=1e-5)
    assert terms["slowness"].value == pytest.approx(0.5 * float((jnp.diff(h_BTE, axis=1) ** 2).mean()), rel=1e-5)
    assert [float(term.count) for term in terms.values()] == [24, 4 * 6 * 8, 4 * 5 * 8]


@pytest.mark.parametrize("place", ["dropout", "hidden_dropout", "input_dropout", "word_dropout", "weight_dropout"])
def test_every_dropout_changes_the_loss_in_training_alone(place):
    model = dataclasses.replace(MODEL, **{place: 0.5})
    params, state = build(model)
    plain = loss(MODEL, params, state, TEXT[:, :7], True).loss
    assert loss(model, params, state, TEXT[:, :7], True).loss == plain
    assert loss(model, params, state, TEXT[:, :7], True, train=True).loss != plain


def test_variational_dropout_leaves_out_the_same_outputs_at_all_times():
    model = dataclasses.replace(MODEL, dropout=0.5)
    params, _ = build(model)
    out = model.read(params, TEXT, model.empty(4), np.arange(4), jax.random.key(0))
    dropped_BTE = np.asarray(out.dropped_BTE == 0)
    assert (dropped_BTE == dropped_BTE[:, :1]).all() and 0 < dropped_BTE.mean() < 1
    assert not (dropped_BTE[0] == dropped_BTE[1]).all()


def test_evaluation_carries_over_the_whole_split(tmp_path):
    (tmp_path / "a.txt").write_text("".join(map(chr, np.random.default_rng(1).integers(97, 123, 3000))))
    options = Data(path=str(tmp_path / "a.txt"), tokenizer="char", context=8, batch_size=4, order=Streams())
    dataset = data.load(options)
    experiment = Experiment(model=RecurrentLM(layers=1, width=8, embedding=8), data=options, train=Train(steps=1))
    engine = Engine(resolve(experiment, dataset.spec), dataset.spec, jax.devices()[:1])
    state = engine.init()
    state = state.replace(params=jax.tree.map(lambda x: 4 * x, state.params))
    before = jax.device_get(state.model_state)
    found = evaluate(engine, state, dataset)
    jax.tree.map(np.testing.assert_array_equal, before, jax.device_get(state.model_state))  # training goes on as it was
    tokens = dataset.validation.tokens_N
    count = len(dataset.validation)
    piece = -(-count // 4)
    total = 0.0
    for row in range(4):
        first, last = row * piece, min((row + 1) * piece, count)
        text = tokens[first * 8 : last * 8 + 1][None].astype(np.int32)
        logits = engine.model.read(state.params, text[:, :-1], engine.model.empty(1)).logits_BTV
        total += float(cross_entropy(logits, text[:, 1:]).sum())
    assert found["count"] == count * 8
    assert found["loss"] == pytest.approx(total / (count * 8), rel=1e-5)
    anew = [engine.evaluate(state, batch, 0)["loss"] for batch in split_batches(dataset, "validation", 4)]
    assert abs(sum(t.total for t in anew) / sum(t.count for t in anew) - found["loss"]) > 1e-4


def written(params, prompts, new=5, **options):
    longest = max(map(len, prompts))
    padded = np.stack([np.pad(np.int32(prompt), (0, longest - len(prompt))) for prompt in prompts])
    given = {
        "index": np.arange(len(prompts), dtype=np.int32),
        "prompt": padded,
        "prompt_length": np.int32([len(prompt) for prompt in prompts]),
    }
    return MODEL.sample(params, {}, jax.random.key(0), given, GPTOptions(max_new_tokens=new, **options))


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"beams": 2}])
def test_samples_continue_prompts_of_unequal_lengths_as_reading_all_again_does(options):
    params, _ = build()
    prompts = [[3, 1, 4, 1, 5], [9], [2, 6, 5]]
    out = written(params, prompts, **options)
    for row, prompt in enumerate(prompts):
        alone = written(params, [prompt], **options)
        made = np.asarray(out["tokens"][row, : out["tokens_length"][row]])
        np.testing.assert_array_equal(made, alone["tokens"][0, : alone["tokens_length"][0]])
        assert made[: len(prompt)].tolist() == prompt and len(made) == len(prompt) + 5
        if "temperature" in options:
            logits = MODEL.read(params, made[None], MODEL.empty(1)).logits_BTV[0]
            assert made[len(prompt) :].tolist() == logits[len(prompt) - 1 : -1].argmax(-1).tolist()


def test_what_does_not_fit_is_refused():
    windows = DataSpec({"tokens": Tokens((6,), 11, shifted=True)})
    with pytest.raises(UserError, match=r"--data.order streams"):
        RecurrentLM().resolve(windows)
    with pytest.raises(UserError, match="vocabulary is 12, but the data has 11"):
        RecurrentLM(vocabulary=12).resolve(SPEC)
    with pytest.raises(UsageError, match=r"hidden_dropout is 1.0, must be in \[0, 1\)"):
        RecurrentLM(hidden_dropout=1.0)
    with pytest.raises(UsageError, match="layers is 0, must be positive"):
        RecurrentLM(layers=0)
