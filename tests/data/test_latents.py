import numpy as np
import pytest

from genjax.data import latents, load, train_batches, validation_batches
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.spec import DataSpec, Image, Label, Latent

SPEC = DataSpec({"image": Image(16, 16, 3), "label": Label(3, ("cat", "dog", "owl"))})


def moments(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 4, 4, 6)).astype(np.float16)


def splits(**changes):
    parts = {
        "train": {"latent": moments(10), "label": np.arange(10, dtype=np.int32) % 3},
        "validation": {"latent": moments(4, seed=1), "label": np.array([2, 1, 0, 0])},
    }
    return parts | changes


def test_what_is_saved_is_read(tmp_path):
    path = latents.save(tmp_path / "new" / "latents.npz", SPEC, splits(), 0.25)
    assert [file.name for file in path.parent.iterdir()] == ["latents.npz"]
    dataset = load(Data(path=str(path)))
    fields = {"latent": Latent(4, 4, 3, 0.25, Image(16, 16, 3)), "label": Label(3, ("cat", "dog", "owl"))}
    expected = DataSpec(fields, train_examples=10, validation_examples=4)
    assert dataset.spec == expected
    batch = next(validation_batches(dataset, 4))
    assert batch["latent"].dtype == np.float32 and batch["label"].tolist() == [2, 1, 0, 0]
    np.testing.assert_array_equal(batch["latent"], moments(4, seed=1).astype(np.float32))


def test_training_batches_have_the_shapes_that_plans_count_with(tmp_path):
    dataset = load(Data(path=str(latents.save(tmp_path / "latents.npz", SPEC, splits(), 0.25))))
    batch = next(train_batches(dataset, 5, 0))
    shapes = {name: (array.shape[1:], array.dtype) for name, array in batch.items()}
    assert shapes == {name: (values.shape, values.dtype) for name, values in dataset.spec.arrays().items()}
    for latent, label in zip(batch["latent"], batch["label"]):
        (row,) = np.flatnonzero((moments(10).astype(np.float32) == latent).all((1, 2, 3)))
        assert label == row % 3


def test_images_without_labels(tmp_path):
    spec = DataSpec({"image": Image(16, 16, 3)})
    bare = {split: {"latent": part["latent"]} for split, part in splits().items()}
    dataset = load(Data(path=str(latents.save(tmp_path / "latents.npz", spec, bare, 1.0))))
    assert set(dataset.spec.fields) == {"latent"} and set(next(train_batches(dataset, 2, 0))) == {"index", "latent"}


NAN = np.full((4, 4, 4, 6), np.nan, np.float16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_std": None}, "latent_std as well"),
        ({"validation_latent": None}, "validation_latent as well"),
        ({"latent_std": np.float64(0)}, "one positive number, not 0"),
        ({"latent_std": np.ones(3)}, "one positive number"),
        ({"image_shape": np.array([16, 16])}, r"image_shape must be \(H, W, C\)"),
        ({"validation_latent": NAN}, "finite floats"),
        ({"validation_latent": moments(4)[:, :2]}, r"\(4, 2, 4, 6\)"),
        ({"train_latent": moments(4)[..., :5]}, r"\(4, 4, 4, 5\)"),
        ({"train_latent": moments(0)}, r"\(0, 4, 4, 6\)"),
        ({"train_label": None}, "train_label must be 10 integers below 3"),
        ({"train_label": np.arange(9)}, "train_label must be 10"),
        ({"train_label": np.full(10, 3)}, "below 3"),
        ({"class_names": None}, "below 0"),
        ({"class_names": np.array([["a", "b", "c"]])}, r"one name for each class, not \(1, 3\)"),
        ({"class_names": np.float32(1)}, "one name for each class"),
        ({"train_latent": np.ones((10, 4, 4))}, r"\(10, 4, 4\)"),
        ({"validation_latent": np.float32(1)}, "finite floats"),
    ],
)
def test_unusable_files_are_refused_in_one_line(tmp_path, changes, message):
    path = latents.save(tmp_path / "latents.npz", SPEC, splits(), 0.25)
    with np.load(path) as archive:
        arrays = {**archive, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(UserError, match=message) as raised:
        load(Data(path=str(path)))
    assert "\n" not in str(raised.value) and "latents.npz" in str(raised.value)


@pytest.mark.parametrize("option", [{"flip": True}, {"image_size": 8}, {"channels": 1}, {"random_crop": True}])
def test_options_of_images_are_refused(tmp_path, option):
    path = latents.save(tmp_path / "latents.npz", SPEC, splits(), 0.25)
    with pytest.raises(UsageError, match=f"--data.{next(iter(option)).replace('_', '-')} changes images"):
        load(Data(path=str(path), **option))


def test_a_flipped_bit_of_a_file_is_found(tmp_path):
    path = latents.save(tmp_path / "latents.npz", SPEC, splits(), 0.25)
    whole = path.read_bytes()
    start = whole.index(b"train_latent.npy") + 200  # within the numbers
    for place in range(start, start + 400, 50):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"latents\.npz"):
            load(Data(path=str(path)))


def test_a_place_below_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    spec = DataSpec({"image": Image(8, 8, 1)})
    with pytest.raises(UserError, match=r"cannot write .*x\.npz: .*; check the folder and the free space"):
        latents.save(tmp_path / "file" / "x.npz", spec, {"train": {"latent": np.zeros((1, 2, 2, 2), np.float32)}}, 1.0)
