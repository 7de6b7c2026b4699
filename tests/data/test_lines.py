"""Files of many short texts: a text in each line, tunes; and questions about the manual."""

import numpy as np
import pytest

from genjax.data import load, split_batches
from genjax.errors import UsageError, UserError
from genjax.experiment import Data

MOLECULES = "CCO\n\nc1ccccc1 benzene\nCC(=O)O\nCCN\n"
TUNES = "\nX:1\nT: One\nM: 2/4\nL: 1/8\nK: G\nGG | AA\nBB\n\nX:2\nM: none\nL: 1/4\nK: C\nN: a note\nCDE\n\nno tune\n"


def texts(dataset):
    found = []
    for split in dataset.splits:
        for batch in split_batches(dataset, split, 2):
            rows = zip(batch["tokens"][batch["valid"]], batch["tokens_length"][batch["valid"]])
            found += [dataset.tokenizer.decode(row[:length]) for row, length in rows]
    return sorted(found)


def test_a_text_in_each_line(tmp_path):
    smi, txt = tmp_path / "some.smi", tmp_path / "some.txt"
    smi.write_text(MOLECULES)
    txt.write_text(MOLECULES)
    dataset = load(Data(path=str(smi), tokenizer="char", context=20))
    field = dataset.spec.fields["tokens"]
    assert texts(dataset) == ["CC(=O)O", "CCN", "CCO", "c1ccccc1"]
    assert field.shifted and field.ragged and field.end == dataset.tokenizer.end_of_text and not field.notation
    named = load(Data(source="lines", path=str(txt), tokenizer="char", context=20))
    assert texts(named) == ["CC(=O)O", "CCN", "CCO", "c1ccccc1 benzene"]
    windows = load(
        Data(path=str(txt), tokenizer="char", context=2, validation=0.3)
    )  # of one long text, as of any other file
    assert not windows.spec.fields["tokens"].ragged


def test_tunes_keep_what_their_notes_need(tmp_path):
    place = tmp_path / "some.abc"
    place.write_text(TUNES)
    dataset = load(Data(path=str(place), tokenizer="char", context=40))
    assert texts(dataset) == ["M:2/4\nL:1/8\nK:G\nGG | AA\nBB", "M:none\nL:1/4\nK:C\nCDE"]
    assert dataset.spec.fields["tokens"].notation == "abc"


def test_files_that_hold_nothing_of_the_kind(tmp_path):
    place = tmp_path / "some.abc"
    place.write_text("prose\n\nmore prose")
    with pytest.raises(UserError, match="has no tune in ABC notation"):
        load(Data(path=str(place)))
    with pytest.raises(UsageError, match=r"--data\.source lines: says how a file is cut .*--data\.path"):
        load(Data(source="lines"))
    place.with_suffix(".smi").write_text("\n\n")
    with pytest.raises(UserError, match="is empty"):
        load(Data(path=str(place.with_suffix(".smi"))))


def test_questions_about_the_manual():
    known = load(Data(source="pydoc", context=64)).tokenizer
    dataset = load(Data(source="quiz", context=128), tokenizer=known)
    field = dataset.spec.fields["tokens"]
    assert field.choices == 4 and field.packed and len(dataset.validation) > 300
    batch = next(iter(split_batches(dataset, "validation", 50)))
    places = set()
    for ids, segment, right in zip(batch["tokens"], batch["tokens_segment"], batch["tokens_choice"]):
        options = [known.decode(ids[segment == n]).strip() for n in range(1, 5)]
        assert len({" ".join(text.split(" ")[:8]) for text in options}) == 1 and len(set(options)) == 4
        assert all(len(text.split(" ")) == 11 for text in options) and right.sum() == 1
        places.add(int(right.argmax()))
    assert places == {0, 1, 2, 3}
    words = load(Data(source="cloze", context=128), tokenizer=known)
    batch = next(iter(split_batches(words, "validation", 50)))
    answers = [known.decode(ids[own]) for ids, own in zip(batch["tokens"], batch["tokens_answer"])]
    assert all(answer == f" {answer.strip()} " and len(answer.split()) == 1 for answer in answers)  # no closing


def test_examples_before_a_question_are_not_from_the_part_held_out():
    dataset = load(Data(source="quiz", context=256, shots=1))
    plain = load(Data(source="quiz", context=256))
    decode = dataset.tokenizer.decode

    def right(batch, n):
        return decode(batch["tokens"][n][batch["tokens_segment"][n] == 1 + batch["tokens_choice"][n].argmax()])

    held = {right(batch, n) for batch in split_batches(plain, "validation", 50) for n in np.flatnonzero(batch["valid"])}
    batch = next(iter(split_batches(dataset, "validation", 8)))
    for n in range(8):
        [own] = [text for text in held if right(batch, n).endswith(text)]
        assert right(batch, n).removesuffix(own).strip() not in held and len(right(batch, n)) > len(own)
