"""Pictures that somebody else has made: folders and .npz files against a data set."""

import numpy as np
import pytest
from PIL import Image

from genjax import cli
from genjax.errors import UsageError, UserError
from genjax.evaluation.pictures import measure_pictures
from genjax.experiment import Data

DIGITS = Data(source="digits")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pixels(count, seed=0, side=8, channels=1):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)


def folder(place, image_NHWC):
    place.mkdir()
    for n, image in enumerate(image_NHWC):
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(place / f"{n:03}.png")
    return str(place)


def test_a_folder_and_arrays_of_the_same_pictures_are_the_same(tmp_path):
    image = pixels(40)
    np.savez(tmp_path / "own.npz", image=image, label=np.arange(40) % 2)
    np.savez(tmp_path / "adm.npz", arr_0=image, arr_1=np.zeros(40, np.int64))
    made = [folder(tmp_path / "made", image), str(tmp_path / "own.npz"), str(tmp_path / "adm.npz")]
    values = [measure_pictures(place, DIGITS, ("fd", "pr"), split="validation") for place in made]
    assert set(values[0]) == {f"{name}40_digits{se}" for name in ("fd", "precision", "recall") for se in ("", "_se")}
    assert values[1] == pytest.approx(values[0], rel=1e-4) and values[2] == pytest.approx(values[0], rel=1e-4)


def test_a_set_is_nearest_to_itself(tmp_path):
    place = folder(tmp_path / "real", pixels(40, side=9, channels=3))
    values = measure_pictures(place, Data(path=place), ("fd", "swd", "pr"), features="random")
    assert values["fd40_random"] == pytest.approx(0, abs=1e-6) and values["precision40_random"] == 1
    assert values["swd40"] == pytest.approx(0, abs=1e-3)


def test_grey_pictures_beside_coloured_ones(tmp_path):
    real, made = folder(tmp_path / "real", pixels(30, 1, channels=3)), folder(tmp_path / "made", pixels(30))
    assert measure_pictures(made, Data(path=real), ("fd",), features="random")["fd30_random"] > 0


def test_features_that_are_there_already(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("real", "made"):
        np.savez(tmp_path / f"{name}.npz", features=rng.normal(size=(50, 4)), logits=rng.normal(size=(50, 3)))
    made, data = str(tmp_path / "made.npz"), Data(path=str(tmp_path / "real.npz"))
    assert {"fd50_given", "is50_given", "precision50_given"} <= set(measure_pictures(made, data, ("fd", "is", "pr")))
    for metrics, features, words in (
        (("fid",), None, "not those of given"),
        (("swd",), None, "swd compares pictures"),
        (("fd",), "random", "leave it out"),
    ):
        with pytest.raises(UsageError, match=words):
            measure_pictures(made, data, metrics, features=features)
    np.savez(tmp_path / "made.npz", features=np.ones((50, 5)))
    with pytest.raises(UserError, match="5 features each, and the references 4"):
        measure_pictures(made, data, ("fd",))


@pytest.mark.parametrize("damage", ["empty", "cut", "objects"])
def test_a_damaged_file_is_named(tmp_path, damage):
    made, data = tmp_path / "made.npz", Data(path=str(tmp_path / "real.npz"))
    np.savez(tmp_path / "real.npz", features=np.ones((50, 4)))
    np.savez(made, features=np.array([None] * 50) if damage == "objects" else np.ones((50, 4)))
    if damage != "objects":
        made.write_bytes(made.read_bytes()[: 300 * (damage == "cut")])
    for against in (DIGITS, data):
        with pytest.raises(UserError, match=r"made\.npz: not a readable \.npz file"):
            measure_pictures(str(made), against, ("fd",))


def test_mistakes_are_one_line(tmp_path, capsys):
    made = folder(tmp_path / "made", pixels(30))
    real = folder(tmp_path / "real", pixels(30, side=12))
    few = folder(tmp_path / "few", pixels(4))
    (tmp_path / "torn.npz").write_bytes(b"PK")

    def line(*argv, status):
        with pytest.raises(SystemExit) as exit:
            cli.main(["eval", *argv])
        assert exit.value.code == status
        (found,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("genjax: ")]
        return found

    assert "choose --metrics" in line(made, status=2)
    assert "match does not measure pictures alone" in line(made, "--metrics", "match", status=2)
    assert "choose --features digits, digit_pairs, classifier" in line(
        made, "--metrics", "fd", "--data.path", made, status=2
    )
    sizes = line(made, "--metrics", "swd", "--data.path", real, status=1)
    assert "8 x 8 x 1" in sizes and "12 x 12 x 1" in sizes and "--data.image-size" in sizes
    assert "dc needs at least 6 samples, and there are 4" in line(few, "--metrics", "dc", status=1)
    assert "is needs the probabilities of classes" in line(made, "--metrics", "is", "--features", "random", status=2)
    assert "fid is the Fréchet distance over Inception's" in line(
        made, "--metrics", "fid", "--features", "digits", status=2
    )
    assert "inception:FILE needs its weights" in line(made, "--metrics", "fid", status=2)
    assert "torn.npz" in line(str(tmp_path / "torn.npz"), "--metrics", "fd", status=1)
    assert "no_weights.pth" in line(made, "--metrics", "fid", "--features", "inception:no_weights.pth", status=1)
