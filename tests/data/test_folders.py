"""Folders of images with metadata, of two domains, and what once was taken for something else."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from genjax.data import load, split_batches, train_batches, validation_batches
from genjax.data.dataset import hold_out
from genjax.data.pictures import read_image, read_mask
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.orders import Epochs, Unpaired
from genjax.spec import Image, Label, Real, Tokens

TEXT = Tokens((64,), 257, ragged=True, end=256)


def write(path, count=4, side=4, mode="L", suffix="png", first=0):
    path.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        Pillow.new("L", (side, side), first + n).convert(mode).save(path / f"{n}.{suffix}")


def numbers(image):
    return ((image[:, 0, 0, 0] + 1) * 127.5).round().astype(int)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_metadata_says_more_of_the_images(tmp_path, form):
    for split, count in (("train", 6), ("validation", 3), ("test", 2)):
        write(tmp_path / split, count + 1)  # one more than the metadata names
        rows = [{"file_name": f"{n}.png", "text": f"no. {n}", "size": n / 2, "kind": f"k{n % 2}"} for n in range(count)]
        if form == "jsonl":
            content = "\n".join(map(json.dumps, rows))
        else:
            content = "\n".join(["file_name,text,size,kind", *(",".join(map(str, row.values())) for row in rows)])
        (tmp_path / split / f"metadata.{form}").write_text(content)
    fields = ("image=image", "caption=text", "size=size", "label=kind:label")
    dataset = load(Data(path=str(tmp_path), fields=fields))
    label = Label(2, ("k0", "k1"))
    assert dataset.spec.fields == {"image": Image(4, 4, 1), "caption": TEXT, "size": Real(()), "label": label}
    assert [len(source) for source in dataset.splits.values()] == [6, 3, 2]
    for split in dataset.splits:
        batch = next(split_batches(dataset, split, 2))
        n = numbers(batch["image"])
        assert batch["size"].tolist() == (n / 2).tolist() and batch["label"].tolist() == (n % 2).tolist()
        assert [dataset.tokenizer.decode(row[:5]) for row in batch["caption"]] == [f"no. {k}" for k in n]
    assert sum("left out 1 images that it does not name" in note for note in dataset.notes) == 3
    assert load(Data(path=str(tmp_path))).spec.fields.keys() == {"image", "text", "size", "kind"}


def test_metadata_that_names_absent_pictures_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,a cat\n9.png,a dog\n")
    with pytest.raises(UserError, match=r"metadata\.csv: `file_name` names pictures that are not there: 1, .*9\.png"):
        load(Data(path=str(tmp_path)))
    (tmp_path / "metadata.csv").write_text("file,text\n0.png,a cat\n1.png,a dog\n")
    with pytest.raises(UserError, match="needs a column `file_name`; it has file, text"):
        load(Data(path=str(tmp_path)))


def test_two_domains(tmp_path):
    write(tmp_path / "trainA", 10)
    write(tmp_path / "trainB", 20, first=100)
    dataset = load(Data(path=str(tmp_path), validation=0.2))
    assert dataset.spec.fields == {"image_a": Image(4, 4, 1), "image_b": Image(4, 4, 1)}
    assert dataset.order == Unpaired() and (dataset.spec.train_examples, dataset.spec.validation_examples) == (16, 4)
    batches = train_batches(dataset, 8, 0)
    a, b = (
        np.concatenate(part)
        for part in zip(*[[numbers(x[name]) for name in ("image_a", "image_b")] for x, _ in zip(batches, range(4))])
    )
    assert np.bincount(a).max() == 4 and len(set(a)) == 8 and a.max() < 10
    assert np.bincount(b).max() == 2 and len(set(b)) == 16 and b.min() >= 100
    write(tmp_path / "testA", 3)
    write(tmp_path / "testB", 2)
    assert load(Data(path=str(tmp_path))).spec.validation_examples == 3
    write(tmp_path / "valA", 5)
    write(tmp_path / "valB", 5)
    spec = load(Data(path=str(tmp_path))).spec
    assert (spec.train_examples, spec.validation_examples, spec.test_examples) == (20, 5, 3)
    with pytest.raises(UsageError, match="the fields of two domains are image_a and image_b"):
        load(Data(path=str(tmp_path), fields=("x=image",)))


def test_a_domain_that_is_empty_or_missing_is_named(tmp_path):
    write(tmp_path / "trainA")
    with pytest.raises(UserError, match="trainA needs a folder trainB beside it"):
        load(Data(path=str(tmp_path)))
    (tmp_path / "trainB").mkdir()
    with pytest.raises(UserError, match="trainB: no images here: one of the two domains is empty"):
        load(Data(path=str(tmp_path)))


def test_files_of_one_name_are_pairs_in_the_order_of_epochs(tmp_path):
    for split, count in (("train", 8), ("val", 3)):
        write(tmp_path / f"{split}A", count)
        write(tmp_path / f"{split}B", count, first=100, suffix="bmp")
    dataset = load(Data(path=str(tmp_path), order=Epochs(), flip=True))
    batch = next(iter(train_batches(dataset, 8, 0)))
    a, b = numbers(batch["image_a"]), numbers(batch["image_b"])
    np.testing.assert_array_equal(b, a + 100)
    assert len(set(a)) == 8 and dataset.spec.validation_examples == 3
    (tmp_path / "trainB" / "5.bmp").rename(tmp_path / "trainB" / "other.bmp")
    with pytest.raises(UserError, match="trainA: 5 has no partner of that name in trainB"):
        load(Data(path=str(tmp_path), order=Epochs()))
    assert load(Data(path=str(tmp_path))).order == Unpaired()


@pytest.mark.parametrize(
    ("train", "held"), [("Train", "Test"), ("train", "testing"), ("training", "validation"), ("TRAIN", "dev")]
)
def test_names_of_splits(tmp_path, train, held):
    for split, count in ((train, 4), (held, 2)):
        for kind in ("cat", "dog"):
            write(tmp_path / split / kind, count)
    spec = load(Data(path=str(tmp_path))).spec
    assert spec.fields["label"] == Label(2, ("cat", "dog")) and (spec.train_examples, spec.validation_examples) == (
        8,
        4,
    )


def test_three_splits(tmp_path):
    for split, count in (("train", 4), ("val", 3), ("test", 2)):
        write(tmp_path / split, count)
    dataset = load(Data(path=str(tmp_path)))
    assert [len(source) for source in dataset.splits.values()] == [4, 3, 2] and dataset.spec.test_examples == 2
    assert sum(batch["valid"].sum() for batch in split_batches(dataset, "test", 4)) == 2
    with pytest.raises(UserError, match="no test split, only train and validation"):
        split_batches(load(Data()), "test", 4)


def test_an_unlabelled_test_split_beside_labelled_training_is_left_out_and_said(tmp_path):
    for kind in ("cat", "dog"):
        write(tmp_path / "train" / kind, 10)
    write(tmp_path / "test", 5)
    dataset = load(Data(path=str(tmp_path)))
    assert dataset.spec.fields["label"].classes == 2 and dataset.spec.train_examples == 18
    assert "left out 5 images that are in no class" in dataset.notes[0]


def test_classes_keep_the_order_of_their_folders(tmp_path):
    for kind in ("10", "9", "1"):
        write(tmp_path / kind)
    assert load(Data(path=str(tmp_path))).spec.fields["label"].names == ("1", "10", "9")


def test_a_linked_folder_is_a_class_and_links_in_circles_end(tmp_path):
    write(tmp_path / "data" / "cat")
    write(tmp_path / "elsewhere" / "dog")
    os.symlink(tmp_path / "elsewhere" / "dog", tmp_path / "data" / "dog")
    os.symlink(tmp_path / "data" / "cat", tmp_path / "data" / "cat" / "again")
    dataset = load(Data(path=str(tmp_path / "data")))
    assert dataset.spec.fields["label"].names == ("cat", "dog")
    assert dataset.spec.train_examples + dataset.spec.validation_examples == 8


@pytest.mark.parametrize("suffix", ["tif", "TIFF", "gif"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_suffixes_and_channels(tmp_path, suffix, mode):
    write(tmp_path, suffix=suffix, first=60)
    if mode == "RGB":
        Pillow.new("RGB", (4, 4), (9, 90, 200)).save(tmp_path / f"red.{suffix}")
    dataset = load(Data(path=str(tmp_path)))
    assert dataset.spec.fields["image"].channels == (1 if mode == "L" else 3)
    assert min(numbers(next(validation_batches(dataset, 1))["image"])) >= 9


def test_16_bit_tiff(tmp_path):
    for n in range(4):
        Pillow.fromarray(np.full((4, 4), 256 * n + 7, np.uint16)).save(tmp_path / f"{n}.tif")
    batch = next(train_batches(load(Data(path=str(tmp_path))), 3, 0))
    assert set(numbers(batch["image"])) <= {0, 1, 2, 3}


def test_files_that_are_no_images_are_counted(tmp_path):
    write(tmp_path / "cat")
    for name in ("a.heic", "b.heic", "notes.txt"):
        (tmp_path / "cat" / name).write_text("")
    assert load(Data(path=str(tmp_path))).notes == (
        f"{tmp_path / 'cat'}: files that are no images are not read: 2 .heic, 1 .txt",
    )


def test_the_only_example_of_a_class_is_not_held_out():
    label_N = np.array([0] * 40 + [1, 2, 3])
    for share in (0.1, 0.5, 0.9):
        train, held = hold_out(43, share, "x", label_N)
        assert set(label_N[train]) == {0, 1, 2, 3} and len(held) == round(43 * share)
        assert sorted([*train, *held]) == list(range(43))
    assert (np.diff(train) > 0).all() and (np.diff(held) < 0).any()  # of data in order, the first few are a mixture
    plain = hold_out(40, 0.1, "x")
    assert all(np.array_equal(a, b) for a, b in zip(plain, hold_out(40, 0.1, "x", np.arange(40) % 3)))


@pytest.mark.parametrize("kind", ["01", "255", "16bit", "16bit01", "alpha", "palette", "1"])
def test_masks_are_white_where_they_say_so(tmp_path, kind):
    half = np.zeros((8, 8), np.uint8)
    half[:, :4] = 1
    image = {
        "01": lambda: Pillow.fromarray(half),
        "255": lambda: Pillow.fromarray(half * 255),
        "16bit": lambda: Pillow.fromarray(half.astype(np.uint16) * 65535),
        "16bit01": lambda: Pillow.fromarray(half.astype(np.uint16)),
        "alpha": lambda: Pillow.fromarray(np.stack([np.full_like(half, 255)] * 3 + [half * 255], axis=-1)),
        "palette": lambda: Pillow.fromarray(half).convert("P"),
        "1": lambda: Pillow.fromarray(half * 255).convert("1"),
    }[kind]()
    if kind == "palette":
        image = Pillow.fromarray(half, "P")
        image.putpalette([0, 0, 0, 255, 255, 255] + [0] * 762)
    image.save(tmp_path / "mask.png")
    Pillow.new("RGB", (8, 8)).save(tmp_path / "init.png")
    mask = read_mask(str(tmp_path / "mask.png"), (8, 8, 3), str(tmp_path / "init.png"))
    np.testing.assert_array_equal(mask[..., 0], half)


@pytest.mark.parametrize("other", ["eval", "holdout"])
def test_a_folder_beside_a_split_that_is_none_is_named(tmp_path, other):
    for place in ("train/a", "train/b", f"{other}/a", f"{other}/b"):
        write(tmp_path / place)
    with pytest.raises(UserError, match=f"train is a split, and {other} beside it is none: name it validation"):
        load(Data(path=str(tmp_path)))
    (tmp_path / other).rename(tmp_path / "Train")
    with pytest.raises(UserError, match="Train and train are both the train split"):
        load(Data(path=str(tmp_path)))


@pytest.mark.parametrize("inside", ["", "cat"])
def test_a_split_beside_classes_is_no_class(tmp_path, inside):
    for place in (tmp_path / "cat", tmp_path / "dog", tmp_path / "test" / inside):
        write(place)
    with pytest.raises(UserError, match=r"is test a split, or a class like cat\? If a split, move the classes into"):
        load(Data(path=str(tmp_path)))


def test_a_class_may_be_called_train(tmp_path):
    for place in ("car", "train"):
        write(tmp_path / place)
    assert load(Data(path=str(tmp_path))).spec.fields["label"].names == ("car", "train")


def test_pixels_of_floats_and_of_16_bits(tmp_path):
    grey = np.linspace(0, 1, 64).reshape(8, 8)
    for n, pixels in enumerate(
        (grey.astype(np.float32), (grey * 65535).astype(np.uint16), (grey * 65535).astype(np.int32))
    ):
        Pillow.fromarray(pixels).save(tmp_path / f"{n}.tif")
    Pillow.fromarray((grey * 1000).astype(np.float32)).save(tmp_path / "odd.tif")
    dataset = load(Data(path=str(tmp_path)))
    image = np.concatenate([source.gather(np.arange(len(source)))["image"] for source in dataset.splits.values()])
    assert all(abs(shown[..., 0] - (2 * grey - 1)).max() < 0.01 for shown in image)
    assert [Path(name).name for name in dataset.skipped] == ["odd.tif"]


@pytest.mark.parametrize("value", [0, 100])
def test_a_mask_that_is_white_nowhere_is_refused(tmp_path, value):
    Pillow.fromarray(np.full((8, 8), value, np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(UsageError, match=r"mask\.png' is white nowhere"):
        read_mask(str(tmp_path / "mask.png"), (8, 8, 3), str(tmp_path / "mask.png"))


@pytest.mark.parametrize("colour", [0, 1, 255])
@pytest.mark.parametrize("alpha", [1, 255])
def test_the_alpha_of_a_mask_of_one_colour_is_the_mask(tmp_path, colour, alpha):
    half = np.arange(64).reshape(8, 8) % 8 < 4
    pixels = np.full((8, 8, 4), colour, np.uint8)
    pixels[..., 3] = half * alpha
    Pillow.fromarray(pixels).save(tmp_path / "mask.png")
    mask = read_mask(str(tmp_path / "mask.png"), (8, 8, 3), str(tmp_path / "mask.png"))
    np.testing.assert_array_equal(mask[..., 0], half)


def test_pictures_that_expand_are_refused_before(tmp_path):
    Pillow.new("1", (12_000, 12_000)).save(tmp_path / "bomb.png")  # 3 kB
    with pytest.raises(UsageError, match="it has 12000 x 12000 pixels; at most"):
        read_image(str(tmp_path / "bomb.png"), (8, 8, 1), "--init")
    (tmp_path / "a").mkdir()
    for n in range(3):
        Pillow.new("L", (8, 8)).save(tmp_path / "a" / f"{n}.png")
    (tmp_path / "bomb.png").rename(tmp_path / "a" / "bomb.png")
    Pillow.new("L", (1, 60_000)).save(tmp_path / "a" / "thin.png")
    dataset = load(Data(path=str(tmp_path / "a"), image_size=256))
    for source in (dataset.train, dataset.validation):
        source.gather(np.arange(len(source)))
    assert {Path(name).name for name in dataset.skipped} == {"bomb.png", "thin.png"}
    with pytest.raises(UserError, match=r"(bomb|thin)\.png: unreadable image \("):
        dataset = load(Data(path=str(tmp_path / "a"), image_size=256, strict=True))
        dataset.train.gather(np.arange(len(dataset.train)))
