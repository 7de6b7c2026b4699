"""Films: what they hold, frame by frame, and what is refused."""

import sys

import numpy as np
import pytest
from PIL import Image

from genjax.errors import UsageError, UserError
from genjax.runs.films import film, write_training_film


@pytest.fixture
def run(tmp_path):
    """A run with sheets of three steps, darker from step to step, and one sheet of another kind."""
    (tmp_path / "samples").mkdir()
    for step, value in ((5, 200), (10, 120), (100, 40)):
        Image.new("L", (31, 20), value).save(tmp_path / "samples" / f"{step}.png")
    Image.new("RGB", (31, 20)).save(tmp_path / "samples" / "5-reconstruct.png")
    return tmp_path


def test_training_is_shown_from_its_first_sheet_to_its_last(run):
    with Image.open(write_training_film(run, run / "training.gif")) as shown:
        values = []
        for frame in range(shown.n_frames):
            shown.seek(frame)
            values += [shown.convert("L").getpixel((15, 10))] * round(shown.info["duration"] / 330)
    assert values[:3] == [200, 120, 40] and set(values[3:]) == {40}


def test_what_is_no_film_is_said_in_one_line(run):
    with pytest.raises(UsageError, match=r"\.gif or \.mp4"):
        write_training_film(run, run / "training.png")
    with pytest.raises(UserError, match=r"1 sheet.*two: train with a smaller --train.sample-every"):
        write_training_film(run, run / "training.gif", "reconstruct")
    with pytest.raises(UserError, match=r"0 sheet.*there are --of reconstruct"):
        write_training_film(run, run / "training.gif", "walk")
    (run / "texts" / "samples").mkdir(parents=True)
    (run / "texts" / "samples" / "5.txt").write_text("Once")
    with pytest.raises(UserError, match="draws texts"):
        write_training_film(run / "texts", run / "training.gif")
    Image.effect_noise((300, 300), 90).save(run / "samples" / "5.png")  # of several chunks
    begin, _, end = (run / "samples" / "5.png").read_bytes().rpartition(b"IDAT")
    for damaged in (b"no picture", begin + b"\0DAT" + end):
        (run / "samples" / "5.png").write_bytes(damaged)
        with pytest.raises(UserError, match="no readable picture"):
            write_training_film(run, run / "training.gif")


def test_an_mp4_has_every_frame_in_even_sides(tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    file = tmp_path / "film.mp4"
    file.write_bytes(film([np.full((21, 31), value, np.uint8) for value in (250, 128, 4)], ".mp4"))
    meta, *frames = imageio_ffmpeg.read_frames(str(file))
    assert meta["size"] == (32, 22)
    middles = [np.frombuffer(frame, np.uint8).reshape(22, 32, 3)[10, 15].astype(int) for frame in frames]
    assert np.abs(np.array(middles) - np.array([[250], [128], [4]])).max() < 12


def test_without_an_encoder_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match=r"genjax-suite\[film\]"):
        film([np.zeros((2, 2), np.uint8)], ".mp4")
