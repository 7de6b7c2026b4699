"""Pictures of a folder through a generator, each in its own size and under its own name."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from systems import TINY, engine, spec_of

from genjax.errors import UsageError, UserError
from genjax.evaluation.turned import turned
from genjax.models.gan.cyclegan import CycleGANOptions
from genjax.models.gan.pix2pix import Pix2PixOptions
from genjax.runs.restore import OpenRun


def run(name):
    built = engine(name)
    return OpenRun(built, built.init(), None, None)


def write(folder, **sizes):
    folder.mkdir(exist_ok=True)
    for n, (name, size) in enumerate(sizes.items()):
        pixels = np.random.default_rng(n).integers(0, 256, (*size[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(folder / name.replace("_", "."))
    return folder


@pytest.mark.parametrize("name", ["cyclegan", "pix2pix"])
def test_every_picture_keeps_its_name_and_its_size(name, tmp_path, capsys):
    sizes = {"wide_png": (21, 9), "odd_jpg": (7, 13), "same_webp": (8, 8)}
    folder = write(tmp_path / "in", **sizes)
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    options = TINY[name].model.Options(path=str(folder))
    files = list(turned(run(name), options, tmp_path / "new" / "out", 0))
    assert sorted(file.name for file in files) == ["odd.jpg", "same.webp", "wide.png"]
    for file in files:
        with Image.open(file) as made, Image.open(folder / file.name) as given:
            assert made.size == given.size and made.format == given.format
    assert "broken.png: unreadable image" in capsys.readouterr().err


def test_a_picture_of_the_training_size_is_made_as_a_sample_is(tmp_path):
    opened, folder = run("cyclegan"), write(tmp_path / "in", a_png=(8, 8))
    options = CycleGANOptions(path=str(folder), direction="BtoA")
    (file,) = turned(opened, options, tmp_path / "out", 0)
    with Image.open(folder / "a.png") as image:
        given = np.asarray(image.convert("L"), np.float32)[None, :, :, None] / 127.5 - 1
    conditions = {"index": np.zeros(1, np.int32), "image_b": given}
    made = opened.engine.sample(opened.state, conditions, 0, dataclasses.replace(options, path=None))["image_a"]
    with Image.open(file) as image:
        np.testing.assert_allclose(np.asarray(image), (made[0, :, :, 0] + 1) * 127.5, atol=0.51)
    assert spec_of("cyclegan").fields["image_a"].channels == 1


def test_what_cannot_be_turned_is_told_in_one_line(tmp_path):
    folder, opened = write(tmp_path / "in", a_png=(8, 8)), run("pix2pix")

    def go(path, out="out", **options):
        return list(turned(opened, Pix2PixOptions(path=str(path), **options), tmp_path / out, 0))

    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        go(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="the pictures of --path are there, and would be overwritten"):
        go(folder, "in")
    with pytest.raises(UsageError, match="--direction BtoA: this model was trained AtoB"):
        go(folder, direction="BtoA")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="name a folder"):
        go(folder, "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images here"):
        go(tmp_path / "empty")
    (tmp_path / "empty" / "a.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"none of 1 pictures can be read; the last is .*a\.png"):
        go(tmp_path / "empty")
    assert [file.name for file in go(folder / "a.png")] == ["a.png"]
