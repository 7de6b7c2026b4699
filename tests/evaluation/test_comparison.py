"""References are seen once, and their features come back from the disk only where they are still true."""

import dataclasses

import numpy as np
import pytest

from genjax.evaluation.comparison import CACHE, Comparison
from genjax.metrics import METRICS
from genjax.metrics.features import load_extractor
from genjax.spec import Image

IMAGE = Image(8, 8, 1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "genjax" / CACHE


@pytest.fixture
def extractor():
    """The digits' own, which counts the batches it has looked at."""
    seen, inner = [], load_extractor("digits", IMAGE)
    counting = dataclasses.replace(inner, see=lambda x: seen.append(len(x)) or inner.see(x))
    return counting, seen


def images(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 8, 8, 1)).astype(np.float32)


def batches(image, size=16):
    return lambda: iter([{"image": image[start : start + size]} for start in range(0, len(image), size)])


def value(extractor, read, made, names=("fd", "swd")):
    comparison = Comparison([METRICS[name]("image", IMAGE, None, "digits") for name in names], extractor)
    count = comparison.observe(read)
    comparison.update({"image": made})
    return count, {key: x for metric in comparison.metrics for key, x in metric.result().items()}


def test_the_second_comparison_looks_at_samples_alone(extractor, cache):
    extractor, seen = extractor
    first = value(extractor, batches(images(40)), images(24, 1))
    assert first[0] == 40 and seen == [16, 16, 8, 24] and len(list(cache.iterdir())) == 1
    seen.clear()
    assert value(extractor, batches(images(40), size=7), images(24, 1)) == first
    assert seen == [24]


def test_nothing_that_has_changed_is_taken_from_the_disk(extractor, cache):
    extractor, seen = extractor
    value(extractor, batches(images(40)), images(24, 1))
    other = images(40)
    other[5, 0, 0, 0] *= -1
    for changed, read in (
        (extractor, batches(other)),
        (extractor, batches(images(40)[::-1])),
        (extractor, batches(images(39))),
        (extractor, batches(images(40).reshape(40, 4, 16, 1))),
        (dataclasses.replace(extractor, key="other weights"), batches(images(40))),
    ):
        seen.clear()
        try:
            value(changed, read, images(24, 1), ("fd",))
        except Exception as error:  # the digits' network does not take the wide pictures: it was asked, which counts
            assert "shape" in str(error).lower()
        assert seen[0] == 16


def test_a_damaged_file_is_made_again_and_a_disk_that_cannot_be_written_is_no_matter(extractor, cache, monkeypatch):
    extractor, seen = extractor
    first = value(extractor, batches(images(40)), images(24, 1))
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert value(extractor, batches(images(40)), images(24, 1)) == first
    assert file.stat().st_size == len(whole)
    monkeypatch.setattr("genjax.evaluation.comparison.cache_folder", lambda name: None)
    seen.clear()
    assert value(extractor, batches(images(40)), images(24, 1)) == first and len(seen) == 4


def test_references_serve_many_sets_of_samples(extractor):
    comparison = Comparison([METRICS["fd"]("image", IMAGE, None, "digits")], extractor[0])
    comparison.observe(batches(images(40)))
    values = []
    for _ in range(2):
        comparison.reset()
        comparison.update({"image": images(24, 1)})
        values.append(comparison.metrics[0].result())
    assert values[0] == values[1] and set(values[0]) == {"fd24_digits", "fd24_digits_se"}


def test_rows_without_the_picture_do_not_count(extractor):
    present = np.arange(40) < 30
    with_holes = value(extractor[0], lambda: iter([{"image": images(40), "image_present": present}]), images(24, 1))
    without = value(extractor[0], batches(images(40)[:30]), images(24, 1))
    assert with_holes[1] == pytest.approx(without[1], rel=1e-5)
