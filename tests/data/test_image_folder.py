import numpy as np
import pytest
from PIL import Image as Pillow

from genjax.data import load, train_batches, validation_batches
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.spec import Image, Label


def write(path, color=(200, 30, 90), size=(8, 8), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("RGB", size, color).convert(mode).save(path, **options)


def pixels(dataset, count):
    return (next(validation_batches(dataset, count))["image"] + 1) * 127.5


def test_classes_are_the_sorted_subfolders_and_a_share_is_held_out(tmp_path):
    for n in range(8):
        write(tmp_path / "red" / f"{n}.png", (255, 0, 0))
        write(tmp_path / "blue" / "deeper" / f"{n}.JPG", (0, 0, 255), quality=95)
    (tmp_path / "red" / "notes.txt").write_text("not an image")
    write(tmp_path / "red" / "._0.png")
    (tmp_path / ".cache").mkdir()
    dataset = load(Data(path=str(tmp_path), validation=0.25))
    spec = dataset.spec
    assert spec.fields == {"image": Image(8, 8, 3), "label": Label(2, ("blue", "red"))}
    assert (spec.train_examples, spec.validation_examples) == (12, 4)
    batch = next(train_batches(dataset, 12, 0))
    assert batch["image"].dtype == np.float32 and batch["label"].dtype == np.int32
    colors = np.array([(0, 0, 255), (255, 0, 0)])[batch["label"]] / 127.5 - 1
    np.testing.assert_allclose(batch["image"][:, 4, 4], colors, atol=0.05)
    names = {dataset.train.name(i) for i in range(12)} | {dataset.validation.name(i) for i in range(4)}
    assert len(names) == 16
    assert not dataset.skipped


@pytest.mark.parametrize("held", ["validation", "val", "test"])
def test_splits_by_folder(tmp_path, held):
    for split, count in (("train", 3), (held, 2)):
        for n in range(count):
            write(tmp_path / split / f"{n}.png")
    dataset = load(Data(path=str(tmp_path)))
    assert (dataset.spec.train_examples, dataset.spec.validation_examples) == (3, 2)
    assert set(dataset.spec.fields) == {"image"} and "label" not in next(train_batches(dataset, 2, 0))


def test_splits_must_agree_on_classes(tmp_path):
    write(tmp_path / "train" / "cat" / "0.png")
    write(tmp_path / "test" / "dog" / "0.png")
    with pytest.raises(UserError, match="different classes: cat and dog"):
        load(Data(path=str(tmp_path)))


def test_resize_the_shorter_side_and_crop_the_centre(tmp_path):
    gradient = np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (16, 1, 3))
    for n in range(2):
        Pillow.fromarray(gradient).save(tmp_path / f"{n}.png")
    dataset = load(Data(path=str(tmp_path), image_size=8, random_crop=True, flip=True))
    assert dataset.spec.fields["image"].shape == (8, 8, 3)
    expected = np.asarray(Pillow.fromarray(gradient).resize((32, 8), Pillow.Resampling.BICUBIC))[:, 12:20]
    np.testing.assert_allclose(pixels(dataset, 1)[0], expected, atol=1e-3)
    batches = train_batches(dataset, 16, 0)
    corners = {tuple(image[0, [0, -1], 0].round(4)) for _ in range(3) for image in next(batches)["image"]}
    assert len(corners) > 15  # 25 places, mirrored or not
    assert {left < right for left, right in corners} == {True, False}


def test_modes_and_orientation(tmp_path):
    half = Pillow.new("RGBA", (4, 4), (0, 0, 0, 0))
    half.save(tmp_path / "0.png")  # transparent: white
    palette = Pillow.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(tmp_path / "1.gif")  # red
    Pillow.fromarray(np.full((4, 4), 128 << 8, np.uint16)).save(tmp_path / "2.png")  # 16 bits: middle grey
    turned = Pillow.new("RGB", (4, 4), "black")
    turned.paste("white", (0, 0, 4, 2))  # the upper half; orientation 6 turns it clockwise, to the right
    exif = Pillow.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "3.webp", exif=exif, lossless=True)
    Pillow.new("L", (4, 4), 7).save(tmp_path / "4.bmp")
    dataset = load(Data(path=str(tmp_path), channels=3))
    images = {}
    for source in (dataset.train, dataset.validation):
        batch = source.gather(np.arange(len(source)), None)
        for n, image in enumerate(batch["image"]):
            images[source.name(n)[-5:].lstrip("/")] = (image + 1) * 127.5
    np.testing.assert_allclose(images["0.png"], 255)
    np.testing.assert_allclose(images["1.gif"], np.broadcast_to([255, 0, 0], (4, 4, 3)), atol=1e-4)
    np.testing.assert_allclose(images["2.png"], 128, atol=1e-4)
    np.testing.assert_allclose(images[".webp"][:, :, 0], np.tile([0, 0, 255, 255], (4, 1)), atol=1e-4)
    np.testing.assert_allclose(images["4.bmp"], 7, atol=1e-4)
    assert load(Data(path=str(tmp_path), channels=1)).spec.fields["image"].shape == (4, 4, 1)


def test_grey_stays_grey(tmp_path):
    for n in range(3):
        write(tmp_path / f"{n}.png", mode="L", size=(5, 3))
    assert load(Data(path=str(tmp_path))).spec.fields["image"].shape == (3, 5, 1)


def torn(tmp_path):
    for n in range(6):
        write(tmp_path / "train" / f"{n}.png", (n, 0, 0))
        write(tmp_path / "test" / f"{n}.png", (n, 0, 0))
    for file in ("train/2.png", "test/2.png"):
        content = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(content[: len(content) // 2])
    (tmp_path / "train/0.png").write_bytes(b"")
    return Data(path=str(tmp_path), image_size=8)


def test_unreadable_images_are_replaced_named_and_not_counted(tmp_path):
    dataset = load(torn(tmp_path))
    first, again = (next(train_batches(dataset, 6, 0, workers=workers)) for workers in (2, 0))
    assert sorted(((first["image"][:, 0, 0, 0] + 1) * 127.5).round().tolist()) == [1, 1, 3, 3, 4, 5]
    np.testing.assert_array_equal(first["image"], again["image"])
    assert "valid" not in first
    held = next(validation_batches(dataset, 6))
    assert held["valid"].tolist() == [True, True, False, True, True, True]
    torn_files = ("train/0.png", "train/2.png", "test/2.png")
    assert set(dataset.skipped) == {str(tmp_path / file) for file in torn_files}


def test_strict_refuses_them(tmp_path):
    data = torn(tmp_path)
    with pytest.raises(UserError, match=r"0\.png: unreadable image"):
        load(Data(path=data.path, image_size=8, strict=True))
    (tmp_path / "train/0.png").unlink()
    with pytest.raises(UserError, match=r"2\.png: unreadable image"):
        load(Data(path=data.path, image_size=8, strict=True))
    for split in ("train", "test"):
        file = tmp_path / split / "2.png"  # its header is whole
        Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file)
        file.write_bytes(file.read_bytes()[:5000])
    dataset = load(Data(path=data.path, image_size=8, strict=True))
    with pytest.raises(UserError, match=r"2\.png: unreadable image"):
        next(train_batches(dataset, 5, 0))


def test_all_unreadable(tmp_path):
    for n in range(3):
        (tmp_path / f"{n}.jpg").write_bytes(b"nothing")
    for size in (None, 8):
        with pytest.raises(UserError, match="none of 3 images"):
            load(Data(path=str(tmp_path), image_size=size))


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(8, 8), (8, 9)], 8),
        ([(30, 21), (50, 39), (90, 80)], 32),  # the median of the shorter sides is 39
        ([(4, 5), (6, 5), (5, 9)], 5),
        ([(700, 500), (400, 300), (5, 5)], 256),
    ],
)
def test_different_sizes_become_the_median_of_the_shorter_sides(tmp_path, sizes, side):
    for n, size in enumerate(sizes):
        write(tmp_path / f"{n}.png", size=size)
    dataset = load(Data(path=str(tmp_path)))
    assert dataset.spec.fields["image"].shape == (side, side, 3)
    assert next(train_batches(dataset, 2, 0))["image"].shape == (2, side, side, 3)
    assert load(Data(path=str(tmp_path), image_size=4)).spec.fields["image"].shape == (4, 4, 3)


@pytest.mark.parametrize("image_size", [None, 8])
def test_one_image_in_colour_makes_all_colour(tmp_path, image_size):
    for n in range(200):
        write(tmp_path / f"{n:03}.png", mode="RGB" if n >= 150 else "L")
    assert load(Data(path=str(tmp_path), image_size=image_size)).spec.fields["image"].shape == (8, 8, 3)
    assert load(Data(path=str(tmp_path), image_size=image_size, channels=1)).spec.fields["image"].shape == (8, 8, 1)


def test_where_the_images_sampled_are_unreadable_the_others_tell(tmp_path):
    for n in range(130):  # every third is looked at
        write(tmp_path / "train" / f"{n:03}.png")
        if n % 3 == 0:
            (tmp_path / "train" / f"{n:03}.png").write_bytes(b"")
    write(tmp_path / "test" / "0.png")
    (tmp_path / "test" / "0.png").write_bytes(b"")
    assert load(Data(path=str(tmp_path), image_size=8)).spec.fields["image"].shape == (8, 8, 3)


def test_empty_and_ambiguous_folders(tmp_path):
    with pytest.raises(UserError, match="no images here"):
        load(Data(path=str(tmp_path)))
    write(tmp_path / "0.png")
    with pytest.raises(UserError, match="at least 2"):
        load(Data(path=str(tmp_path)))
    write(tmp_path / "cats" / "0.png")
    with pytest.raises(UserError, match="images beside its folders cats"):
        load(Data(path=str(tmp_path)))
