"""Sliced Wasserstein distance between two sets of images, on patches of their Laplacian pyramids."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from genjax.errors import UserError
from genjax.metrics.base import Metric, Statistics, full_name
from genjax.metrics.bootstrap import standard_error
from genjax.spec import Field, Image

__all__ = ["SlicedWasserstein", "laplacian_pyramid", "patches", "sliced_wasserstein", "wasserstein_1d"]

POSITIONS = 128  # patches of an image at a level
DIRECTIONS = 512  # random projections
MOST = 2**14  # images of a set, as in the paper
SUBSET, FEW, REPEATS = 1024, 32, 20  # images, directions and draws that the standard error is estimated from


class SlicedWasserstein(Metric):
    """`swd` between two sets of images; see `sliced_wasserstein`. Its name carries how many images of each it compares.

    The standard error is that of `SUBSET` images, scaled by the root of their share.
    """

    values = {
        "swd": "1000 x the 1-Wasserstein distance of 7 x 7 patches along 512 random directions, averaged over the "
        "levels of a Laplacian pyramid, between as many samples as real examples, at most 16,384; both are normalized "
        "by the real patches, so that the values are not the paper's"
    }
    source = "Karras et al. 2018, arXiv:1710.10196, section 5"
    needs: ClassVar[type[Field]] = Image

    def add(self, statistics: Statistics, batch: dict[str, np.ndarray]) -> None:
        if sum(map(len, statistics.get(self.name, []))) < MOST:
            super().add(statistics, batch)

    def result(self) -> dict[str, float]:
        real, made = (statistics.get(self.name, []) for statistics in (self.references, self.outputs))
        if not real or not made:
            raise UserError("swd compares two sets of images, and one is empty")
        real, made = np.concatenate(real)[:MOST], np.concatenate(made)[:MOST]
        count = min(len(real), len(made))
        name = full_name("swd", count)
        values = {name: sliced_wasserstein(real, made)}
        if count > 1:
            size = min(count, SUBSET)
            values[f"{name}_se"] = float(_error(real[:size], made[:size], self.matched) * np.sqrt(size / count))
        return values


def sliced_wasserstein(real_NHWC: np.ndarray, fake_NHWC: np.ndarray) -> float:
    """1000 x the sliced 1-Wasserstein distance of patches, averaged over pyramid levels; 0 is best.

    Karras et al. 2018 (arXiv:1710.10196), section 5: a Laplacian pyramid down to 16 pixels, 7x7 patches, 512
    random directions. It compares textures and local shapes, scale by scale; it knows nothing of what is
    depicted. Departures: both sets are normalized by the channel statistics of the *real* patches (the
    paper's code normalizes each by its own, which hides errors of brightness and contrast); the patches lie
    at the same random positions in all images (at most 128 a level), so that a set compared with itself in
    any order gives exactly 0; an image under 32 pixels is a single level, and under 16 pixels patches shrink
    to at most half its side. Values are therefore not comparable with the paper's, and they fall as N grows:
    compare only equal N.

    Args:
      real_NHWC, fake_NHWC: images of one shape, on one scale. The first min(N) of each are compared.
    Raises:
      UserError: the shapes differ, a set is empty, or a value is not finite.
    """
    if real_NHWC.ndim != 4 or real_NHWC.shape[1:] != fake_NHWC.shape[1:]:
        raise UserError(f"swd compares images of one shape (N, H, W, C), not {real_NHWC.shape} with {fake_NHWC.shape}")
    n = min(len(real_NHWC), len(fake_NHWC))
    if n == 0:
        raise UserError("swd compares two sets of images, and one is empty")
    rng = np.random.default_rng(0)
    value = 1e3 * float(np.mean([_sliced(x, y, rng) for x, y in _levels(real_NHWC[:n], fake_NHWC[:n], rng)]))
    if not np.isfinite(value):
        raise UserError("swd: an image holds a value that is not finite")
    return value


def laplacian_pyramid(x_NHWC: np.ndarray) -> list[np.ndarray]:
    """Finest first: each level less its blurred half; last the smallest image, of at least 16 pixels a side.

    Burt & Adelson 1983, with the 5-tap binomial filter and mirrored borders.
    """
    x, levels = x_NHWC.astype(np.float32), []
    while min(x.shape[1:3]) >= 32:
        small = _blur(x)[:, ::2, ::2]
        spread = np.zeros_like(x)
        spread[:, ::2, ::2] = 4.0 * small
        levels.append(x - _blur(spread))
        x = small
    return [*levels, x]


def patches(x_NHWC: np.ndarray, size: int, top_P: np.ndarray, left_P: np.ndarray) -> np.ndarray:
    """(N P, size^2, C): the windows of every image whose corners are (top, left)."""
    n, c = x_NHWC.shape[0], x_NHWC.shape[-1]
    rows = top_P[:, None, None] + np.arange(size)[:, None]
    columns = left_P[:, None, None] + np.arange(size)
    return x_NHWC[:, rows, columns].reshape(n * len(top_P), size * size, c)


def wasserstein_1d(x_ND: np.ndarray, y_ND: np.ndarray) -> np.ndarray:
    """(D,) the 1-Wasserstein distance of each column's two samples of equal size: sorted, then compared."""
    return np.abs(np.sort(x_ND, axis=0) - np.sort(y_ND, axis=0)).mean(0)


def _levels(
    real_NHWC: np.ndarray, fake_NHWC: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The patches (N P, F) of both sets, level by level, in units of the real ones."""
    for real, fake in zip(laplacian_pyramid(real_NHWC), laplacian_pyramid(fake_NHWC)):
        side = min(real.shape[1:3])
        size = max(1, min(7, (side // 2 - 1) | 1))  # odd, at most half the side
        rows, columns = real.shape[1] - size + 1, real.shape[2] - size + 1
        places = rng.permutation(rows * columns)[:POSITIONS]
        x, y = (patches(level, size, places // columns, places % columns) for level in (real, fake))
        mean, std = x.mean((0, 1), keepdims=True), x.std((0, 1), keepdims=True)
        for p in (x, y):
            p -= mean
            p /= std + 1e-8
        yield x.reshape(len(x), -1), y.reshape(len(y), -1)


def _error(real_NHWC: np.ndarray, fake_NHWC: np.ndarray, together: bool) -> float:
    """The standard error of the distance, by the bootstrap over images.

    The area between two distribution functions along a direction needs the patches sorted once; how often an image was
    drawn is the mass of its patches.
    """
    rng, levels, count = np.random.default_rng(0), [], len(real_NHWC)
    for x, y in _levels(real_NHWC, fake_NHWC, rng):
        along = np.concatenate([x, y]) @ _directions(x.shape[1], rng)[:, :FEW]
        order = along.argsort(axis=0)
        gaps = np.diff(np.take_along_axis(along, order, axis=0), axis=0)
        pixel_NPC = x.reshape(count, -1, real_NHWC.shape[-1])
        levels.append((order, gaps, len(x) // count, pixel_NPC.mean(1), np.square(pixel_NPC).mean(1)))

    def distance(weight_N: np.ndarray, weight_M: np.ndarray) -> float:
        areas = []
        for order, gaps, places, mean_NC, square_NC in levels:
            mass = np.concatenate([weight_N, -weight_M]).repeat(places) / (count * places)
            area = (np.abs(np.cumsum(mass[order], axis=0)[:-1]) * gaps).sum(0).mean()
            # The unit is the deviation of the real patches that were drawn, taken as one for all channels.
            variance_C = weight_N @ square_NC / count - np.square(weight_N @ mean_NC / count)
            areas.append(area / max(np.sqrt(variance_C).mean(), 1e-8))
        return 1e3 * float(np.mean(areas))

    return standard_error(distance, count, count, repeats=REPEATS, together=together)


def _directions(dimensions: int, rng: np.random.Generator) -> np.ndarray:
    directions = rng.standard_normal((dimensions, DIRECTIONS), dtype=np.float32)
    return directions / np.linalg.norm(directions, axis=0)


def _sliced(x_NF: np.ndarray, y_NF: np.ndarray, rng: np.random.Generator) -> float:
    chunks = np.split(_directions(x_NF.shape[1], rng), 16, axis=1)  # bounds the memory
    return float(np.mean([wasserstein_1d(x_NF @ d, y_NF @ d) for d in chunks]))


def _blur(x_NHWC: np.ndarray) -> np.ndarray:
    weights = np.array([1, 4, 6, 4, 1], np.float32) / 16
    for axis in (1, 2):
        pad = [(2, 2) if i == axis else (0, 0) for i in range(4)]
        padded = np.moveaxis(np.pad(x_NHWC, pad, mode="reflect"), axis, 0)
        length = x_NHWC.shape[axis]
        x_NHWC = np.moveaxis(sum(w * padded[i : i + length] for i, w in enumerate(weights)), 0, axis)
    return x_NHWC
