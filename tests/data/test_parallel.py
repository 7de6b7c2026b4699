"""Parallel text: folders of line-parallel files, and the phrases that Babel brings along."""

import sys

import numpy as np
import pytest

from genjax.data import load
from genjax.errors import UsageError, UserError
from genjax.experiment import Data

FIELDS = ("source=en", "target=de")


def write(folder, **texts):
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text, "utf-8")


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, train_en="one\ntwo\nthree\n", train_de="eins\nzwei\ndrei\n")
    write(tmp_path, validation_en="four\nfive", validation_de="vier\nfünf\n")
    return tmp_path


def test_lines_of_one_number_belong_together(folder):
    dataset = load(Data(path=str(folder), fields=FIELDS))
    assert list(dataset.spec.fields) == ["source", "target"]
    assert (dataset.spec.train_examples, dataset.spec.validation_examples) == (3, 2)
    batch = dataset.validation.gather(np.arange(2))
    ids = batch["target"][1][: batch["target_length"][1]]
    assert dataset.tokenizer.decode(ids[:-1]) == "fünf" and ids[-1] == dataset.spec.fields["target"].end
    assert dataset.texts["validation"]["target"].tolist() == ["vier", "fünf"]


def test_lines_may_end_as_those_of_windows_do(folder):
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    dataset = load(Data(path=str(folder), fields=FIELDS))
    assert dataset.texts["train"]["target"].tolist() == ["eins", "zwei", "drei"]
    assert dataset.texts["validation"]["source"].tolist() == ["four", "five"]


def test_unequal_numbers_of_lines_are_refused(folder):
    write(folder, train_de="eins\nzwei\n")
    with pytest.raises(UserError, match=r"their numbers of lines differ: train\.de 2 and train\.en 3") as error:
        load(Data(path=str(folder), fields=FIELDS))
    assert "\n" not in str(error.value)


def test_an_empty_line_is_left_out_and_counted_or_refused(folder):
    write(folder, train_en="one\n\nthree\n")
    dataset = load(Data(path=str(folder), fields=FIELDS))
    assert dataset.spec.train_examples == 2 and "left out 1 example(s) with an empty `source`" in dataset.notes[0]
    assert dataset.texts["train"]["target"].tolist() == ["eins", "drei"]
    with pytest.raises(UserError, match="1 empty text"):
        load(Data(path=str(folder), fields=FIELDS, strict=True))


def test_long_texts_are_cut_and_counted_or_refused_and_stay_whole_as_references(folder):
    dataset = load(Data(path=str(folder), fields=FIELDS, context=4))
    assert any("cut 3 text(s)" in note for note in dataset.notes)
    assert dataset.texts["train"]["source"].tolist() == ["one", "two", "three"]
    with pytest.raises(UserError, match=r"more than --data\.context 4 tokens"):
        load(Data(path=str(folder), fields=FIELDS, context=4, strict=True))


def test_a_language_without_a_split_is_named(folder):
    (folder / "validation.de").unlink()
    with pytest.raises(UserError, match=r"validation\.de"):
        load(Data(path=str(folder), fields=FIELDS))


def test_phrases_are_pairs_in_two_languages():
    pytest.importorskip("babel")
    dataset = load(Data(source="phrases:en-de", context=64))
    pairs = dict(zip(*(dataset.texts["train"][field].tolist() for field in ("source", "target"))))
    assert len(pairs) == dataset.spec.train_examples > 8000
    known = {"Germany": "Deutschland", "Swedish": "Schwedisch", "1 kilometer": "1 Kilometer", "world": "Welt"}
    assert sum(pairs.get(source) == target for source, target in known.items()) >= 2
    assert any(source.startswith("Monday, ") and target.startswith("Montag, ") for source, target in pairs.items())
    again = load(Data(source="phrases:en-de", context=64))
    assert again.texts["train"]["target"].tolist() == dataset.texts["train"]["target"].tolist()


@pytest.mark.parametrize("place", ["en", "en-de-fr", "en-xq", "english-german"])
def test_no_pair_of_languages_is_refused(place):
    pytest.importorskip("babel")
    with pytest.raises(UsageError, match=rf"phrases:{place}: name two languages of CLDR"):
        load(Data(source=f"phrases:{place}"))


def test_without_babel_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "babel", None)
    with pytest.raises(UserError, match=r"pip install genjax-suite\[text\]"):
        load(Data(source="phrases:en-de"))
