import itertools
import subprocess
import sys

import numpy as np
import pytest

from genjax.data import known_spec, load, require_unchanged, train_batches, validation_batches
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.orders import Epochs, Examples, Streams
from genjax.spec import Image, Label, Mask, Tokens


def take(batches, count):
    return list(itertools.islice(batches, count))


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """20 + 7 coloured images of 6x9, cropped and mirrored at random, labelled by their number."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("numbered") / "numbered.npz"
    np.savez(
        path,
        train_image=rng.integers(0, 256, (20, 6, 9, 3), dtype=np.uint8),
        train_label=np.arange(20),
        test_image=rng.integers(0, 256, (7, 6, 9, 3), dtype=np.uint8),
        test_label=np.arange(7),
    )
    return load(Data(path=str(path), image_size=6, flip=True, random_crop=True))


def batch_ids(count, batch_size, seed, step):
    return Epochs().plans(Examples(count), batch_size, seed)(step).ids_B


def test_an_epoch_holds_each_example_at_most_once_and_epochs_differ():
    epochs = [np.concatenate([batch_ids(23, 5, 7, 4 * epoch + step) for step in range(4)]) for epoch in range(3)]
    for ids in epochs:
        assert len(set(ids.tolist())) == 20 and ids.min() >= 0 and ids.max() < 23
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], np.concatenate([batch_ids(23, 5, 8, step) for step in range(4)]))


def test_a_data_set_smaller_than_the_batch_is_repeated_evenly():
    ids = np.concatenate([batch_ids(3, 8, 0, step) for step in range(6)])
    assert np.bincount(ids).tolist() == [16, 16, 16]
    assert set(batch_ids(3, 8, 0, 0)[:3].tolist()) == {0, 1, 2}


def test_batch_is_a_function_of_seed_and_step(numbered):
    whole = take(train_batches(numbered, 8, 3), 7)
    assert not np.array_equal(whole[0]["image"], whole[1]["image"])
    for workers in (0, 1, 3):
        for ours, theirs in zip(take(train_batches(numbered, 8, 3, start_step=4, workers=workers), 3), whole[4:]):
            assert_equal(ours, theirs)
    assert not np.array_equal(next(train_batches(numbered, 8, 4))["label"], whole[0]["label"])


@pytest.mark.parametrize("source", ["numbered", "pydoc"])
def test_rows_do_not_depend_on_the_process_that_draws_them(numbered, source):
    dataset = numbered if source == "numbered" else load(Data(source="pydoc", context=8))
    whole = next(train_batches(dataset, 8, 3, start_step=2))
    assert whole["index"].tolist() == list(range(8)) and whole["index"].dtype == np.int32
    for rows in (slice(0, 3), slice(3, 8)):
        part = next(train_batches(dataset, 8, 3, start_step=2, rows=lambda count: rows))
        assert_equal(part, {name: value[rows] for name, value in whole.items()})


def test_augmented_images_are_crops_and_mirrors_of_their_originals(numbered):
    originals = numbered.train.members["image"].image_NHWC.astype(np.float32) / 127.5 - 1
    seen = set()
    for batch in take(train_batches(numbered, 8, 0), 10):
        for image, label in zip(batch["image"], batch["label"]):
            crops = {(left, 1): originals[label, :, left : left + 6] for left in range(4)}
            crops |= {(left, -1): crop[:, ::-1] for (left, _), crop in crops.items()}
            matches = [key for key, crop in crops.items() if np.allclose(image, crop, atol=1e-6)]
            assert len(matches) == 1
            seen.add(matches[0])
    assert len(seen) == 8


def test_validation_goes_once_in_order_unaugmented_and_marks_the_filling(numbered):
    batches = list(validation_batches(numbered, 4))
    assert [batch["valid"].tolist() for batch in batches] == [[True] * 4, [True] * 3 + [False]]
    assert np.concatenate([batch["label"] for batch in batches]).tolist() == [0, 1, 2, 3, 4, 5, 6, 6]
    centre = numbered.validation.members["image"].image_NHWC[:4, :, 1:7]
    np.testing.assert_allclose(batches[0]["image"], centre / 127.5 - 1, atol=1e-6)
    parts = [next(validation_batches(numbered, 4, rows=lambda count: rows)) for rows in (slice(0, 1), slice(1, 4))]
    assert_equal({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, batches[0])


@pytest.mark.parametrize(("examples", "counted"), [(None, 7), (5, 5), (4, 4), (100, 7)])
def test_validation_may_be_limited(numbered, examples, counted):
    batches = list(validation_batches(numbered, 4, examples=examples))
    assert sum(batch["valid"].sum() for batch in batches) == counted
    assert len(batches) == -(-counted // 4)


def test_digits():
    dataset = load(Data())
    assert dataset.spec.fields == {"image": Image(8, 8, 1), "label": Label(10, tuple("0123456789"))}
    assert known_spec(Data()).fields == {"image": Image(8, 8, 1), "label": Label(10)}
    assert (dataset.spec.train_examples, dataset.spec.validation_examples) == (1500, 297)
    batch = next(train_batches(dataset, 64, 0))
    assert batch["image"].dtype == np.float32 and batch["label"].dtype == np.int32
    assert batch["image"].shape == (64, 8, 8, 1) and (batch["image"].min(), batch["image"].max()) == (-1, 1)
    assert set(np.unique(batch["image"] * 8 + 8)) <= set(range(17))
    rows = {image.tobytes() for image in dataset.train.members["image"].image_NHWC}
    assert sum(image.tobytes() in rows for image in dataset.validation.members["image"].image_NHWC) == 0


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (Data(source="pydoc", context=8), {"tokens": Tokens((8,), 256, shifted=True)}),
        (Data(source="pydoc", tokenizer="bpe:300"), {"tokens": Tokens((64,), 300, shifted=True)}),
        (Data(source="pydoc", tokenizer="char"), {}),
        (Data(path="absent.txt", order=Streams()), {"tokens": Tokens((64,), 256, shifted=True), "starts": Mask(())}),
        (Data(path="absent.tsv"), {}),
        (Data(path="absent.npz"), {}),
        (Data(source="tfds:celeb_a", image_size=64), {"image": Image(64, 64, 3)}),
        (Data(source="hf:mnist"), {}),
    ],
)
def test_what_a_recipe_tells_of_its_data(data, fields):
    assert known_spec(data).fields == fields


@pytest.mark.parametrize(
    ("source", "meant"),
    [("digit", "digits"), ("pidoc", "pydoc"), ("tdfs:mnist", "tfds:NAME"), ("tfds:", "tfds:NAME")],
)
def test_unknown_source_suggests_the_nearest(source, meant):
    with pytest.raises(UsageError, match=rf"did you mean {meant}\? the sources are .*hf:NAME, .*tfds:NAME$"):
        load(Data(source=source))


def test_an_unknown_source_may_be_a_recipe_s_own():
    with pytest.raises(UsageError, match=r"--data.source squares: the sources are .*--recipe FILE names it$"):
        load(Data(source="squares"))


@pytest.mark.parametrize(
    "wrong", [{"validation": 0.0}, {"validation": 1.5}, {"image_size": 0}, {"context": 0}, {"workers": -1}]
)
def test_impossible_numbers_name_their_option(wrong):
    with pytest.raises(UsageError, match="--data." + next(iter(wrong)).replace("_", "-")):
        load(Data(**wrong))


def test_missing_path():
    with pytest.raises(UserError, match="nowhere: no such file"):
        load(Data(path="nowhere"))


def test_import_is_light():
    heavy = ("tensorflow", "tensorflow_datasets", "grain", "sklearn", "tokenizers")
    code = f"import sys, genjax.data; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_run_notices_that_its_data_has_changed(tmp_path):
    text = tmp_path / "text.txt"

    def loaded(content, tokenizer="char"):
        text.write_text(content)
        return load(Data(path=str(text), context=4, tokenizer=tokenizer))

    then = loaded("abc " * 50)
    require_unchanged(then, then.spec, then.tokenizer)
    require_unchanged(loaded("cab " * 70), then.spec, then.tokenizer)
    for changed, message in (
        (loaded("abcd" * 50 + " "), "vocabulary of `tokens` was 4, and is 5 now"),
        (loaded("abd " * 50), "its text gives other tokens"),
        (loaded("abc " * 50, "byte"), "vocabulary of `tokens` was 4, and is 256 now"),
        (load(Data()), "`tokens` was text of up to 4 tokens, and is not there now"),
    ):
        with pytest.raises(UserError, match=f"the data is not what the run was trained on: .*{message}"):
            require_unchanged(changed, then.spec, then.tokenizer)
