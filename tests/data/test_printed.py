"""Handwritten digits beside printed ones."""

import numpy as np
import pytest

from genjax.data import load
from genjax.errors import UsageError
from genjax.experiment import Data
from genjax.orders import Unpaired

FIELDS = ("image_a=handwritten", "image_b=printed")


def test_the_three_pictures_of_an_example_show_one_digit():
    data = load(Data(source="printed_digits"))
    assert (data.spec.train_examples, data.spec.validation_examples) == (1500, 297)
    batch = data.validation.gather(np.arange(297))
    for name in ("handwritten", "printed", "plain"):
        assert batch[name].shape == (297, 16, 16, 1) and batch[name].min() == -1 and batch[name].max() > 0.9
    plain_N = [{picture.tobytes() for picture in batch["plain"][batch["label"] == digit]} for digit in range(10)]
    assert all(len(pictures) == 1 for pictures in plain_N) and len(set.union(*plain_N)) == 10
    fonts = {picture.tobytes() for picture in batch["printed"][batch["label"] == 3]}
    assert 10 < len(fonts) <= 18


def test_its_split_is_that_of_the_digits_and_its_drawing_is_the_same_every_time():
    data, again = (load(Data(source="printed_digits", fields=(*FIELDS, "label=label"))) for _ in range(2))
    digits = load(Data(source="digits")).train.gather(np.arange(1500))
    ours, second = (each.train.gather(np.arange(1500)) for each in (data, again))
    np.testing.assert_array_equal(ours["label"], digits["label"])
    for name in ours:
        np.testing.assert_array_equal(ours[name], second[name])
    small = load(Data(source="printed_digits", image_size=8)).train.gather(np.arange(9))["handwritten"]
    assert np.abs(small - digits["image"][:9]).mean() < 0.2


def test_its_pictures_part_into_two_domains():
    data = load(Data(source="printed_digits", fields=FIELDS, order=Unpaired()))
    assert data.train.examples.unpaired and set(data.spec.fields) == {"image_a", "image_b"}
    with pytest.raises(UsageError, match="has no `bold`; it has handwritten, printed, plain, word, label"):
        load(Data(source="printed_digits", fields=("image_a=bold",)))
