"""The line under a sheet of samples."""

import numpy as np
import pytest

from genjax.runs.legends import legend, under
from genjax.spec import Label

CLASSES = {"label": Label(3, ("cat", "dog", "fish"))}


@pytest.mark.parametrize(
    "titles, labels, words",
    [
        (["image"], [], ""),
        (["image of the data", "image"], [], "left to right: image of the data, image"),
        (["image"], [0, 1, 2, 0, 1, 2, 0], "classes, in turn: cat, dog, fish"),
        (["image"], [2, 1, 2, 1], "classes, in turn: fish, dog"),
        (["image"], [1, 1, 1], "class: dog"),
        (["image"], [1], "class: dog"),
        (["image"], [0, 1, 2, 0, 2], ""),  # of no order
        (["a", "b"], [0, 0], "left to right: a, b; class: cat"),
    ],
)
def test_a_line_says_which_picture_is_which_and_of_which_class(titles, labels, words):
    assert legend(titles, {"label": np.array(labels, int)}, CLASSES) == words


def test_classes_without_names_have_numbers_and_many_are_left_out():
    assert legend(["image"], {"label": np.arange(3)}, {"label": Label(3)}) == "classes, in turn: 0, 1, 2"
    assert legend(["image"], {"label": np.arange(99)}, {"label": Label(99)}) == ""
    assert legend(["image"], {}, CLASSES) == legend(["image"], {"label": np.arange(3)}, {}) == ""


@pytest.mark.parametrize("shape", [(20, 90), (20, 90, 3)])
def test_words_stand_on_white_under_the_grid_and_are_cut_at_its_width(shape):
    grid = np.zeros(shape, np.uint8)
    both = under(grid, "classes, in turn: " + "cat, dog, " * 9)
    assert np.array_equal(both[:20], grid) and both.shape[1:] == shape[1:]
    assert both[20:].min() < 64 and both[20:].mean() > 128
    assert under(grid, "") is grid
