"""Warps of images against scipy on a padded, finer image, and where they are exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from genjax.nn import warp as warps
from genjax.nn.warp import SYM6, compose, rotation, scaling, translation

warp = jax.jit(warps.warp)
IMAGES = np.random.default_rng(0).standard_normal((3, 9, 8, 2)).astype("f")


def same(*values):
    return jnp.asarray(values, jnp.float32)


def test_the_identity_and_whole_pixels_are_exact():
    nothing = jnp.tile(jnp.eye(3), (3, 1, 1))
    np.testing.assert_allclose(warp(IMAGES, nothing), IMAGES, atol=2e-6)
    moved = warp(IMAGES, translation(same(2, 2, 2), same(-1, -1, -1)))  # from 2 to the right and 1 above
    np.testing.assert_allclose(moved[:, 1:, :-2], IMAGES[:, :-1, 2:], atol=2e-6)
    np.testing.assert_allclose(moved[:, 0, :-2], IMAGES[:, 1, 2:], atol=2e-6)  # mirrored beyond the edge
    for size in (1, 2):
        np.testing.assert_allclose(warp(IMAGES[:, :size, :1], nothing), IMAGES[:, :size, :1], atol=2e-6)


def test_an_orthogonal_wavelet():
    taps = np.float64(SYM6)
    products = [np.sum(taps[2 * k :] * taps[: len(taps) - 2 * k]) for k in range(6)]
    np.testing.assert_allclose(products, [1, 0, 0, 0, 0, 0], atol=1e-7)
    moments = [np.sum((-1.0) ** np.arange(12) * np.arange(12.0) ** n * taps) for n in range(6)]
    np.testing.assert_allclose(moments / 12.0 ** np.arange(6), 0, atol=1e-6)  # six vanish, as the name says


def test_matrices():
    point = jnp.asarray([1.0, 0.0, 1.0])
    quarter, twice, right = rotation(same(np.pi / 2)), scaling(same(2), same(3)), translation(same(5), same(7))
    np.testing.assert_allclose(quarter[0] @ point, [0, 1, 1], atol=1e-6)  # from x to y
    np.testing.assert_allclose(compose(right, twice, quarter)[0] @ point, [5, 10, 1], atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.3, 2.0])
def test_equals_scipy(angle):
    """The same on an image mirrored four times over, made finer by convolution, interpolated by scipy."""
    matrices = compose(scaling(same(0.8, 1.3, 1), same(1, 1.4, 0.7)), rotation(same(angle, -angle, angle)))
    ours = warp(IMAGES, matrices)
    for image, matrix, got in zip(IMAGES, np.asarray(matrices, np.float64), ours, strict=True):
        np.testing.assert_allclose(got, plain(image, matrix), atol=2e-5)


def plain(image_HWC, matrix):
    (h, w, c), pad, taps = image_HWC.shape, 40, np.float64(SYM6)
    padded = np.pad(image_HWC.astype(np.float64), ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    row, column = np.mgrid[-6 : 2 * h + 6, -6 : 2 * w + 6]  # of the finer result
    x, y = (column - (w - 1)) / 2, (row - (h - 1)) / 2
    x, y, _ = np.tensordot(matrix, np.stack([x, y, np.ones_like(x)]), axes=1)
    places = 2 * y + (h - 1) + 2 * pad, 2 * x + (w - 1) + 2 * pad
    out = []
    for channel in range(c):
        sparse = np.zeros([2 * size for size in padded.shape[:2]])
        sparse[::2, ::2] = padded[..., channel]
        for axis in (0, 1):  # true convolution; the tap 5 is the centre
            sparse = ndimage.convolve1d(sparse, taps, axis, origin=-1, mode="constant")
        seen = ndimage.map_coordinates(sparse, places, order=1)
        for axis in (0, 1):  # and its transpose
            seen = ndimage.correlate1d(seen, taps, axis, origin=-1, mode="constant")
        out.append(seen[6:-6:2, 6:-6:2])
    return np.stack(out, axis=-1)


def test_each_image_by_itself_and_gradients_come_back():
    matrices = rotation(same(0.1, 1.0, 2.0))
    whole = warp(IMAGES, matrices)
    np.testing.assert_allclose(warp(IMAGES[1:2], matrices[1:2])[0], whole[1], atol=1e-6)
    weights = np.random.default_rng(1).standard_normal(IMAGES.shape).astype("f")
    gradient = jax.grad(lambda images: jnp.sum(warp(images, matrices) * weights))(jnp.asarray(IMAGES))
    np.testing.assert_allclose(jnp.sum(gradient * IMAGES), jnp.sum(whole * weights), rtol=1e-4)  # a warp is linear
