"""What samples are conditioned on."""

import numpy as np
import pytest
from evaluation.doubles import PAIRS, PICTURES, Answerer, AnswerOptions, Painter, PaintOptions, Plain, dataset, rows
from PIL import Image

from genjax.data import Dataset
from genjax.errors import UsageError, UserError
from genjax.evaluation import conditions as module
from genjax.evaluation.conditions import conditions, joined
from genjax.models.base import SampleOptions
from genjax.spec import DataSpec, Label


def test_labels_are_chosen_in_turn_and_leave_the_options():
    given, options = conditions(Painter(), PaintOptions(label=(2, 0)), PICTURES, None, None, 5)
    assert given["label"].tolist() == [2, 0, 2, 0, 2] and given["index"].tolist() == [0, 1, 2, 3, 4]
    assert options == PaintOptions()
    given, _ = conditions(Painter(), PaintOptions(), PICTURES, None, None, 4)
    assert given["label"].tolist() == [0, 1, 2, 0]


def test_samples_of_a_model_without_labels_have_none():
    given, _ = conditions(Painter(conditional=False), PaintOptions(), PICTURES, None, None, 4)
    assert list(given) == ["index"]


def test_options_are_checked():
    named = DataSpec({**PICTURES.fields, "label": Label(3, ("cat", "dog", "owl"))})
    given, _ = conditions(Painter(), PaintOptions(label=("owl", 1)), named, None, None, 2)
    assert given["label"].tolist() == [2, 1]
    with pytest.raises(UsageError, match=r"--label dogs: did you mean dog\? the classes are 0 to 2, or cat, dog, owl"):
        conditions(Painter(), PaintOptions(label=("dogs",)), named, None, None, 2)
    with pytest.raises(UsageError, match="--label 3: the classes are 0 to 2"):
        conditions(Painter(), PaintOptions(label=(3,)), PICTURES, None, None, 5)
    with pytest.raises(UsageError, match="trained without labels"):
        conditions(Painter(conditional=False), PaintOptions(label=(0,)), PICTURES, None, None, 5)
    with pytest.raises(UsageError, match="out of the question"):
        conditions(Answerer(), AnswerOptions(label=(99,)), PAIRS, None, None, 5)


def test_what_needs_nothing_is_drawn_from_its_index():
    given, options = conditions(Plain(), SampleOptions(), DataSpec(), None, None, 3)
    assert {name: array.tolist() for name, array in given.items()} == {
        "index": [0, 1, 2]
    } and options == SampleOptions()


def test_pictures_and_masks_are_read_from_files(tmp_path):
    Image.new("L", (8, 8), 255).save(tmp_path / "init.png")
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "mask.png")
    options = PaintOptions(init=str(tmp_path / "init.png"), mask=str(tmp_path / "mask.png"))
    given, stripped = conditions(Painter(), options, PICTURES, None, None, 3)
    assert stripped == PaintOptions() and (given["init"] == 1).all() and given["init"].shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(given["mask"][2, ..., 0], np.eye(8))
    with pytest.raises(UsageError, match="--init: cannot read the image"):
        conditions(Painter(), PaintOptions(init=str(tmp_path / "none.png")), PICTURES, None, None, 3)


def test_needed_fields_come_from_readable_validation_examples_each_once(monkeypatch):
    monkeypatch.setattr(module, "READ", 3)
    data = dataset(PAIRS, validation=10, torn=(1, 4))
    source = data.validation.arrays
    for num, taken in ((4, [0, 2, 3, 5]), (8, [0, 2, 3, 5, 6, 7, 8, 9]), (50, [0, 2, 3, 5, 6, 7, 8, 9])):
        given, _ = conditions(Answerer(), AnswerOptions(), PAIRS, data, None, num)
        assert set(given) == {"index", "question", "question_length"} and len(given["index"]) == len(taken)
        for name in ("question", "question_length"):
            np.testing.assert_array_equal(given[name], source[name][taken])
    given, _ = conditions(Answerer(), AnswerOptions(), PAIRS, data, None, 4, split="train")
    np.testing.assert_array_equal(given["question"], data.train.arrays["question"][:4])


def test_examples_bring_their_own_labels():
    with pytest.raises(UsageError, match="--label: these samples are made from validation examples"):
        conditions(Answerer(), AnswerOptions(label=(1,)), PAIRS, dataset(PAIRS), None, 2)
    data = dataset(PICTURES)
    given, _ = conditions(Painter(), PaintOptions(), PICTURES, data, None, 7, paired=True)
    np.testing.assert_array_equal(given["label"], data.validation.arrays["label"][:7])
    assert "image" not in given  # only what the samples are conditioned on


def test_a_split_that_cannot_be_read_is_one_line():
    data = Dataset(PAIRS, rows(PAIRS, 4), rows(PAIRS, 2, torn=(0, 1)))
    with pytest.raises(UserError, match="made from validation examples, and none of them can be read"):
        conditions(Answerer(), AnswerOptions(), PAIRS, data, None, 2)
    with pytest.raises(UserError, match=r"made from the field `question`; this data has image \(images"):
        conditions(Answerer(), AnswerOptions(), PICTURES, dataset(PICTURES), None, 2)


def test_texts_of_other_lengths_are_joined():
    both = joined([np.ones((1, 2), int), np.ones((1, 3), int)])
    assert both.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert joined([np.ones(2), np.zeros(1)]).tolist() == [1, 1, 0]
