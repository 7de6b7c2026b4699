"""Fréchet distance class by class, for models that are conditional on the class."""

from typing import ClassVar

import numpy as np

from genjax.errors import UserError
from genjax.metrics.base import Statistics
from genjax.metrics.bootstrap import REPEATS, Estimate, standard_error
from genjax.metrics.frechet import FEW, WIDE, frechet_distance
from genjax.metrics.over_features import FeatureMetric

__all__ = ["IntraFrechetDistance"]


class IntraFrechetDistance(FeatureMetric):
    """`ifd`: the mean over classes of `frechet_distance` between the samples and the real examples of a class.

    Miyato & Koyama 2018 (arXiv:1802.05637) call it intra FID. It sees what `fd` can't: samples of the wrong
    class. Few examples a class make it large, for real pictures too.
    """

    values = {
        "intra_fd": "the mean over classes of the Fréchet distance between samples that were drawn for a class and "
        "real examples of it; few examples a class make it large, for real pictures too"
    }
    source = "Miyato & Koyama 2018, arXiv:1802.05637 (intra FID)"
    word: ClassVar[str] = "ifd"
    labelled = True

    def add(self, statistics: Statistics, batch: dict[str, np.ndarray]) -> None:
        super().add(statistics, batch)
        statistics.setdefault("label", []).append(self.present(batch, "label"))

    def compare(self, real_ND: np.ndarray, made_MD: np.ndarray) -> dict[str, Estimate]:
        label_N, label_M = (np.concatenate(part["label"]) for part in (self.references, self.outputs))
        classes = np.union1d(label_N, label_M)
        for which, label in (("references", label_N), ("samples", label_M)):
            for number in classes:
                if (count := int(np.sum(label == number))) < self.least:
                    raise UserError(
                        f"{self.word} needs at least {self.least} {which} of each class, and there "
                        f"{'is' if count == 1 else 'are'} {count} of class {number}"
                    )
        repeats = REPEATS if real_ND.shape[1] < WIDE else FEW
        values, errors = [], []
        for number in classes:
            real, made = real_ND[label_N == number], made_MD[label_M == number]

            def distance(*weights, real=real, made=made):
                return frechet_distance(real, made, *weights)

            values.append(distance())
            errors.append(standard_error(distance, len(real), len(made), repeats=repeats))
        error = np.sqrt(np.sum(np.square(errors))) / len(classes)  # classes are drawn apart
        return {"intra_fd": Estimate(float(np.mean(values)), float(error))}
