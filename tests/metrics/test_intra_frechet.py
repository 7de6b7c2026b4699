"""Fréchet distances class by class."""

import numpy as np
import pytest

from genjax.errors import UserError
from genjax.metrics import METRICS
from genjax.metrics.frechet import frechet_distance
from genjax.spec import Image


def classes(count, seed=0):
    label = np.arange(count) % 3
    return np.random.default_rng(seed).standard_normal((count, 4)) + 5 * label[:, None], label


def measured(real, made, name="ifd"):
    metric = METRICS[name]("image", Image(8, 8, 1), None, "x")
    for verb, (features, label) in ((metric.observe, real), (metric.update, made)):
        verb({"image_features": features, "label": label})
    return metric.result()


def test_it_is_the_mean_of_the_classes_own():
    real, made = classes(90), classes(60, 1)
    own = [frechet_distance(real[0][real[1] == k], made[0][made[1] == k]) for k in range(3)]
    values = measured(real, made)
    assert values["intra_fd60_x"] == pytest.approx(np.mean(own), rel=1e-12) and values["intra_fd60_x_se"] > 0


def test_it_sees_samples_of_the_wrong_class_which_the_whole_does_not():
    real, (features, label) = classes(90), classes(90, 1)
    right, wrong = (measured(real, (features, l))["intra_fd90_x"] for l in (label, (label + 1) % 3))
    assert wrong > 20 * right
    assert measured(real, (features, label), "fd") == measured(real, (features, (label + 1) % 3), "fd")


def test_a_class_without_samples_is_told():
    real, (features, label) = classes(30), classes(30, 1)
    with pytest.raises(UserError, match="ifd needs at least 2 samples of each class, and there are 0 of class 2"):
        measured(real, (features[label < 2], label[label < 2]))
    with pytest.raises(UserError, match="ifd needs at least 2 references of each class, and there is 1 of class 7"):
        measured((real[0], np.where(np.arange(30) == 0, 7, real[1])), (features, label))


def test_its_error_is_as_wide_as_it_varies():
    pairs = [(classes(120, s), classes(120, s + 50)) for s in range(25)]
    values = [measured(real, (features + 1, label)) for real, (features, label) in pairs]
    spread = np.std([value["intra_fd120_x"] for value in values])
    assert np.mean([value["intra_fd120_x_se"] for value in values]) == pytest.approx(spread, rel=0.5)
