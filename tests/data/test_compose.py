import numpy as np
import pytest

from genjax.data import Concat, Draws, Padded, Views, Zip
from genjax.data.arrays import ImageArray, Table
from genjax.data.packing import Packs
from genjax.data.transforms import View
from genjax.errors import UserError
from genjax.spec import Tokens


def table(name, count, first=0):
    return Table({name: np.arange(first, first + count)})


def draws(rows, seed=0, step=0):
    return Draws(seed, step, np.asarray(rows))


def test_draws_are_a_function_of_seed_step_row_and_stream():
    whole = draws(range(8)).uniform("crop", (2,))
    assert whole.shape == (8, 2) and 0 <= whole.min() < whole.max() < 1
    np.testing.assert_array_equal(draws(range(3, 6)).uniform("crop", (2,)), whole[3:6])
    np.testing.assert_array_equal(draws(range(8)).of(np.array([7, 2])).uniform("crop", (2,)), whole[[7, 2]])
    others = [
        draws(range(8), seed=1),
        draws(range(8), step=1),
        draws(range(8)).scope("a"),
        draws(range(8)).scope("a").scope("b"),
    ]
    streams = [whole, draws(range(8)).uniform("flip", (2,)), *(other.uniform("crop", (2,)) for other in others)]
    assert len({stream.tobytes() for stream in streams}) == 6
    assert abs(np.mean([draws(range(64), step=n).uniform("x").mean() for n in range(200)]) - 0.5) < 0.01


def test_aligned_fields_have_the_same_example_and_random_ones_their_own():
    aligned = Zip({"a": table("a", 5), "b": table("b", 5, 100)})
    batch = aligned.gather(np.array([4, 1]))
    assert batch["a"].tolist() == [4, 1] and batch["b"].tolist() == [104, 101]
    domains = Zip({"a": table("a", 5), "b": table("b", 3, 100)}, "random")
    assert domains.gather(np.array([[4, 0], [1, 2]]))["b"].tolist() == [100, 102]
    assert domains.gather(np.array([4, 1]))["b"].tolist() == [101, 101]
    assert domains.examples.parts == (5, 3) and domains.examples.unpaired and len(domains) == 5


def test_sources_of_unequal_or_no_length_are_refused():
    with pytest.raises(UserError, match="5 of `a`, 3 of `b`"):
        Zip({"a": table("a", 5), "b": table("b", 3)})
    with pytest.raises(UserError, match="`b` has no examples"):
        Zip({"a": table("a", 5), "b": table("b", 0)}, "random")


def test_aligned_images_are_mirrored_together_and_domains_apart():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 1), np.uint8)
    sources = {name: ImageArray(name, pixels, View(4, 1, flip=True, random_crop=True)) for name in ("a", "b")}
    ids, random = np.zeros(64, int), draws(range(64))
    pair = Zip(sources).gather(ids, random)
    np.testing.assert_array_equal(pair["a"], pair["b"])
    apart = Zip(sources, "random").gather(ids, random)
    assert 0.02 < (apart["a"] == apart["b"]).all((1, 2, 3)).mean() < 0.2  # 18 places and sides


def test_views_that_are_missing_are_zero():
    views = Views({"v": Table({"v": np.arange(1.0, 7).reshape(3, 2)})}, {"v": np.array([0, -1, 2, 1, -1])})
    batch = views.gather(np.array([0, 1, 3, 4]))
    assert batch["v"].tolist() == [[1, 2], [0, 0], [3, 4], [0, 0]]
    assert batch["v_present"].tolist() == [True, False, True, False] and len(views) == 5
    text = Padded.of("t", [np.array([1, 2]), np.array([3])], 4, 9)
    read = Views({"t": text}, {"t": np.array([-1, 1, 0])})
    assert read.examples.lengths["t"].tolist() == [1, 1, 2]
    batch = read.gather(np.arange(3))
    assert batch["t"].tolist() == [[0, 0, 0, 0], [3, 9, 9, 9], [1, 2, 9, 9]] and batch["t_length"].tolist() == [1, 1, 2]


def test_concatenated_sources_keep_the_draws_of_their_rows():
    pixels = np.random.default_rng(0).integers(0, 256, (10, 6, 6, 1), np.uint8)
    view = View(4, 1, flip=True, random_crop=True)
    joined = Concat((ImageArray("x", pixels[:4], view), ImageArray("x", pixels[4:], view)))
    ids, random = np.array([0, 9, 3, 4, 1, 8]), draws(range(6))
    np.testing.assert_array_equal(
        joined.gather(ids, random)["x"], ImageArray("x", pixels, view).gather(ids, random)["x"]
    )
    assert joined.examples.parts == (4, 6)


def test_texts_are_padded_to_the_length_of_the_batch():
    padded = Padded.of("t", [np.array([1, 2, 3]), np.array([4])], 6, 9)
    batch = padded.gather(np.array([1, 0]), None, {"t": 4})
    assert batch["t"].tolist() == [[4, 9, 9, 9], [1, 2, 3, 9]] and batch["t_length"].tolist() == [1, 3]
    assert padded.gather(np.array([0]))["t"].shape == (1, 6) and padded.examples.lengths["t"].tolist() == [3, 1]
    assert Padded.of("t", [np.array([1, 2, 3])], 4, 9, shifted=True).gather(np.array([0]))["t"].shape == (1, 5)


@pytest.mark.parametrize(("end", "last"), [(9, 9), (None, 2)])
def test_a_text_longer_than_its_batch_is_cut_and_keeps_its_end(end, last):
    padded = Padded.of("t", [np.array([1, 2, 3, 9]), np.array([4, 9])], 6, 9, end=end)
    batch = padded.gather(np.array([0, 1]), None, {"t": 2})
    assert batch["t"].tolist() == [[1, last], [4, 9]] and batch["t_length"].tolist() == [2, 2]


@pytest.mark.parametrize("shifted", [False, True])
def test_packs_hold_every_text_once_and_number_those_of_a_row(shifted):
    random = np.random.default_rng(0)
    texts = [random.integers(1, 50, n) for n in random.integers(2, 9, 40)]
    fields = {"t": Tokens((16,), 50, ragged=True, end=0, shifted=shifted)}
    packs = Packs.of(Padded.of("t", texts, 16, 0, shifted), fields, shuffle=True)
    batch = packs.gather(np.arange(len(packs)))
    assert batch["t"].shape == batch["t_segment"].shape == (len(packs), 16 + shifted)
    found = []
    for row, segment, length in zip(batch["t"], batch["t_segment"], batch["t_length"]):
        assert (segment[:length] > 0).all() and not segment[length:].any() and not row[length:].any()
        assert (np.diff(segment[:length]) >= 0).all()
        found += [tuple(row[segment == n]) for n in range(1, segment.max() + 1)]
    assert sorted(found) == sorted(tuple(text) for text in texts)
    assert len(packs) < 25
    again = packs.gather(np.array([3, 0]))
    np.testing.assert_array_equal(again["t"], batch["t"][[3, 0]])
