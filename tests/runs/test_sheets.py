"""Samples as files: a renderer for each kind of field."""

import numpy as np
import pytest
from PIL import Image as Pillow

from genjax.errors import UsageError, UserError
from genjax.models.base import Layout
from genjax.runs.grids import CAPTION, GAP, WIDTH, beside, image_grid
from genjax.runs.sheets import save_outputs, save_samples
from genjax.spec import Image, Label, Tokens

IMAGE, TEXT = Image(8, 8, 1), Tokens((3,), 256, ragged=True)


class Letters:
    def decode(self, ids):
        assert all(type(i) is int for i in ids)
        return "".join(map(chr, ids))


def grey(*values, side=8):
    return np.asarray(values, np.float32)[:, None, None, None] * np.ones((len(values), side, side, 1), np.float32)


def pixels(path):
    return np.asarray(Pillow.open(path))


def tokens(*texts, name="tokens"):
    ids = np.zeros((len(texts), max(map(len, texts))), np.int32)
    for row, text in zip(ids, texts):
        row[: len(text)] = [ord(letter) for letter in text]
    return {name: ids, f"{name}_length": np.array([len(text) for text in texts])}


def test_grid_of_small_images_is_enlarged_without_smoothing(tmp_path):
    images = np.linspace(-1, 1, 5)[:, None, None, None] * np.ones((5, 8, 8, 1))
    (path,) = save_samples(tmp_path / "samples" / "12", {"image": images}, {"image": IMAGE})
    grid = pixels(path)
    size = 17 * 8  # 3 columns: the least whole factor that makes 400 pixels is 17
    assert grid.shape == (2 * size + 2, 3 * size + 4)
    tiles = [grid[r : r + size, c : c + size] for r in (0, size + 2) for c in (0, size + 2, 2 * (size + 2))]
    assert [np.unique(tile).tolist() for tile in tiles] == [[0], [64], [128], [191], [255], [255]]
    assert (grid[size : size + 2] == 255).all()
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["12.png"]  # no temporary file stays


def test_colour_is_kept_and_values_are_clipped():
    image = np.full((1, 500, 500, 3), np.array([-7.0, 7.0, np.nan]))
    grid = image_grid(image)
    assert grid.shape == (500, 500, 3) and grid[0, 0].tolist() == [0, 255, 128]


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 2), (0, 8, 8, 1)])
def test_what_is_no_picture_is_refused(shape):
    with pytest.raises(UserError, match="no pictures"):
        image_grid(np.zeros(shape))


def test_the_layout_decides_on_columns():
    images = grey(*np.linspace(-1, 1, 16))
    factor = -(-WIDTH // (8 * 8))  # small images are enlarged
    assert image_grid(images, columns=8).shape == (2 * (8 * factor + GAP) - GAP, 8 * (8 * factor + GAP) - GAP)
    assert image_grid(images[:1], columns=8).shape == image_grid(images[:1]).shape  # fewer than a row


def test_pictures_stand_beside_what_they_were_made_from(tmp_path):
    outputs, given = {"image": grey(1.0, 1.0, 1.0)}, {"image": grey(-1.0, -1.0, -1.0), "index": np.arange(3)}
    layout = Layout(beside=("given.image", "image"), columns=4)
    (path,) = save_samples(tmp_path / "pairs", outputs, {"image": IMAGE}, given, layout)
    interleaved = np.stack([given["image"], outputs["image"]], axis=1).reshape(6, 8, 8, 1)
    plain = image_grid(interleaved, columns=6)
    np.testing.assert_array_equal(pixels(path)[: len(plain)], plain)
    assert pixels(path)[len(plain) :].min() < 64  # and say which is which


def test_pictures_of_other_sizes_and_channels_go_together():
    small, colour = grey(0.5, side=4), np.full((1, 8, 8, 3), (1.0, -1.0, 0.0), np.float32)
    both = beside([small, colour])
    assert both.shape == (1, 2, 8, 8, 3)
    np.testing.assert_array_equal(both[0, 0], np.full((8, 8, 3), 0.5))
    np.testing.assert_array_equal(both[0, 1], colour[0])


def test_what_only_the_layout_names_is_shown_by_its_shape(tmp_path):
    outputs = {"image": grey(1.0), "degraded": grey(0.0)}
    layout = Layout(beside=("degraded", "image", "given.init"))
    (path,) = save_samples(tmp_path / "x", outputs, {"image": IMAGE}, {"init": grey(-1.0)}, layout)
    grid = pixels(path)
    assert [grid[0, i * (grid.shape[1] + GAP) // 3] for i in range(3)] == [128, 255, 0]


def test_two_pictures_that_nothing_joins_have_a_grid_each(tmp_path):
    outputs, fields = {"image_a": grey(1.0), "image_b": grey(-1.0)}, {"image_a": IMAGE, "image_b": IMAGE}
    paths = save_samples(tmp_path / "7", outputs, fields)
    assert [path.name for path in paths] == ["7-image_a.png", "7-image_b.png"]
    assert [pixels(path).max() for path in paths] == [255, 0]


def test_captions_stand_under_their_pictures(tmp_path):
    outputs = {"image": grey(-1.0, 0.0)} | tokens("a dog", "two\ncats " * 40, name="caption")
    fields = {"image": IMAGE, "caption": TEXT}
    (path,) = save_samples(tmp_path / "3", outputs, fields, layout=Layout(columns=2), tokenizer=Letters())
    grid, plain = pixels(path), image_grid(outputs["image"], columns=2)
    high, wide = plain.shape
    assert path.name == "3.png" and grid.shape[0] > high + 20 and grid.shape[1] == wide
    np.testing.assert_array_equal(grid[:high], plain)
    left, right = grid[high:, : wide // 2 - GAP], grid[high:, wide // 2 + GAP :]
    assert left.min() < 64 and right.min() < 64 and (right < 128).sum() > 3 * (left < 128).sum()
    assert pixels(save_samples(tmp_path / "4", outputs, fields, tokenizer=Letters())[0]).shape[1] >= 2 * CAPTION


def test_names_of_classes_are_captions_too(tmp_path):
    fields = {"image": IMAGE, "label": Label(2, ("cat", "dog"))}
    named, numbered = (
        pixels(save_samples(tmp_path / "x", {"image": grey(1.0), "label": np.array([1])}, kinds)[0])
        for kinds in (fields, fields | {"label": Label(2)})
    )
    assert (named < 128).sum() > (numbered < 128).sum() > 0


def test_texts_stand_under_rules(tmp_path):
    ids = np.array([[104, 105, 33], [0x1F642, 0xD800, 0]])  # the second holds half a surrogate pair
    outputs = {"tokens": ids, "tokens_length": np.array([3, 2])}
    (path,) = save_samples(tmp_path / "3-greedy", outputs, {"tokens": TEXT}, tokenizer=Letters())
    assert path.name == "3-greedy.txt"
    lines = path.read_text().splitlines()
    assert lines[1::2] == ["hi!", "\N{SLIGHTLY SMILING FACE}?"]
    assert [line.strip("─") for line in lines[::2]] == [" 1 of 2 ", " 2 of 2 "]


def test_pairs_of_texts_stand_together(tmp_path):
    fields, layout = {"source": TEXT, "target": TEXT}, Layout(beside=("given.source", "target"))
    outputs, given = tokens("ja", "nein", name="target"), tokens("yes", "no", name="source")
    (path,) = save_samples(tmp_path / "pairs", outputs, fields, given, layout, Letters())
    lines = path.read_text().splitlines()
    assert lines[1:3] == ["source: yes", "target: ja"] and lines[4:] == ["source: no", "target: nein"]


def test_what_was_made_stands_above_what_the_data_has(tmp_path):
    layout = Layout(beside=("target", "given.target"))
    given = tokens("yes", name="target")
    (path,) = save_samples(tmp_path / "x", tokens("yep", name="target"), {"target": TEXT}, given, layout, Letters())
    assert path.read_text().splitlines()[1:] == ["target: yep", "target of the data: yes"]


def test_lines_are_the_words_and_nothing_else(tmp_path):
    outputs = tokens("ja  ja\n", "nein", name="target")
    layout = Layout(beside=("target",), lines=True)
    (path,) = save_samples(tmp_path / "x", outputs, {"target": TEXT}, {}, layout, Letters())
    assert path.read_text() == "ja ja\nnein\n"


def test_maps_stand_beside_the_texts_of_the_first_samples(tmp_path):
    outputs, given = tokens(*["ab"] * 5, name="target"), tokens(*["x$"] * 5, name="source")
    outputs["attention"] = np.eye(2)[None].repeat(5, 0)
    fields = {"source": TEXT, "target": TEXT}
    layout = Layout(("given.source", "target"), maps=(("attention", "target", "given.source"),))
    paths = save_samples(tmp_path / "5", outputs, fields, given, layout, Letters())
    assert [path.name for path in paths] == ["5.txt", "5-attention.png"]
    assert pixels(paths[1]).std() > 10


def test_maps_under_words_of_their_own(tmp_path):
    outputs = tokens(*["ab"] * 2, name="text") | {"words": np.eye(2)[None].repeat(2, 0)}
    layout = Layout(("text",), maps=(("words", ("attention", "gradient"), "text"),))
    paths = save_samples(tmp_path / "5", outputs, {"text": TEXT}, {}, layout, Letters())
    assert [path.name for path in paths] == ["5.txt", "5-words.png"] and pixels(paths[1]).std() > 10


def test_labels_are_told_with_their_probabilities_from_the_likeliest_on(tmp_path):
    fields = {"label": Label(7, tuple("abcdefg"))}
    outputs = {"label": np.array([2]), "label_probability": np.array([[0.1, 0.2, 0.4, 0, 0.15, 0.05, 0.1]])}
    text = save_samples(tmp_path / "x", outputs, fields)[0].read_text()
    assert text == "1  c 0.400, b 0.200, e 0.150, a 0.100, g 0.100\n"


def test_labels_are_a_list(tmp_path):
    fields = {"label": Label(2, ("cat", "dog")), "style": Label(5)}
    outputs = {"label": np.array([1, 0]), "style": np.array([3, 4])}
    assert save_samples(tmp_path / "x", outputs, fields)[0].read_text() == "1  dog  3\n2  cat  4\n"


def test_a_trajectory_is_a_strip_for_each_of_the_first_samples(tmp_path):
    frames = np.linspace(-1, 1, 10 * 4, dtype=np.float32).reshape(10, 4, 1, 1, 1) * np.ones((8, 8, 1), np.float32)
    paths = save_samples(tmp_path / "5", {"image": frames[:, -1], "trajectory": frames}, {"image": IMAGE})
    assert [path.name for path in paths] == ["5.png", "5-trajectory.png"]
    strips = image_grid(frames[:8].reshape(32, 8, 8, 1), columns=4)
    np.testing.assert_array_equal(pixels(paths[1])[: len(strips)], strips)


def test_the_suffix_chooses_the_format(tmp_path):
    outputs, fields = {"tokens": np.arange(6).reshape(2, 3), "tokens_length": np.array([3, 1])}, {"tokens": TEXT}
    (path,) = save_outputs(tmp_path / "new" / "x.txt", outputs, fields)
    assert path.read_text().splitlines()[1::2] == ["0 1 2", "3"]
    (path,) = save_outputs(tmp_path / "x.npz", outputs, fields)
    with np.load(path, allow_pickle=False) as raw:
        assert {name: raw[name].tolist() for name in raw} == {k: v.tolist() for k, v in outputs.items()}
    for name in ("x.png", "x.jpg", "x"):
        with pytest.raises(UsageError, match=r"\.txt or \.npz"):
            save_outputs(tmp_path / name, outputs, fields)
    with pytest.raises(UsageError, match=r"\.png or \.jpg or \.jpeg or \.webp or \.gif or \.mp4 or \.npz"):
        save_outputs(tmp_path / "x.txt", {"image": grey(0.0)}, {"image": IMAGE})
    sizes = set()
    for suffix, kind in {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.items():
        (path,) = save_outputs(tmp_path / f"x{suffix}", {"image": grey(0.0)}, {"image": IMAGE})
        with Pillow.open(path) as picture:
            assert picture.format == kind
            sizes.add(picture.size)
    assert len(sizes) == 1
    both = {"image": grey(0.0)} | tokens("hm")
    words = save_outputs(tmp_path / "words.txt", both, {"image": IMAGE, "tokens": TEXT}, tokenizer=Letters())
    assert words[0].read_text().splitlines()[1] == "hm"
    with pytest.raises(UserError, match="cannot write"):
        save_outputs(tmp_path / "x.npz" / "y.npz", outputs, fields)


def test_what_has_no_renderer_is_kept_as_arrays(tmp_path):
    assert save_samples(tmp_path / "x", {"pose": np.ones((2, 6))}, {})[0].name == "x.npz"
