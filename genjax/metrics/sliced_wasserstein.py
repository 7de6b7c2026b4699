"""Sliced Wasserstein distance between two sets of images, on patches of their Laplacian pyramids."""

from typing import ClassVar

import numpy as np

from genjax.errors import UserError
from genjax.metrics.base import Metric
from genjax.spec import Field, Image

__all__ = ["SlicedWasserstein", "laplacian_pyramid", "patches", "sliced_wasserstein", "wasserstein_1d"]

POSITIONS = 128  # patches of an image at a level
DIRECTIONS = 512  # random projections


class SlicedWasserstein(Metric):
    """`swd` between two sets of images; see `sliced_wasserstein`."""

    needs: ClassVar[type[Field]] = Image

    def result(self) -> dict[str, float]:
        real, made = (statistics.get(self.name, []) for statistics in (self.references, self.outputs))
        if not real or not made:
            raise UserError("swd compares two sets of images, and one is empty")
        return {"swd": sliced_wasserstein(np.concatenate(real), np.concatenate(made))}


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
    distances = []
    for real, fake in zip(laplacian_pyramid(real_NHWC[:n]), laplacian_pyramid(fake_NHWC[:n])):
        side = min(real.shape[1:3])
        size = max(1, min(7, (side // 2 - 1) | 1))  # odd, at most half the side
        rows, columns = real.shape[1] - size + 1, real.shape[2] - size + 1
        places = rng.permutation(rows * columns)[:POSITIONS]
        x, y = (patches(level, size, places // columns, places % columns) for level in (real, fake))
        mean, std = x.mean((0, 1), keepdims=True), x.std((0, 1), keepdims=True)
        x, y = ((p - mean) / (std + 1e-8) for p in (x, y))
        distances.append(_sliced(x.reshape(len(x), -1), y.reshape(len(y), -1), rng))
    value = 1e3 * float(np.mean(distances))
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


def _sliced(x_NF: np.ndarray, y_NF: np.ndarray, rng: np.random.Generator) -> float:
    directions = rng.standard_normal((x_NF.shape[1], DIRECTIONS), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    chunks = np.split(directions, 16, axis=1)  # bounds the memory
    return float(np.mean([wasserstein_1d(x_NF @ d, y_NF @ d) for d in chunks]))


def _blur(x_NHWC: np.ndarray) -> np.ndarray:
    weights = np.array([1, 4, 6, 4, 1], np.float32) / 16
    for axis in (1, 2):
        pad = [(2, 2) if i == axis else (0, 0) for i in range(4)]
        padded = np.moveaxis(np.pad(x_NHWC, pad, mode="reflect"), axis, 0)
        length = x_NHWC.shape[axis]
        x_NHWC = np.moveaxis(sum(w * padded[i : i + length] for i, w in enumerate(weights)), 0, axis)
    return x_NHWC
