"""The order of the real pictures that stand beside samples."""

import numpy as np

from genjax.training.previews import _in_turn


def test_classes_come_in_turn_as_long_as_they_have_examples():
    label_N = np.array([2, 2, 0, 1, 2, 0])
    assert label_N[_in_turn(label_N)].tolist() == [0, 1, 2, 0, 2, 2]
    assert _in_turn(label_N).tolist() == [2, 3, 0, 5, 1, 4]
