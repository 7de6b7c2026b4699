import jax
import numpy as np
import pytest

from genjax.bench.spec import abstract_batch
from genjax.data import latents, load, train_batches, validation_batches
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.spec import DataSpec

SPEC = DataSpec(image_shape=(16, 16, 3), classes=3, class_names=("cat", "dog", "owl"))


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
    expected = DataSpec(
        image_shape=(16, 16, 3),
        classes=3,
        class_names=("cat", "dog", "owl"),
        latent_shape=(4, 4, 3),
        latent_std=0.25,
        train_examples=10,
        validation_examples=4,
    )
    assert dataset.spec == expected
    batch = next(validation_batches(dataset, 4))
    assert batch["latent"].dtype == np.float32 and batch["label"].tolist() == [2, 1, 0, 0]
    np.testing.assert_array_equal(batch["latent"], moments(4, seed=1).astype(np.float32))


def test_training_batches_have_the_shapes_that_plans_count_with(tmp_path):
    dataset = load(Data(path=str(latents.save(tmp_path / "latents.npz", SPEC, splits(), 0.25))))
    batch = next(train_batches(dataset, 5, 0))
    shapes = {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in batch.items()}
    assert shapes == abstract_batch(dataset.spec, 5, None)
    for latent, label in zip(batch["latent"], batch["label"]):
        (row,) = np.flatnonzero((moments(10).astype(np.float32) == latent).all((1, 2, 3)))
        assert label == row % 3


def test_images_without_labels(tmp_path):
    spec = DataSpec(image_shape=(16, 16, 3))
    bare = {split: {"latent": part["latent"]} for split, part in splits().items()}
    dataset = load(Data(path=str(latents.save(tmp_path / "latents.npz", spec, bare, 1.0))))
    assert dataset.spec.classes is None and set(next(train_batches(dataset, 2, 0))) == {"index", "latent"}


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
