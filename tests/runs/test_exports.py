"""Samples for other evaluators: ADM's .npz file, and a folder of PNG files."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image as Pillow

from genjax.errors import UsageError, UserError
from genjax.runs.exports import save_archive, save_pictures
from genjax.spec import Image, Tokens

FIELDS = {"image": Image(4, 4, 3)}


def parts(*counts, channels=3):
    for seed, count in enumerate(counts):
        image = np.random.default_rng(seed).uniform(-1.2, 1.2, (count, 4, 4, channels)).astype(np.float32)
        yield {"image": image}, {"index": np.arange(count), "label": np.full(count, seed, np.int32)}


def test_an_archive_is_in_adms_layout_however_the_samples_are_cut(tmp_path):
    file = save_archive(tmp_path / "new" / "x.npz", parts(3, 2), FIELDS, 5)
    with np.load(file, allow_pickle=False) as archive:
        assert set(archive) == {"arr_0", "arr_1", "image"}
        image = np.concatenate([outputs["image"] for outputs, _ in parts(3, 2)])
        np.testing.assert_array_equal(archive["image"], image)
        np.testing.assert_array_equal(archive["arr_0"], np.round((image.clip(-1, 1) + 1) * 127.5).astype(np.uint8))
        assert archive["arr_0"].dtype == np.uint8 and archive["arr_1"].tolist() == [0, 0, 0, 1, 1]
    assert [path.name for path in file.parent.iterdir()] == ["x.npz"]


def test_arrays_without_pictures_and_with_several_are_kept_as_they_are(tmp_path):
    tokens = {"tokens": np.arange(6).reshape(2, 3), "tokens_length": np.array([3, 1])}
    file = save_archive(tmp_path / "x.npz", [(tokens, {})], {"tokens": Tokens((3,), 9)}, 2)
    with np.load(file, allow_pickle=False) as archive:
        assert {name: archive[name].tolist() for name in archive} == {k: v.tolist() for k, v in tokens.items()}
    both = [({"a": outputs["image"], "b": outputs["image"]}, given) for outputs, given in parts(2)]
    with np.load(save_archive(tmp_path / "y.npz", both, dict.fromkeys("ab", Image(4, 4, 3)), 2)) as archive:
        assert set(archive) == {"a", "b"}


def test_one_part_is_in_memory_at_a_time(tmp_path):
    def many():
        for _ in range(40):
            yield {"image": np.zeros((500, 4, 4, 3), np.float32)}, {"label": np.zeros(500, np.int32)}

    tracemalloc.start()
    file = save_archive(tmp_path / "x.npz", many(), FIELDS, 20_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6 < 2e7 // 3 and np.load(file)["arr_0"].shape == (20_000, 4, 4, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_holds_a_file_for_each_sample(tmp_path, channels):
    folder = save_pictures(tmp_path / "made", parts(3, 2, channels=channels), {"image": Image(4, 4, channels)})
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [f"{number:06}.png" for number in range(5)]
    image = np.concatenate([outputs["image"] for outputs, _ in parts(3, 2, channels=channels)])
    read = np.stack([np.asarray(Pillow.open(file)) for file in files]).reshape(image.shape)
    np.testing.assert_array_equal(read, np.round((image.clip(-1, 1) + 1) * 127.5))


def test_what_cannot_be_written_is_one_line(tmp_path):
    save_pictures(tmp_path / "made", parts(1), FIELDS)
    with pytest.raises(UserError, match="is not empty"):
        save_pictures(tmp_path / "made", parts(1), FIELDS)
    with pytest.raises(UsageError, match="pictures of one field, and these samples have 0"):
        save_pictures(tmp_path / "words", [({"tokens": np.zeros((1, 2))}, {})], {"tokens": Tokens((2,), 9)})
    with pytest.raises(UserError, match="cannot write"):
        save_archive(tmp_path / "made" / "000000.png" / "x.npz", parts(1), FIELDS, 1)
