import numpy as np
import pytest

from genjax.errors import UserError
from genjax.metrics import sliced_wasserstein as module
from genjax.metrics.sliced_wasserstein import SlicedWasserstein, laplacian_pyramid, patches, wasserstein_1d
from genjax.metrics.sliced_wasserstein import sliced_wasserstein as swd
from genjax.spec import Image


def images(n, side, channels=1, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, side, side, channels)).astype(np.float32)


@pytest.mark.parametrize("side", (1, 5, 8, 28, 32))
def test_a_set_is_at_distance_zero_from_itself_in_any_order(side):
    x = images(12, side)
    assert swd(x, x) == 0
    assert swd(x, x[::-1]) == pytest.approx(0, abs=1e-3)


def test_it_grows_with_brightness_noise_and_blur_and_does_not_vary():
    x = images(48, 8, 3)
    noise = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    floor = swd(x, images(48, 8, 3, seed=1))
    shifted = [swd(x, x + s) for s in (0.1, 0.2, 0.4)]
    assert 0 < shifted[0] < shifted[1] < shifted[2]
    assert swd(x, x + 0.2 * noise) < swd(x, x + noise)
    assert swd(x, np.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)) > 3 * floor
    assert swd(x, x + 0.1) == shifted[0]


def test_a_constant_shift_of_normalized_single_pixels_is_the_distance_itself():
    x = images(500, 1)  # one pixel, one patch, directions are +1 or -1
    assert swd(x, x + 0.5) == pytest.approx(1e3 * 0.5 / x.std(), rel=1e-4)


def test_the_pyramid_halves_down_to_sixteen_and_separates_scales():
    assert [level.shape[1:3] for level in laplacian_pyramid(images(1, 64))] == [(64, 64), (32, 32), (16, 16)]
    assert [level.shape[1:3] for level in laplacian_pyramid(images(1, 28))] == [(28, 28)]
    assert [level.shape[1:3] for level in laplacian_pyramid(images(1, 33))] == [(33, 33), (17, 17)]
    fine, coarse = laplacian_pyramid(np.full((1, 32, 32, 1), 0.7, np.float32))
    np.testing.assert_allclose(coarse, 0.7, atol=1e-6)
    np.testing.assert_allclose(fine[:, 2:-2, 2:-2], 0, atol=1e-6)


def test_patches_are_windows():
    x = images(2, 8, 3)
    got = patches(x, 3, np.array([0, 4]), np.array([1, 5])).reshape(2, 2, 3, 3, 3)
    np.testing.assert_array_equal(got[1, 0], x[1, 0:3, 1:4])
    np.testing.assert_array_equal(got[0, 1], x[0, 4:7, 5:8])


def test_its_error_is_as_wide_as_it_varies():
    values = []
    for seed in range(12):
        metric = SlicedWasserstein("image", Image(8, 8, 1))
        metric.observe({"image": images(60, 8, seed=seed)})
        metric.update({"image": 0.5 * images(60, 8, seed=seed + 50)})
        values.append(list(metric.result().values()))
    spread = np.std([value for value, _ in values])
    assert np.mean([error for _, error in values]) == pytest.approx(spread, rel=0.6)


def test_as_many_images_as_the_smaller_set_has_are_compared_and_not_more_than_the_most(monkeypatch):
    monkeypatch.setattr(module, "MOST", 20)
    metric = SlicedWasserstein("image", Image(8, 8, 1))
    for part in np.split(images(60, 8), 6):
        metric.observe({"image": part})
    metric.update({"image": images(12, 8, seed=1)})
    assert set(metric.result()) == {"swd12", "swd12_se"} and sum(map(len, metric.references["image"])) == 20
    metric.update({"image": images(40, 8, seed=2)})
    assert set(metric.result()) == {"swd20", "swd20_se"}


def test_wrong_sets_are_refused():
    with pytest.raises(UserError, match="one shape"):
        swd(images(4, 8), images(4, 9))
    with pytest.raises(UserError, match="empty"):
        swd(images(4, 8), images(0, 8))
    with pytest.raises(UserError, match="not finite"):
        swd(images(4, 8), np.full((4, 8, 8, 1), np.nan, np.float32))


@pytest.mark.peers
def test_one_dimension_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 3)), 0.5 + 2 * rng.standard_normal((200, 3))
    want = [stats.wasserstein_distance(x[:, i], y[:, i]) for i in range(3)]
    np.testing.assert_allclose(wasserstein_1d(x, y), want, rtol=1e-10)
