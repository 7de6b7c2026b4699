"""Two sets of features, each a union of balls around its points: precision and recall, density and coverage.

Distances are computed block by block: two sets of 50,000 take no more memory than their features and a block.
"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from genjax.metrics.bootstrap import Estimate, standard_error
from genjax.metrics.kernels import squared_distances
from genjax.metrics.over_features import FeatureMetric

__all__ = ["DensityCoverage", "PrecisionRecall", "density_coverage", "mean", "nearest", "precision_recall", "radii"]

BLOCK = 2**24  # distances at once


class PrecisionRecall(FeatureMetric):
    """`pr`: see `precision_recall`."""

    values = {
        "precision": "the share of samples that lie in the union of balls around real examples, each as wide as the "
        "distance to its third nearest neighbour: how many samples look real",
        "recall": "the share of real examples that lie in the union of such balls around samples: how much of the data "
        "is drawn",
    }
    source = "Kynkäänniemi et al. 2019, arXiv:1904.06991, equations 1 and 2, k = 3"
    word: ClassVar[str] = "pr"
    higher_is_better: ClassVar[bool] = True
    neighbours: ClassVar[int] = 3
    least: ClassVar[int] = 4

    def compare(self, real_ND: np.ndarray, made_MD: np.ndarray) -> dict[str, Estimate]:
        precision_M, recall_N = precision_recall(real_ND, made_MD, self.neighbours)
        return {"precision": mean(precision_M), "recall": mean(recall_N)}


class DensityCoverage(FeatureMetric):
    """`dc`: see `density_coverage`."""

    values = {
        "density": "how many balls around real examples, each as wide as the distance to its fifth nearest neighbour, "
        "hold a sample, over 5 and on average: about 1 for real pictures, and more where samples crowd",
        "coverage": "the share of real examples whose ball holds a sample",
    }
    source = "Naeem et al. 2020, arXiv:2002.09797, equations 5 and 6, k = 5"
    word: ClassVar[str] = "dc"
    higher_is_better: ClassVar[bool] = True
    neighbours: ClassVar[int] = 5
    least: ClassVar[int] = 6

    def compare(self, real_ND: np.ndarray, made_MD: np.ndarray) -> dict[str, Estimate]:
        density_M, coverage_N = density_coverage(real_ND, made_MD, self.neighbours)
        return {"density": mean(density_M), "coverage": mean(coverage_N)}


def precision_recall(real_ND: np.ndarray, made_MD: np.ndarray, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """(M,) whether a sample lies in a ball of the real set, (N,) whether a real example lies in one of the samples'.

    Kynkäänniemi et al. 2019 (arXiv:1904.06991), equations 1 and 2: a ball reaches to its point's k-th neighbour, and
    its surface belongs to it. The means are precision and recall; the balls stay as they are in the bootstrap.
    """
    return _covered(made_MD, real_ND, radii(real_ND, k)), _covered(real_ND, made_MD, radii(made_MD, k))


def density_coverage(real_ND: np.ndarray, made_MD: np.ndarray, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """(M,) how many real balls hold a sample, over k; (N,) whether a real example's ball holds any sample.

    Naeem et al. 2020 (arXiv:2002.09797), equations 5 and 6: only real examples have balls, so that an outlier among
    the samples covers nothing; a ball's surface does not belong to it. The means are density, which may pass 1, and
    coverage.
    """
    radius_N, density_M, coverage_N = radii(real_ND, k), [], np.zeros(len(real_ND), bool)
    for _, apart_BN in _blocks(made_MD, real_ND):
        inside_BN = apart_BN < radius_N
        density_M.append(inside_BN.sum(1) / k)
        coverage_N |= inside_BN.any(0)
    return np.concatenate(density_M), coverage_N.astype(np.float64)


def nearest(x_ND: np.ndarray, y_MD: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, k) squared distances to the nearest rows of y, which has k at least, and their numbers; the nearest first."""
    apart, index = [], []
    for _, apart_BM in _blocks(x_ND, y_MD):
        index_Bk = np.argpartition(apart_BM, k - 1, axis=1)[:, :k] if k > 1 else apart_BM.argmin(1)[:, None]
        apart_Bk = np.take_along_axis(apart_BM, index_Bk, axis=1)
        order_Bk = apart_Bk.argsort(axis=1, kind="stable")
        apart.append(np.take_along_axis(apart_Bk, order_Bk, axis=1))
        index.append(np.take_along_axis(index_Bk, order_Bk, axis=1))
    return np.concatenate(apart), np.concatenate(index)


def radii(x_ND: np.ndarray, k: int, which: np.ndarray | None = None) -> np.ndarray:
    """(N,) the squared distance of each row, or of those `which`, to its k-th nearest other row."""
    radius, which = [], np.arange(len(x_ND)) if which is None else which
    for start, apart_BN in _blocks(x_ND[which], x_ND):
        apart_BN[np.arange(len(apart_BN)), which[start : start + len(apart_BN)]] = np.inf
        apart_BN.partition(k - 1, axis=1)
        radius.append(apart_BN[:, k - 1].copy())  # a view would keep the whole block
    return np.concatenate(radius)


def _covered(x_ND: np.ndarray, centre_MD: np.ndarray, radius_M: np.ndarray) -> np.ndarray:
    inside = [(apart_BM <= radius_M).any(1) for _, apart_BM in _blocks(x_ND, centre_MD)]
    return np.concatenate(inside).astype(np.float64)


def _blocks(x_ND: np.ndarray, y_MD: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The squared distances of some rows of x to all of y, with the number of the first, until all were there."""
    size = max(1, BLOCK // len(y_MD))
    for start in range(0, len(x_ND), size):
        yield start, squared_distances(x_ND[start : start + size], y_MD)


def mean(value_N: np.ndarray) -> Estimate:
    """The mean, and its standard error by the bootstrap."""
    return Estimate(
        float(value_N.mean()), standard_error(lambda weight_N: weight_N @ value_N / len(value_N), len(value_N))
    )
