"""Fréchet distance between the Gaussians that two sets of features are taken for: FID, over any extractor."""

from typing import ClassVar

import numpy as np

from genjax.metrics.bootstrap import REPEATS, Estimate, standard_error
from genjax.metrics.over_features import FeatureMetric

__all__ = ["FrechetDistance", "InceptionDistance", "frechet_distance"]

WIDE = 256  # features from which on the bootstrap has fewer repeats: each takes seconds
FEW = 20


class FrechetDistance(FeatureMetric):
    """`fd`: see `frechet_distance`."""

    values = {
        "fd": "the Fréchet distance between the Gaussians of the means and covariances of the two sets of features, "
        "which are those of pictures rounded to 8 bits: 0 where both agree; a larger set has a lower distance"
    }
    source = "Heusel et al. 2017, arXiv:1706.08500, equation 6"
    word: ClassVar[str] = "fd"

    def compare(self, real_ND: np.ndarray, made_MD: np.ndarray) -> dict[str, Estimate]:
        def distance(*weights):
            return frechet_distance(real_ND, made_MD, *weights)

        repeats = REPEATS if real_ND.shape[1] < WIDE else FEW
        together = self.matched and len(real_ND) == len(made_MD)
        error = standard_error(distance, len(real_ND), len(made_MD), repeats=repeats, together=together)
        return {self.word: Estimate(distance(), error)}


class InceptionDistance(FrechetDistance):
    """`fid`, the Fréchet Inception distance (Heusel et al. 2017, arXiv:1706.08500): `fd` over Inception's features."""

    values = {
        "fid": "the Fréchet distance over the 2048 pooled features of the Inception v3 of 2015-12-05, resized as by TF1"
    }
    word: ClassVar[str] = "fid"

    def __init__(self, name, field, tokenizer=None, extractor=""):
        super().__init__(name, field, tokenizer)  # no other extractor has this name: it needs none in `fid50k`


def frechet_distance(
    x_ND: np.ndarray, y_MD: np.ndarray, weight_N: np.ndarray | None = None, weight_M: np.ndarray | None = None
) -> float:
    """|mean_x - mean_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^(1/2)) of features; 0 is best.

    Heusel et al. 2017, equation 6, with the unbiased covariances of the reference code. The trace of the root is the
    sum of the singular values of C_x^(1/2) C_y^(1/2): finite and real whatever the rank, and so without the 1e-6 that
    the reference adds to the diagonal where its root fails.

    Args:
      weight_N, weight_M: how often each row counts; once by default.
    """
    (mean_x, root_x), (mean_y, root_y) = _gaussian(x_ND, weight_N), _gaussian(y_MD, weight_M)
    overlap = np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum()
    return float(np.sum((mean_x - mean_y) ** 2) + np.sum(root_x**2) + np.sum(root_y**2) - 2 * overlap)


def _gaussian(x_ND: np.ndarray, weight_N: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(mean (D,), a root R with R^T R = covariance), float64. R has as few rows as it can."""
    x_ND = np.asarray(x_ND, np.float64)
    weight_N = np.ones(len(x_ND)) if weight_N is None else weight_N
    mean_D = weight_N @ x_ND / weight_N.sum()
    root_ND = np.sqrt(weight_N / (weight_N.sum() - 1))[:, None] * (x_ND - mean_D)
    if len(root_ND) <= root_ND.shape[1]:
        return mean_D, root_ND
    value_D, vector_DD = np.linalg.eigh(root_ND.T @ root_ND)
    value_D[value_D < value_D[-1] * len(value_D) * np.finfo(np.float64).eps] = 0.0  # noise, of no direction
    return mean_D, np.sqrt(value_D)[:, None] * vector_DD.T
