import os

import numpy as np
import pytest
from PIL import Image

from genjax.data import load, train_batches, validation_batches
from genjax.errors import UserError
from genjax.experiment import Data


def saved(folder, **arrays):
    np.savez(folder / "data.npz", **arrays)
    return Data(path=str(folder / "data.npz"))


def images(count, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.mark.parametrize("prefix", ["{0}_image {0}_label", "x_{0} y_{0}", "{0}_images {0}_labels"])
@pytest.mark.parametrize("held", ["test", "validation", "val"])
def test_key_spellings(tmp_path, prefix, held):
    image, label = prefix.format("train").split()
    held_image, held_label = prefix.format(held).split()
    arrays = {image: images(6, 4, 4), label: np.arange(6), held_image: images(3, 4, 4), held_label: [2, 0, 1]}
    dataset = load(saved(tmp_path, **arrays))
    assert (dataset.spec.train_examples, dataset.spec.validation_examples, dataset.spec.classes) == (6, 3, 6)
    assert dataset.spec.image_shape == (4, 4, 1)
    assert next(validation_batches(dataset, 3))["label"].tolist() == [2, 0, 1]


def test_without_a_second_split_a_share_is_held_out(tmp_path):
    dataset = load(saved(tmp_path, image=images(20, 4, 4, 3), label=np.arange(20)))
    held = next(validation_batches(dataset, 2))["label"].tolist()
    assert (dataset.spec.train_examples, dataset.spec.validation_examples) == (18, 2)
    assert sorted(held + dataset.train.label_N.tolist()) == list(range(20))
    assert "label" not in next(train_batches(load(saved(tmp_path, image=images(20, 4, 4))), 4, 0))


def test_ranges(tmp_path):
    raw = images(10, 4, 4, 1)
    expected = raw / 127.5 - 1
    for given in (raw, raw / 255, (raw / 127.5 - 1).astype(np.float16)):
        dataset = load(saved(tmp_path, x_train=given, x_test=given))
        image = next(validation_batches(dataset, 10))["image"]
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, expected, atol=1e-3)
    for binary in (raw > 127, (raw > 127).astype(np.uint8)):
        image = next(validation_batches(load(saved(tmp_path, x_train=binary, x_test=binary)), 10))["image"]
        np.testing.assert_array_equal(image, np.where(raw > 127, 1, -1))


def test_size_and_channels(tmp_path):
    raw = images(4, 12, 8, 3)
    data = saved(tmp_path, x_train=raw, x_test=raw)
    image = next(validation_batches(load(Data(path=data.path, image_size=4, channels=1)), 4))["image"]
    for ours, original in zip(image, raw):
        theirs = Image.fromarray(original).convert("L").resize((4, 6), Image.Resampling.BICUBIC)
        np.testing.assert_allclose((ours[..., 0] + 1) * 127.5, np.asarray(theirs)[1:5], atol=2)
    grey = saved(tmp_path, x_train=raw[..., :1], x_test=raw[..., :1])
    image = next(validation_batches(load(Data(path=grey.path, channels=3)), 4))["image"]
    np.testing.assert_allclose(image, np.repeat(raw[..., :1], 3, -1) / 127.5 - 1, atol=1e-6)
    floats = saved(tmp_path, x_train=raw / 255, x_test=raw / 255)
    resized = next(validation_batches(load(Data(path=floats.path, image_size=4)), 4))["image"]
    assert resized.shape == (4, 4, 4, 3) and resized.dtype == np.float32 and abs(resized).max() <= 1


def test_named_labels(tmp_path):
    dataset = load(
        saved(tmp_path, x_train=images(3, 2, 2), y_train=["b", "a", "b"], x_test=images(1, 2, 2), y_test=["c"])
    )
    assert dataset.spec.class_names == ("a", "b", "c")
    assert dataset.train.label_N.tolist() == [1, 0, 1]


def test_tokens(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 11, (20, 5))
    tokens[3, 2] = 11
    dataset = load(saved(tmp_path, tokens=tokens))
    assert (dataset.spec.vocabulary, dataset.spec.context, dataset.tokenizer) == (12, 4, None)
    batch = next(train_batches(dataset, 4, 0))
    assert batch["tokens"].dtype == np.int32 and set(batch) == {"index", "tokens"}
    assert all((tokens == row).all(1).any() for row in batch["tokens"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": images(4, 2, 2)}, "it has pictures"),
        ({"image": images(4, 2)}, r"not \(4, 2\)"),
        ({"image": images(4, 3, 8, 8)}, r"not \(4, 3, 8, 8\)"),
        ({"image": images(0, 2, 2)}, r"not \(0, 2, 2, 1\)"),
        ({"image": images(1, 2, 2)}, "at least 2"),
        ({"image": images(4, 2, 2).astype(np.float32)}, "uint8, or floats"),
        ({"image": np.full((4, 2, 2), np.nan)}, "uint8, or floats"),
        ({"image": images(4, 2, 2), "label": np.arange(3)}, "4 images, but 3 labels"),
        ({"image": images(4, 2, 2), "label": np.array([0, 1, -1, 0])}, "from -1"),
        ({"image": images(4, 2, 2), "label": np.full(4, 0.5)}, "float64"),
        ({"x_train": images(4, 2, 2), "x_test": images(4, 2, 2) / 255}, "different types, uint8 and float"),
        (
            {"x_train": images(4, 2, 2), "x_test": images(4, 2, 2).astype(np.uint16)},
            "different types, uint8 and uint16",
        ),
        ({"image": np.array([{}], object)}, "plain arrays"),
        ({"tokens": np.array([[0, -1], [0, 1]])}, "from 0 on"),
        ({"tokens": np.zeros((4, 3))}, "integers"),
    ],
)
def test_unusable_arrays_are_refused_in_one_line(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message) as raised:
        load(saved(tmp_path, **arrays))
    assert "\n" not in str(raised.value) and "data.npz" in str(raised.value)


def test_damaged_file(tmp_path):
    path = tmp_path / "torn.npz"
    np.savez(path, image=images(4, 2, 2))
    for content in (b"", b"not a zip", path.read_bytes()[:-40], path.read_bytes()[:60]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"torn\.npz: not a readable"):
            load(Data(path=str(path)))


def test_fashion_mnist():
    path = os.environ.get("GENJAX_REAL_DATA", "") + "/fashion_mnist.npz"
    if not os.path.exists(path):
        pytest.skip("set GENJAX_REAL_DATA to a folder with fashion_mnist.npz")
    dataset = load(Data(path=path))
    assert (dataset.spec.train_examples, dataset.spec.validation_examples) == (60000, 10000)
    assert dataset.spec.image_shape == (28, 28, 1) and dataset.spec.classes == 10
