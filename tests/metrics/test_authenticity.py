"""Copies are found, and shown beside what they are copies of."""

import numpy as np
import pytest

from genjax.errors import UserError
from genjax.metrics import METRICS
from genjax.metrics.authenticity import SHOWN
from genjax.metrics.neighbours import nearest, radii
from genjax.spec import Image

IMAGE = Image(2, 2, 1)


def points(count, seed=0, dimensions=6):
    return np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)


def pictures(count):
    return np.arange(count, dtype=np.float32)[:, None, None, None] * np.ones((2, 2, 1), np.float32)


def metric(train, *made):
    found = METRICS["auth"]("image", IMAGE, None, "x")
    for part in np.array_split(train, 3):
        found.observe({"image_features": part})
    for part in made:
        found.update({"image_features": part, "image": pictures(len(part))})
    return found


def test_the_share_of_samples_whose_nearest_image_has_a_nearer_one():
    train = np.array([[0.0], [1.0], [5.0], [9.0]])
    made = np.array([[0.4], [2.5], [5.5], [9.0]])  # nearest 0, 1, 5, 9, which are 1, 1, 4 and 4 from another
    assert metric(train, made).result()["authenticity4_x"] == 0.25
    assert metric(train, made[:1], made[1:]).result() == metric(train, made).result()


def test_copies_have_none_and_new_ones_as_much_as_held_out_ones():
    train = points(500)
    assert metric(train, train[:200]).result()["authenticity200_x"] == 0
    values = metric(train, points(400, 1)).result()
    assert 0.5 < values["authenticity400_x"] < 0.95 and 0 < values["authenticity400_x_se"] < 0.05
    half = metric(train, np.concatenate([train[:200], points(200, 1)])).result()["authenticity400_x"]
    assert half < 0.6 * values["authenticity400_x"]


def test_the_samples_most_like_a_training_image_are_kept_with_its_neighbours():
    train, made = points(50), points(40, 1)
    made[30] = train[7] + 1e-3
    made[3] = train[20]
    alike = metric(train, made[:25], made[25:]).alike
    assert len(alike.image) == SHOWN and alike.index.shape == (SHOWN, 5)
    assert alike.index[:2, 0].tolist() == [20, 7] and alike.image[:2, 0, 0, 0].tolist() == [3, 5]
    assert (np.diff(alike.apart) >= 0).all()
    found = metric(train, made)
    found.reset()
    assert found.alike is None and found.outputs == {}


def test_nearest_rows_and_the_radii_of_some():
    x, y = points(20).astype(float), points(30, 1).astype(float)
    apart = ((x[:, None] - y) ** 2).sum(-1)
    found, index = nearest(x, y, 3)
    np.testing.assert_array_equal(index, apart.argsort(1)[:, :3])
    np.testing.assert_allclose(found, np.sort(apart, 1)[:, :3], rtol=1e-9)
    np.testing.assert_allclose(radii(y, 2, np.array([4, 17])), radii(y, 2)[[4, 17]])


def test_what_cannot_be_measured():
    with pytest.raises(UserError, match="auth needs at least 2 references, and there are 1"):
        metric(points(1), points(5))
    with pytest.raises(UserError, match="auth needs at least 2 samples, and there are 0"):
        metric(points(5)).result()
    with pytest.raises(UserError, match="auth: the features of samples are not finite"):
        metric(points(5), points(5) * np.nan)


@pytest.mark.peers
def test_it_is_that_of_scikit_learns_neighbours():
    neighbors = pytest.importorskip("sklearn.neighbors")
    train, made = points(300).astype(np.float64), 0.8 * points(200, 1).astype(np.float64)
    among = neighbors.NearestNeighbors(n_neighbors=2).fit(train)
    apart, index = among.kneighbors(made, 1)
    own = among.kneighbors(train)[0][:, 1]
    expected = (own[index[:, 0]] < apart[:, 0]).mean()
    assert 0.1 < expected < 0.9
    assert metric(train, made).result()["authenticity200_x"] == pytest.approx(expected, rel=1e-9)
