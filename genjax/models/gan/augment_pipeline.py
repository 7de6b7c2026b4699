"""The parts of ADA's pipeline (Karras et al. 2020, arXiv:2006.06676, appendix B), and those of DiffAugment.

A part takes images (B, H, W, C) around [-1, 1], a key for each, and p, the probability of each of its operations.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from genjax.models.base import Array
from genjax.nn.warp import compose, rotation, scaling, translation, warp

__all__ = ["DIFF", "PARTS"]

LUMA = np.float32([1, 1, 1, 0]) / math.sqrt(3)  # the axis of greys
LOW = np.float32([1 - 3**0.5, 3 - 3**0.5, 3 + 3**0.5, 1 + 3**0.5]) / 32**0.5  # Daubechies' wavelet of 4 taps ("sym2")
POWER = np.float32([10, 1, 1, 1]) / 13  # expected in natural images, by band


class _Draws:
    """Numbers of one part for every image of a batch, a new one at each call."""

    def __init__(self, keys_B: Array, part: int):
        self.keys_B, self.count = jax.vmap(lambda k: jax.random.fold_in(k, part))(keys_B), 0

    def _draw(self, draw, shape: tuple[int, ...]) -> Array:
        self.count += 1
        return jax.vmap(lambda k: draw(jax.random.fold_in(k, self.count), shape))(self.keys_B)

    def uniform(self, low: float = 0.0, high: float = 1.0, shape: tuple[int, ...] = ()) -> Array:
        return low + (high - low) * self._draw(jax.random.uniform, shape)

    def normal(self, std: float, shape: tuple[int, ...] = ()) -> Array:
        return std * self._draw(jax.random.normal, shape)

    def choose(self, p: Array, value_B: Array, other: float) -> Array:
        """`value` with probability p, or else `other`: one decision an image."""
        return jnp.where((self.uniform() < p).reshape(-1, *[1] * (value_B.ndim - 1)), value_B, other)


def blit(image: Array, keys: Array, p: Array) -> Array:
    """Mirrored, turned by quarters and moved by whole pixels, without interpolation; beyond the edges mirrored."""
    draws, (height, width) = _Draws(keys, 0), image.shape[1:3]
    flipped = draws.choose(p, draws.uniform() < 0.5, False)
    image = jnp.where(flipped[:, None, None, None], image[:, :, ::-1], image)
    quarters = draws.choose(p, jnp.floor(draws.uniform(0, 4)), 0)[:, None, None, None]
    if height == width:
        turned = [jnp.rot90(image, k, (1, 2)) for k in range(4)]
        image = jnp.select([quarters == k for k in range(4)], turned)
    else:
        image = jnp.where(quarters >= 2, image[:, ::-1, ::-1], image)
    shift = draws.choose(p, draws.uniform(-0.125, 0.125, (2,)), 0.0)
    shift = jnp.round(shift * jnp.float32([height, width])).astype(jnp.int32)
    return _moved(image, shift, mirrored=True)


def geometry(image: Array, keys: Array, p: Array) -> Array:
    """Scaled, turned by any angle, stretched and moved by parts of pixels, as one warp."""
    draws, (height, width) = _Draws(keys, 1), image.shape[1:3]
    once = 1 - jnp.sqrt(1 - p)  # of a rotation before and one after the stretch: either with probability p
    size = draws.choose(p, jnp.exp2(draws.normal(0.2)), 1.0)
    before = draws.choose(once, draws.uniform(-math.pi, math.pi), 0.0)
    stretch = draws.choose(p, jnp.exp2(draws.normal(0.2)), 1.0)
    after = draws.choose(once, draws.uniform(-math.pi, math.pi), 0.0)
    move = draws.choose(p, draws.normal(0.125, (2,)), 0.0) * jnp.float32([width, height])
    # From the new image to the old: the inverses, in this order.
    matrix = compose(
        scaling(1 / size, 1 / size),
        rotation(before),
        scaling(1 / stretch, stretch),
        rotation(after),
        translation(-move[:, 0], -move[:, 1]),
    )
    return warp(image, matrix).astype(image.dtype)


def colour(image: Array, keys: Array, p: Array) -> Array:
    """Brightness, contrast, luma flip, hue and saturation, as one affine map of the colours; greys have no last two."""
    draws, eye, channels = _Draws(keys, 2), jnp.eye(4), image.shape[-1]
    luma = np.outer(LUMA, LUMA)

    def scaled(factor_B: Array) -> Array:
        return eye * jnp.stack([factor_B] * 3 + [jnp.ones_like(factor_B)], -1)[:, None, :]

    brightness = draws.choose(p, draws.normal(0.2), 0.0)
    moved = eye + brightness[:, None, None] * jnp.float32([[0, 0, 0, 1]] * 3 + [[0] * 4])
    matrix = compose(scaled(draws.choose(p, jnp.exp2(draws.normal(0.5)), 1.0)), moved)
    flipped = draws.choose(p, jnp.floor(draws.uniform(0, 2)), 0.0)
    matrix = compose(eye - 2 * luma * flipped[:, None, None], matrix)
    hue, saturation = draws.uniform(-math.pi, math.pi), jnp.exp2(draws.normal(1.0))
    if channels == 1:
        matrix = matrix[:, :3].mean(1)
        return image * matrix[:, :3].sum(1)[:, None, None, None] + matrix[:, 3, None, None, None]
    matrix = compose(_around_luma(draws.choose(p, hue, 0.0)), matrix)
    keep = draws.choose(p, saturation, 1.0)[:, None, None]
    matrix = compose(luma + (eye - luma) * keep, matrix)
    return jnp.einsum("bhwc,bdc->bhwd", image, matrix[:, :3, :3]) + matrix[:, None, None, :3, 3]


def filtered(image: Array, keys: Array, p: Array) -> Array:
    """Amplifies each of four bands of frequencies, at the same expected power."""
    draws, gain = _Draws(keys, 3), jnp.ones((len(image), 4))
    for band in range(4):
        one = draws.choose(p, jnp.exp2(draws.normal(1.0)), 1.0)[:, None]
        own = jnp.where(jnp.arange(4) == band, one, 1.0)
        gain *= own / jnp.sqrt((POWER * own**2).sum(-1, keepdims=True))
    for axis, size in ((1, image.shape[1]), (2, image.shape[2])):
        along = jnp.einsum("bf,fij->bij", gain, _bands(size))
        image = jnp.einsum("bhwc,bih->biwc" if axis == 1 else "bhwc,biw->bhic", image, along)
    return image


def noisy(image: Array, keys: Array, p: Array) -> Array:
    """White noise of a random strength."""
    draws = _Draws(keys, 4)
    strength = draws.choose(p, jnp.abs(draws.normal(0.1, (1, 1, 1))), 0.0)
    return image + strength * draws.normal(1.0, image.shape[1:])


def cutout(image: Array, keys: Array, p: Array) -> Array:
    """A rectangle of half the height and width made grey."""
    draws = _Draws(keys, 5)
    return _cut(image, draws.uniform(shape=(2,)), draws.choose(p, jnp.full(len(image), 0.5), 0.0))


def _around_luma(angle_B: Array) -> Array:
    """(B, 4, 4): turns colours around the axis of greys (Rodrigues' formula)."""
    x, y, z, _ = LUMA
    cross = np.float32([[0, -z, y, 0], [z, 0, -x, 0], [-y, x, 0, 0], [0, 0, 0, 0]])
    sin, cos = jnp.sin(angle_B)[:, None, None], jnp.cos(angle_B)[:, None, None]
    turned = cos * np.diag(np.float32([1, 1, 1, 0])) + sin * cross + (1 - cos) * np.outer(LUMA, LUMA)
    return turned + np.diag(np.float32([0, 0, 0, 1]))


def _bands(size: int) -> np.ndarray:
    """(4, size, size): what each band, the lowest first, keeps of a row of pixels that goes on mirrored.

    Band i > 0 has the high pass of the wavelet at i - 1 of three resolutions, and the low pass at all finer ones.
    """
    high = LOW * np.float32([1, -1, 1, -1])
    low2, high2 = (np.convolve(x, x[::-1]) / 2 for x in (LOW, high))
    banks = [np.ones(1)]
    for _ in range(3):
        spread = [np.insert(bank, np.arange(1, len(bank)), 0.0) for bank in banks]  # one resolution coarser
        spread = [np.convolve(bank, low2) for bank in spread]
        banks = [*spread, high2]
    bands, place = np.zeros((4, size, size), np.float32), np.arange(size)
    period = max(2 * size - 2, 1)
    for i, bank in enumerate(banks):
        for tap, weight in enumerate(bank, -(len(bank) // 2)):
            mirrored = (place + tap) % period
            bands[i, place, np.minimum(mirrored, period - mirrored)] += weight
    return bands


def _moved(image: Array, shift_B2: Array, mirrored: bool) -> Array:
    """Pixel (y, x) from (y, x) - shift; what comes in from outside is mirrored, or 0."""
    for axis in (1, 2):
        size = image.shape[axis]
        source = jnp.arange(size) - shift_B2[:, axis - 1, None]
        inside = (source >= 0) & (source < size)
        place = jnp.abs(source) % max(2 * size - 2, 1)
        place = jnp.minimum(place, 2 * size - 2 - place)
        shape = [len(image), 1, 1, 1]
        shape[axis] = size
        image = jnp.take_along_axis(image, place.reshape(shape), axis=axis)
        image = image if mirrored else jnp.where(inside.reshape(shape), image, 0.0)
    return image


def _cut(image: Array, centre_B2: Array, size_B: Array) -> Array:
    """Zero where both coordinates are nearer than half the size to the centre, all as shares of the image."""
    far = [
        jnp.abs((jnp.arange(n) + 0.5) / n - centre_B2[:, i, None]) >= size_B[:, None] / 2
        for i, n in enumerate(image.shape[1:3])
    ]
    return jnp.where((far[0][:, :, None] | far[1][:, None, :])[..., None], image, 0.0)


def diff_colour(image: Array, keys: Array) -> Array:
    """Brightness within 0.5, saturation from 0 to 2, contrast from 0.5 to 1.5."""
    draws = _Draws(keys, 6)
    image = image + draws.uniform(-0.5, 0.5, (1, 1, 1))
    grey = image.mean(3, keepdims=True)
    image = grey + (image - grey) * draws.uniform(0, 2, (1, 1, 1))
    mean = image.mean((1, 2, 3), keepdims=True)
    return mean + (image - mean) * draws.uniform(0.5, 1.5, (1, 1, 1))


def diff_translation(image: Array, keys: Array) -> Array:
    """Moved by up to an eighth of the side; zeros come in."""
    sides = np.asarray(image.shape[1:3])
    most = np.floor(sides / 8 + 0.5)
    shift = jnp.floor(_Draws(keys, 7).uniform(0, 1, (2,)) * (2 * most + 1)) - most
    return _moved(image, shift.astype(jnp.int32), mirrored=False)


def diff_cutout(image: Array, keys: Array) -> Array:
    """A square of half the side made grey, anywhere."""
    return _cut(image, _Draws(keys, 8).uniform(shape=(2,)), jnp.full(len(image), 0.5))


PARTS = {
    "blit": blit, "geometry": geometry, "colour": colour, "filter": filtered, "noise": noisy, "cutout": cutout,
}  # fmt: skip
DIFF = {"colour": diff_colour, "translation": diff_translation, "cutout": diff_cutout}
