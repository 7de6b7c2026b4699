"""Non-leaking augmentation: images come back as the labels say, by the example's own key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax.models import augment
from genjax.models.augment import LABELS
from genjax.nn.warp import CENTRE, SYM6

augmented = jax.jit(augment.augmented, static_argnums=3)
KEY = jax.random.key(0)
SIZE = 65


def blob(count: int) -> np.ndarray:
    """A smooth spot 6 pixels right of the centre and 4 above it."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    return np.repeat(np.exp(-((x - 6) ** 2 + (y + 4) ** 2) / 8.0)[None, ..., None], count, 0).astype("f")


def centre(image_BHWC):
    """(x, y) of each spot."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    image = np.asarray(image_BHWC)[..., 0]
    return np.stack([(image * x).sum((1, 2)), (image * y).sum((1, 2))], -1) / image.sum((1, 2))[:, None]


def test_without_the_rest_half_are_mirrored_and_nothing_else():
    index = jnp.arange(200)
    images = np.random.default_rng(0).standard_normal((200, 8, 6, 3)).astype("f")
    out, told = augmented(images, KEY, index, 0.0)
    assert told.shape == (200, LABELS) and not told[:, 1:].any()
    assert set(np.unique(told[:, 0])) == {0, 1} and 0.4 < told[:, 0].mean() < 0.6
    expected = np.where(told[:, :1, None, None] == 1, images[:, :, ::-1], images)
    np.testing.assert_allclose(out, expected, atol=5e-6)


def test_how_often_and_how_far():
    images, index = jnp.zeros((20_000, 2, 2, 1)), jnp.arange(20_000)
    _, told = augmented(images, KEY, index, 0.12)
    shares = np.mean(np.asarray(told) != 0, axis=0)
    np.testing.assert_allclose(shares, [0.5, 0.06, *[0.12] * 4, 0.06, *[0.12] * 2], atol=0.01)
    for column in (2, 7, 8):
        assert np.std(told[told[:, column] != 0, column]) == pytest.approx(1, abs=0.05)


def test_the_picture_goes_where_the_labels_say():
    count = 300
    out, told = augmented(blob(count), KEY, jnp.arange(count), 0.5)
    told = np.asarray(told, np.float64)
    x, y = np.full(count, 6.0), np.full(count, -4.0)
    x, y = np.where(told[:, 0] == 1, -x, x), np.where(told[:, 1] == 1, -y, y)
    aside = (SYM6 @ np.arange(12) / SYM6.sum() - CENTRE) / 2  # of the wavelet's mass, in pixels
    x, y = (x + aside) * 2 ** (0.2 * told[:, 2]), (y + aside) * 2 ** (0.2 * told[:, 2])
    cos, sin = told[:, 3] + 1, told[:, 4]
    x, y = x * cos + y * sin, y * cos - x * sin
    x, y = x + 0.125 * SIZE * told[:, 7] - aside, y + 0.125 * SIZE * told[:, 8] - aside
    plain = (told[:, 5] == 0) & (told[:, 6] == 0)  # a stretch's two labels leave open which way is longer
    near = (told[:, 2] > -1) & (abs(told[:, 7:]).max(1) < 1.5)  # or its mirror image is seen as well
    within = plain & near & (np.maximum(abs(x), abs(y)) < 20)
    assert within.sum() > 60 and (told[within, 3] != 0).sum() > 10 and (told[within, 7] != 0).sum() > 10
    np.testing.assert_allclose(centre(out)[within], np.stack([x, y], -1)[within], atol=0.02)


def test_each_example_has_its_own():
    images = np.random.default_rng(0).standard_normal((4, 8, 8, 1)).astype("f")
    index = jnp.array([3, 7, 3, 5])
    out, told = augmented(images, KEY, index, 0.9)
    alone, told_alone = augmented(images[1:2], KEY, index[1:2], 0.9)
    np.testing.assert_array_equal(told[1:2], told_alone)
    np.testing.assert_allclose(out[1:2], alone, atol=1e-5)
    np.testing.assert_array_equal(told[0], told[2])
    assert (told[0] != told[3]).any()
