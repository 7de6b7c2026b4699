"""Distances of two sets of features by a kernel: KID, the maximum mean discrepancy and the energy distance."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from genjax.metrics.bootstrap import Estimate, standard_error
from genjax.metrics.over_features import FeatureMetric

__all__ = ["EnergyDistance", "GaussianMMD", "KernelDistance", "mmd2", "squared_distances"]

SUBSETS, SUBSET = 100, 1000
SEED = 2020  # of torch-fidelity: the same subsets

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


class KernelDistance(FeatureMetric):
    """`kid`: squared MMD with the kernel (x . y / D + 1)^3 (Bińkowski et al. 2018, arXiv:1801.01401, section 4).

    The mean over 100 subsets of 1,000 rows, or of as many as the smaller set has; each unbiased, so that it may be
    below 0. The standard error is that of one subset, scaled by the root of its share of the rows.
    """

    values = {
        "kid": "the squared maximum mean discrepancy of features with the kernel (x . y / D + 1)^3: the mean of "
        "unbiased estimates over 100 subsets of 1,000, or of as many as there are, so that it may be below 0"
    }
    source = "Bińkowski et al. 2018, arXiv:1801.01401, section 4"
    word: ClassVar[str] = "kid"

    def kernel(self, real_ND: np.ndarray) -> Kernel:
        def kernel(x_ND: np.ndarray, y_MD: np.ndarray) -> np.ndarray:
            base_NM = x_ND @ y_MD.T / real_ND.shape[1] + 1
            return base_NM * base_NM * base_NM  # ten times as fast as ** 3

        return kernel

    def compare(self, real_ND: np.ndarray, made_MD: np.ndarray) -> dict[str, Estimate]:
        kernel, smaller = self.kernel(real_ND), min(len(real_ND), len(made_MD))
        size, rng, values = min(SUBSET, smaller), np.random.RandomState(SEED), []
        subsets = 1 if size == len(real_ND) == len(made_MD) else SUBSETS  # all would be the same
        for _ in range(subsets):
            y, x = (rows[rng.choice(len(rows), size, replace=False)] for rows in (made_MD, real_ND))
            matrices = kernel(x, x), kernel(y, y), kernel(x, y)
            values.append(mmd2(*matrices))
        if together := self.matched and len(real_ND) == len(made_MD):
            x, y = real_ND[:size], made_MD[:size]
            matrices = kernel(x, x), kernel(y, y), kernel(x, y)
        error = standard_error(lambda *weights: mmd2(*matrices, *weights), size, size, together=together)
        return {self.word: Estimate(float(np.mean(values)), error * np.sqrt(size / smaller))}


class GaussianMMD(KernelDistance):
    """`mmd`: squared MMD with a Gaussian kernel (Gretton et al. 2012), as wide as references are apart (the median)."""

    values = {
        "mmd": "the squared maximum mean discrepancy of features with a Gaussian kernel, as wide as the median "
        "distance between real examples; subsets as for kid"
    }
    source = "Gretton et al. 2012, JMLR 13, equation 3"
    word: ClassVar[str] = "mmd"

    def kernel(self, real_ND: np.ndarray) -> Kernel:
        some = real_ND[:SUBSET]
        apart = squared_distances(some, some)[np.triu_indices(len(some), 1)]
        width = max(np.median(apart), np.finfo(np.float64).tiny)
        return lambda x_ND, y_MD: np.exp(-squared_distances(x_ND, y_MD) / (2 * width))


class EnergyDistance(KernelDistance):
    """`energy`: 2 E|x - y| - E|x - x'| - E|y - y'| (Székely & Rizzo 2013), the MMD with the kernel -|x - y|."""

    values = {
        "energy": "2 E|x - y| - E|x - x'| - E|y - y'| of features x of samples and y of real examples; subsets as for "
        "kid"
    }
    source = "Székely & Rizzo 2013, doi:10.1016/j.jspi.2013.03.018"
    word: ClassVar[str] = "energy"

    def kernel(self, real_ND: np.ndarray) -> Kernel:
        return lambda x_ND, y_MD: -np.sqrt(squared_distances(x_ND, y_MD))


def mmd2(
    k_NN: np.ndarray,
    k_MM: np.ndarray,
    k_NM: np.ndarray,
    weight_N: np.ndarray | None = None,
    weight_M: np.ndarray | None = None,
) -> float:
    """The unbiased estimate of the squared MMD (Gretton et al. 2012, equation 3), from kernels among two sets.

    Args:
      weight_N, weight_M: how often each row counts. A row is never compared with itself; of one row alone it is NaN.
    """
    w = np.ones(len(k_NN)) if weight_N is None else weight_N
    v = np.ones(len(k_MM)) if weight_M is None else weight_M
    return float(_within(k_NN, w) + _within(k_MM, v) - 2 * (w @ k_NM @ v) / (w.sum() * v.sum()))


def _within(k_NN: np.ndarray, w: np.ndarray) -> float:
    pairs = w.sum() ** 2 - w @ w
    return (w @ k_NN @ w - w**2 @ np.diagonal(k_NN)) / pairs if pairs else np.nan


def squared_distances(x_ND: np.ndarray, y_MD: np.ndarray) -> np.ndarray:
    """(N, M) squared Euclidean distances of rows."""
    square = np.sum(x_ND**2, axis=1)[:, None] + np.sum(y_MD**2, axis=1) - 2 * x_ND @ y_MD.T
    return np.maximum(square, 0.0, out=square)
