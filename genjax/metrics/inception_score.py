"""Inception score: how surely a classifier names each sample, and how many different names it gives."""

import itertools
from typing import ClassVar

import numpy as np

from genjax.metrics.bootstrap import Estimate, standard_error
from genjax.metrics.over_features import FeatureMetric

__all__ = ["InceptionScore", "inception_score"]

SPLITS = 10
SEED = 2020  # of torch-fidelity: the same order


class InceptionScore(FeatureMetric):
    """`is`: the mean of `inception_score` over 10 parts of the shuffled samples. References say nothing in it."""

    values = {
        "is": "exp of the mean KL divergence between the classes of one sample and those of all, as the extractor "
        "names them, averaged over 10 parts of the samples; it never looks at the data"
    }
    source = "Salimans et al. 2016, arXiv:1606.03498, section 4"
    word: ClassVar[str] = "is"
    higher_is_better: ClassVar[bool] = True
    reads: ClassVar[str] = "logits"
    least: ClassVar[int] = 2 * SPLITS

    def compare(self, real_NK: np.ndarray, made_MK: np.ndarray) -> dict[str, Estimate]:
        order = np.random.RandomState(SEED).permutation(len(made_MK))
        edges = np.arange(SPLITS + 1) * len(made_MK) // SPLITS
        parts = [inception_score(made_MK[order[a:b]]) for a, b in itertools.pairwise(edges)]
        error = standard_error(lambda weight: inception_score(made_MK, weight), len(made_MK))
        return {self.word: Estimate(float(np.mean(parts)), error)}


def inception_score(logit_NK: np.ndarray, weight_N: np.ndarray | None = None) -> float:
    """exp of the mean KL divergence of p(class | sample) from p(class): from 1 up to K classes.

    Salimans et al. 2016 (arXiv:1606.03498), section 4. It knows nothing of the data, and a generator that draws one
    picture a class has the best score.

    Args:
      weight_N: how often each row counts; once by default.
    """
    logit_NK = logit_NK - logit_NK.max(1, keepdims=True)
    log_p_NK = logit_NK - np.log(np.exp(logit_NK).sum(1, keepdims=True))
    p_NK = np.exp(log_p_NK)
    weight_N = np.ones(len(p_NK)) if weight_N is None else weight_N
    share_N = weight_N / weight_N.sum()
    log_q_K = np.log(np.maximum(share_N @ p_NK, np.finfo(np.float64).tiny))
    return float(np.exp(share_N @ (p_NK * (log_p_NK - log_q_K)).sum(1)))
