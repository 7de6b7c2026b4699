"""A set that was made worse on purpose is worse by every metric, with the shipped features of digits."""

import functools

import numpy as np
import pytest
from sklearn.datasets import load_digits

from genjax.metrics import METRICS
from genjax.metrics.features import load_extractor
from genjax.spec import Image

IMAGE = Image(8, 8, 1)


@functools.cache
def digits():
    read = load_digits()
    order = np.random.default_rng(0).permutation(len(read.images))
    return (read.images / 8 - 1).astype(np.float32)[order, ..., None], read.target[order]


@functools.cache
def extractor():
    return load_extractor("digits", IMAGE)


def blurred(x_NHWC, passes):
    for _ in range(passes):
        for axis in (1, 2):
            x_NHWC = (np.roll(x_NHWC, 1, axis) + 2 * x_NHWC + np.roll(x_NHWC, -1, axis)) / 4
    return x_NHWC


def noisy(x_NHWC, scale):
    return x_NHWC + scale * np.random.default_rng(0).standard_normal(x_NHWC.shape).astype(np.float32)


@functools.cache
def sets():
    """Name -> three sets, the better ones first: real digits, some made worse, and worse still."""
    image, label = digits()
    made, given = image[600:], label[600:]
    few = np.flatnonzero(given != 3), np.flatnonzero(given >= 5)
    return {
        "blur": [blurred(made[:300], passes) for passes in (0, 1, 3)],
        "noise": [noisy(made[:300], scale) for scale in (0, 0.4, 0.9)],
        "classes": [made[:300], made[few[0]][:300], made[few[1]][:300]],
    }


@functools.cache
def values(name, damage):
    """Value -> its numbers of the three sets: of 300 digits, against 300 others."""
    image, _ = digits()
    results = []
    for made in sets()[damage]:
        metric = METRICS[name]("image", IMAGE, None, "digits")
        for verb, pictures in ((metric.observe, image[:300]), (metric.update, made)):
            verb({"image": pictures} | {f"image_{key}": x for key, x in extractor()(pictures).items()})
        results.append(metric.result())
    return {key: [result[key] for result in results] for key in results[0] if not key.endswith("_se")}


@pytest.mark.parametrize("damage", ["blur", "noise", "classes"])
@pytest.mark.parametrize("name", ["fd", "kid", "mmd", "energy", "swd"])
def test_distances_grow(name, damage):
    ((first, some, most),) = values(name, damage).values()
    # One class of ten is within what the textures of 300 digits vary by.
    assert first < most if (name, damage) == ("swd", "classes") else first < some < most


@pytest.mark.parametrize("damage", ["blur", "noise", "classes"])
def test_scores_fall(damage):
    results = values("pr", damage) | values("dc", damage) | values("is", damage)
    falls = {"blur": ("precision", "coverage", "is"), "noise": ("precision", "density", "coverage", "is")}
    for key in falls.get(damage, ("recall", "coverage", "is")):
        (name,) = [name for name in results if name.startswith(key)]
        first, some, most = results[name]
        assert first > most and first >= some >= most, name


@pytest.mark.parametrize("damage", ["blur", "noise"])
def test_the_distance_of_classes_grows(damage):
    image, label = digits()
    results = []
    for made in sets()[damage]:
        metric = METRICS["ifd"]("image", IMAGE, None, "digits")
        for verb, pictures, of in ((metric.observe, image[:300], label[:300]), (metric.update, made, label[600:900])):
            verb({"label": of} | {f"image_{key}": x for key, x in extractor()(pictures).items()})
        results.append(metric.result()["intra_fd300_digits"])
    assert results[0] < results[1] < results[2]


def test_the_distance_of_classes_grows_with_samples_of_the_wrong_one():
    image, label = digits()
    seen = extractor()(image)["features"]
    results = []
    for wrong in (0, 30, 300):
        metric = METRICS["ifd"]("image", IMAGE, None, "digits")
        metric.observe({"image_features": seen[:300], "label": label[:300]})
        named = np.where(np.arange(300) < wrong, (label[600:900] + 1) % 10, label[600:900])
        metric.update({"image_features": seen[600:900], "label": named})
        results.append(metric.result()["intra_fd300_digits"])
    assert results[0] < results[1] < results[2]


def test_authenticity_falls_with_the_share_of_copies():
    image, _ = digits()
    seen = extractor()(image)["features"]
    results = []
    for copies in (0, 100, 300):
        metric = METRICS["auth"]("image", IMAGE, None, "digits")
        metric.observe({"image_features": seen[:900]})
        metric.update({"image_features": np.concatenate([seen[:copies], seen[900 : 1200 - copies]])})
        results.append(metric.result()["authenticity300_digits"])
    assert results[0] > 0.6 and results[0] > results[1] > results[2] == 0
