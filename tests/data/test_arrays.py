import os
import zipfile

import numpy as np
import pytest
from PIL import Image as Pillow

from genjax.data import load, npz, train_batches, validation_batches
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.spec import Image, Label, Mask, Real, Tokens


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
    assert (dataset.spec.train_examples, dataset.spec.validation_examples) == (6, 3)
    assert dataset.spec.fields == {"image": Image(4, 4, 1), "label": Label(6, tuple("012345"))}
    assert next(validation_batches(dataset, 3))["label"].tolist() == [2, 0, 1]


def test_without_a_second_split_a_share_is_held_out(tmp_path):
    dataset = load(saved(tmp_path, image=images(20, 4, 4, 3), label=np.arange(20)))
    held = next(validation_batches(dataset, 2))["label"].tolist()
    assert (dataset.spec.train_examples, dataset.spec.validation_examples) == (18, 2)
    assert sorted(held + dataset.train.gather(np.arange(18))["label"].tolist()) == list(range(20))
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
        theirs = Pillow.fromarray(original).convert("L").resize((4, 6), Pillow.Resampling.BICUBIC)
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
    assert dataset.spec.fields["label"] == Label(3, ("a", "b", "c"))
    assert dataset.train.gather(np.arange(3))["label"].tolist() == [1, 0, 1]


def test_tokens(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 11, (20, 5))
    tokens[3, 2] = 11
    dataset = load(saved(tmp_path, tokens=tokens))
    assert dataset.spec.fields == {"tokens": Tokens((4,), 12, shifted=True)} and dataset.tokenizer is None
    batch = next(train_batches(dataset, 4, 0))
    assert batch["tokens"].dtype == np.int32 and set(batch) == {"index", "tokens"}
    assert all((tokens == row).all(1).any() for row in batch["tokens"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "it has nothing"),
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
        ({"tokens": np.full((4, 3), 2**63, np.uint64)}, "id 9223372036854775808; a vocabulary of up to 16777216"),
        ({"image": images(4, 2, 2), "label": np.zeros(4, [("a", "u1")])}, "which no field has"),
        ({"image": np.array(["a", "b"])}, r"not \(2,\)"),
        ({"source": np.arange(12).reshape(4, 3), "source_length": np.array([1, 2, 3, 4])}, "from 1 to 3"),
        ({"source": np.arange(12).reshape(4, 3), "source_length": np.ones((4, 2), int)}, "from 1 to 3"),
        ({"source": np.arange(12).reshape(4, 3), "source_present": np.array(["x"] * 4)}, "one true or false"),
        ({"image": images(4, 2, 2), "label": np.eye(4)}, "one class for each example, not 4"),
        (
            {"image": images(4, 2, 2), "label": np.ones((4, 2), int), "label_present": np.arange(4) > 0},
            "one class for each example, not several",
        ),
    ],
)
def test_unusable_arrays_are_refused_in_one_line(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message) as raised:
        load(saved(tmp_path, **arrays))
    assert "\n" not in str(raised.value) and "data.npz" in str(raised.value)


def test_arrays_are_fields_by_their_own_names(tmp_path):
    random = np.random.default_rng(0)
    arrays = {
        "google": images(20, 4, 4, 3),
        "twitter": images(20, 4, 4, 3, seed=1),
        "vector": random.normal(size=(20, 5)),
        "flags": random.random((20, 3)) < 0.5,
        "source": random.integers(0, 9, (20, 6)),
        "group": np.array(["a b", "c d"] * 10),
        "year": np.arange(20) % 4 + 1990,
        "about": np.array(3),
        "short": np.arange(7),
    }
    dataset = load(saved(tmp_path, **arrays))
    assert dataset.spec.fields == {
        "google": Image(4, 4, 3),
        "twitter": Image(4, 4, 3),
        "vector": Real((5,)),
        "flags": Mask((3,)),
        "source": Tokens((6,), 9),
        "group": Tokens((64,), 257, ragged=True, end=256),
        "year": Label(4, ("1990", "1991", "1992", "1993")),
    }
    assert set(dataset.unused) == {"about", "short"}
    batch = next(train_batches(dataset, 18, 0))
    for google, vector, flags, source, year in zip(
        *(batch[n] for n in ("google", "vector", "flags", "source", "year"))
    ):
        (n,) = np.flatnonzero((arrays["source"] == source).all(1))
        np.testing.assert_allclose((google + 1) * 127.5, arrays["google"][n], atol=1e-3)
        np.testing.assert_allclose(vector, arrays["vector"][n], rtol=1e-6)
        assert flags.tolist() == arrays["flags"][n].tolist() and year == n % 4
    asked = ("image_a=google", "image_b=twitter", "label=group:label")
    mapped = load(Data(path=saved(tmp_path, **arrays).path, fields=asked))
    assert set(mapped.spec.fields) == {"image_a", "image_b", "label"} and "vector" in mapped.unused


def test_lengths_and_presence_go_with_their_array(tmp_path):
    random = np.random.default_rng(0)
    length, present = random.integers(1, 7, 20), np.arange(20) % 3 > 0
    view = images(20, 4, 4)
    data = saved(tmp_path, source=random.integers(0, 9, (20, 6)), source_length=length, view=view, view_present=present)
    dataset = load(data)
    assert dataset.spec.fields["view"] == Image(optional=True, height=4, width=4, channels=1)
    assert dataset.spec.fields["source"].ragged and dataset.unused == ()
    batch = dataset.train.gather(np.arange(18))
    assert set(batch) == {"source", "source_length", "view", "view_present"}
    assert sorted([*batch["source_length"], *dataset.validation.gather(np.arange(2))["source_length"]]) == sorted(
        length
    )
    assert not batch["view"][~batch["view_present"]].any() and batch["view"][batch["view_present"]].any((1, 2, 3)).all()


def test_test_beside_validation(tmp_path):
    arrays = {f"{split}_image": images(n, 4, 4) for split, n in (("train", 6), ("val", 3), ("test", 2))}
    spec = load(saved(tmp_path, **arrays)).spec
    assert (spec.train_examples, spec.validation_examples, spec.test_examples) == (6, 3, 2)


def test_almost_zero_is_no_sign(tmp_path):
    image = np.random.default_rng(0).random((12, 4, 4, 1)).astype(np.float32)
    image[0] = -1e-9
    first = load(saved(tmp_path, x_train=image, x_test=image)).train.gather(np.arange(12))["image"]
    np.testing.assert_allclose(first, (image * 2 - 1).clip(-1), atol=1e-6)


@pytest.mark.parametrize(
    ("label", "names"),
    [
        (np.arange(12) % 3 + 1, ("1", "2", "3")),
        (np.arange(12) % 3 * 1500, ("0", "1500", "3000")),
        (np.arange(12) % 3 + 10**12, ("1000000000000", "1000000000001", "1000000000002")),
        (np.arange(12, dtype=np.uint64) % 2 + 2**63, ("9223372036854775808", "9223372036854775809")),
        (np.array([str(10**20), "7"] * 6), ("100000000000000000000", "7")),
        (np.array([b"owl", b"cat", b"dog"] * 4), ("cat", "dog", "owl")),
        (np.arange(12) % 2 > 0, ("False", "True")),
    ],
)
def test_classes_are_the_labels_that_there_are(tmp_path, label, names):
    dataset = load(saved(tmp_path, x_train=images(12, 4, 4), y_train=label, x_test=images(12, 4, 4), y_test=label))
    assert dataset.spec.fields["label"] == Label(len(names), names)
    read = [names[n] for n in dataset.train.gather(np.arange(12))["label"]]
    assert read == [value.decode() if isinstance(value, bytes) else str(value) for value in label.tolist()]


def test_tokens_and_labels(tmp_path):
    dataset = load(saved(tmp_path, tokens=np.arange(108).reshape(12, 9) % 20, label=np.arange(12) % 3))
    assert dataset.spec.fields == {"tokens": Tokens((8,), 20, shifted=True), "label": Label(3, ("0", "1", "2"))}


def test_members_that_are_no_arrays(tmp_path):
    path = saved(tmp_path, image=images(4, 2, 2)).path
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("image.txt", "hello")
    assert load(Data(path=path)).unused == ("image.txt",)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("image.txt", "hello")
    with pytest.raises(UserError, match=r"not a readable \.npz file of plain arrays"):
        load(Data(path=path))


@pytest.mark.parametrize(("rows", "said"), [(0, "has 0 rows, where the others have 20"), (30, "has 30 rows")])
def test_an_empty_or_longer_domain_that_is_asked_for_is_named(tmp_path, rows, said):
    path = saved(tmp_path, a=images(20, 4, 4), b=images(rows, 4, 4)).path
    with pytest.raises(UserError, match=rf"data\.npz: `b` {said}"):
        load(Data(path=path, fields=("image_a=a", "image_b=b")))


def test_arrays_that_expand_are_refused_before(tmp_path):
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**8, 1000, 1000, 3)}
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive, archive.open("image.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(UserError, match=r"bomb\.npz: its arrays would take 300 TB, and there are"):
        load(Data(path=str(tmp_path / "bomb.npz")))


def test_names_that_speak_to_the_terminal_become_no_field(tmp_path):
    dataset = load(saved(tmp_path, image=images(4, 2, 2), **{"\x1b[31m": images(4, 2, 2), "a/b": images(4, 2, 2)}))
    assert set(dataset.spec.fields) == {"image"} and set(dataset.unused) == {"\x1b[31m", "a/b"}


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
    assert dataset.spec.fields["image"].shape == (28, 28, 1) and dataset.spec.fields["label"].classes == 10


def test_handwritten_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    read, (image_NHWC, digit_N) = load_digits(), npz.handwritten()
    np.testing.assert_array_equal(image_NHWC[..., 0], (read.images / 8 - 1).astype(np.float32))
    np.testing.assert_array_equal(digit_N, read.target)
