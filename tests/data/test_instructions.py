"""Instructions: what is learned of them, in files of prompts and answers, and of messages; packed rows."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from genjax.data import load, split_batches, train_batches
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.models import GPT
from genjax.models.language.targets import cross_entropy
from genjax.orders import Packed
from genjax.spec import DataSpec, Tokens


def written(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return Data(path=str(path), tokenizer="byte", context=40, batch_size=2, validation=0.5)


def learned(dataset, split="validation"):
    """(whole text, what is to be learned of it, of how many ids), for each row of a split."""
    found, decode = [], dataset.tokenizer.decode
    for batch in split_batches(dataset, split, 2):
        names = ("tokens", "tokens_length", "tokens_answer")
        for row, length, answer in zip(*(batch[name][batch["valid"]] for name in names)):
            found.append((decode(row[:length]), decode(row[answer]), int(answer.sum())))
    return found


def test_prompts_and_answers(tmp_path):
    rows = [{"prompt": "1 + 1 =", "answer": " 2"}, {"prompt": "2 + 1 =", "answer": " 3"}]
    rows += [{"prompt": "2 + 2 =", "answer": " 4"}, {"prompt": "5 + 5 =", "answer": " 10"}]
    dataset = load(written(tmp_path / "sums.jsonl", rows))
    field = dataset.spec.fields["tokens"]
    assert field.answers and field.shifted and field.ragged and field.end == 256
    for text, answer, count in learned(dataset):
        assert {"prompt": text[:7], "answer": answer} in rows and text == text[:7] + answer
        assert count == len(answer) + 1  # and the end of text


def test_messages(tmp_path):
    talk = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
    talk += [{"role": "assistant", "content": "Ho"}]
    dataset = load(dataclasses.replace(written(tmp_path / "talk.jsonl", [{"messages": talk}] * 4), context=64))
    text = "System: Be short.\n\nUser: Hi\n\nAssistant: Ho"
    assert learned(dataset)[0] == (text, "Ho", 3)


def test_messages_in_a_form_of_their_own(tmp_path):
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    talk += [{"role": "user", "content": "So?"}, {"role": "assistant", "content": "No"}]
    data = written(tmp_path / "talk.jsonl", [{"messages": talk}] * 4)
    dataset = load(dataclasses.replace(data, chat=("user=<u>{}\n", "assistant=<a>{}<e>\n"), context=64))
    assert learned(dataset)[0] == ("<u>Hi\n<a>Ho<e>\n<u>So?\n<a>No<e>\n", "Ho<e>\nNo<e>\n", 13)
    for chat, message in (
        (("judge={}",), "write ROLE=TEXT"),
        (("user=x",), "with one {}"),
        (("user={}",) * 2, "write"),
    ):
        with pytest.raises(UsageError, match=message):
            load(dataclasses.replace(data, chat=chat))
    with pytest.raises(UserError, match=r"row 1: a message is the assistant's, of which --data\.chat says nothing"):
        load(dataclasses.replace(data, chat=("user={}",)))


def test_the_loss_is_that_of_the_answers_however_rows_are_packed(tmp_path):
    rows = [{"prompt": f"{a} + {b} =", "answer": f" {a + b}"} for a in range(10) for b in range(10)]
    data = written(tmp_path / "sums.jsonl", rows)
    alone, packed = load(data), load(dataclasses.replace(data, order=Packed()))
    model = GPT(layers=1, heads=1, width=8).resolve(alone.spec).on("cpu")
    params, _ = model.init(jax.random.key(0), alone.spec)
    params = jax.tree.map(lambda x: 5 * x, params)
    evaluate = jax.jit(lambda batch: model.evaluate(params, {}, batch, jax.random.key(0))["loss"])
    found = []
    for dataset in (alone, packed):
        terms = [evaluate(batch) for batch in split_batches(dataset, "validation", 2)]
        found.append((sum(float(t.total) for t in terms), sum(float(t.count) for t in terms)))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    assert found[0][1] == sum(count for _, _, count in learned(alone)) == sum(count for _, _, count in learned(packed))
    assert len(packed.validation) < len(alone.validation)
    batch = next(iter(train_batches(packed, 2, 0)))
    assert batch["tokens_answer"].shape == batch["tokens"].shape == (2, 41)


def test_long_texts_are_cut_and_counted(tmp_path):
    rows = [{"prompt": "a", "answer": "b"}] * 3 + [
        {"prompt": "p" * 60, "answer": "b"},
        {"prompt": "a", "answer": "b" * 60},
    ]
    data = written(tmp_path / "long.jsonl", rows)
    assert load(data).notes == (f"{data.path}: cut 2 text(s) to --data.context 40 tokens; 1 had no answer left",)
    with pytest.raises(UserError, match=r"2 texts have more than --data\.context 40 tokens"):
        load(dataclasses.replace(data, strict=True))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a", "answer": ""}, "row 2: prompt and answer must be texts, none empty"),
        ({"prompt": 3, "answer": "b"}, "row 2: prompt and answer must be texts"),
        ({"messages": "Hi"}, "row 2: messages must be a list"),
        ({"messages": [{"role": "judge", "content": "Hi"}]}, "row 2: messages must be a list"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "row 2: no message is the assistant's"),
    ],
)
def test_what_is_no_instruction_is_named(tmp_path, row, message):
    good = (
        {"messages": [{"role": "assistant", "content": "Ho"}]} if "messages" in row else {"prompt": "a", "answer": "b"}
    )
    with pytest.raises(UserError, match=message):
        load(written(tmp_path / "bad.jsonl", [good, row, good]))


SUMS = [
    {"prompt": f"{a}+{b}=", "choices": [f"{a + b + k}" for k in (1, 0, 3)], "answer": 1}
    for a in range(5)
    for b in (1, 2)
]


def test_choices_are_segments_of_which_the_right_one_is_learned(tmp_path):
    rows = [*SUMS[:-1], {"prompt": "1+1=", "choices": ["2", "5"], "answer": 0}]
    dataset = load(written(tmp_path / "sums.jsonl", rows))
    field = dataset.spec.fields["tokens"]
    assert field.packed and field.answers and field.choices == 3
    decode, found = dataset.tokenizer.decode, []
    for split in ("train", "validation"):
        for batch in split_batches(dataset, split, 2):
            assert batch.keys() >= field.arrays("tokens").keys()
            for n in np.flatnonzero(batch["valid"]):
                ids, segment = batch["tokens"][n], batch["tokens_segment"][n]
                texts = [decode(ids[segment == k]) for k in (1, 2, 3) if (segment == k).any()]
                [right] = np.flatnonzero(batch["tokens_choice"][n])
                found.append((texts, int(right)))
                assert decode(ids[batch["tokens_answer"][n]]) == texts[right].partition("=")[2]
    assert len(found) == len(rows)
    for row in rows:
        assert ([row["prompt"] + choice for choice in row["choices"]], row["answer"]) in found


def test_the_likeliest_choice_is_that_of_each_text_alone(tmp_path):
    dataset = load(written(tmp_path / "sums.jsonl", [*SUMS, {"prompt": "1+1=", "choices": ["2", "5"], "answer": 0}]))
    model = GPT(layers=1, heads=1, width=8, context=40).resolve(dataset.spec).on("cpu")
    params, _ = model.init(jax.random.key(0), dataset.spec)
    params = jax.tree.map(lambda x: 9 * x, params)
    nats = jax.jit(lambda ids: cross_entropy(model.logits(params, ids[None, :-1]), ids[None, 1:]).sum())
    measured, right, count = 0.0, 0, 0
    for batch in split_batches(dataset, "validation", 2):
        term = jax.jit(lambda batch: model.evaluate(params, {}, batch, jax.random.key(0)))(batch)["choice"]
        measured += float(term.total)
        for n in np.flatnonzero(batch["valid"]):
            ids, segment = batch["tokens"][n], batch["tokens_segment"][n]
            alone = [nats(ids[segment == k]) for k in (1, 2, 3) if (segment == k).any()]
            right, count = right + batch["tokens_choice"][n][np.argmin(alone)], count + 1
    assert measured == right and count > 0


def test_choices_may_fill_the_context(tmp_path):
    """The last token of a text stands at the place behind the last that the model knows, where other texts follow."""
    longest = len("1+1=2") + 2  # with an end of text before and behind
    data = dataclasses.replace(written(tmp_path / "sums.jsonl", SUMS), context=longest - 1)
    dataset = load(data)
    windows = DataSpec({"tokens": Tokens((longest - 1,), 257, shifted=True)})  # that the model has learned from
    model = GPT(layers=1, heads=1, width=8).resolve(windows).on("cpu")
    params, _ = model.init(jax.random.key(0), windows)
    [batch] = split_batches(dataset, "validation", len(dataset.validation))
    terms = jax.jit(lambda batch: model.evaluate(params, {}, batch, jax.random.key(0)))(batch)
    assert all(np.isfinite(term.total) for term in terms.values())


def test_shots_stand_before_the_prompt(tmp_path):
    rows = [{"prompt": f"{a}+1=", "answer": f"{a + 1}"} for a in range(8)]
    dataset = load(dataclasses.replace(written(tmp_path / "sums.jsonl", rows), shots=2))
    train = {text[-5:] for text, _, _ in learned(load(written(tmp_path / "sums.jsonl", rows)), "train")}
    for text, answer, count in learned(dataset):
        first, second, own = text[:5], text[5:10], text[10:]
        assert {first, second} <= train and first != second and own not in train
        assert answer == own[4:] and count == 2
    with pytest.raises(
        UserError, match=r"with --data\.shots 6 an example has \d+ tokens, for which --data\.context 40"
    ):
        load(dataclasses.replace(written(tmp_path / "sums.jsonl", rows), shots=6, validation=0.1))
    with pytest.raises(UserError, match=r"--data\.shots 20: there are only"):
        load(dataclasses.replace(written(tmp_path / "sums.jsonl", rows), shots=20))


def test_an_exact_match_is_what_greedy_search_writes(tmp_path):
    rows = [{"prompt": f"{a}+{b}=", "answer": f"{a + b}"} for a in range(5) for b in range(5)]
    dataset = load(written(tmp_path / "sums.jsonl", rows))
    model = GPT(layers=1, heads=1, width=8).resolve(dataset.spec).on("cpu")
    params, _ = model.init(jax.random.key(0), dataset.spec)
    [batch] = split_batches(dataset, "validation", len(dataset.validation))
    likeliest = jax.jit(lambda tokens: model.logits(params, tokens[:, :-1]).argmax(-1))
    places = np.arange(len(batch["tokens"])), batch["tokens_answer"].argmax(1)  # where each answer begins
    batch["tokens_answer"][:] = False
    batch["tokens_answer"][places] = True  # an answer of one id
    given = np.asarray(likeliest(batch["tokens"]))[places[0], places[1] - 1]
    batch["tokens"][:6][places[0][:6], places[1][:6]] = given[:6]
    terms = jax.jit(lambda batch: model.evaluate(params, {}, batch, jax.random.key(0)))(batch)
    same = given == batch["tokens"][places]
    assert float(terms["exact_match"].total) == same.sum() and same[:6].all() and not same.all()
