"""Whether samples differ from one another as much as examples of the data do."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from genjax.metrics.bootstrap import Estimate
from genjax.metrics.kernels import squared_distances
from genjax.metrics.over_features import FeatureMetric

__all__ = ["Diversity", "collapse", "mean_distance"]

RATIO = "diversity_ratio"
LEAST = 0.5  # below this share of the data's own diversity, samples are said to be alike
BLOCK = 2**24  # distances at once


class Diversity(FeatureMetric):
    """`diversity` of samples, `diversity_data` of examples: mean distances of pairs; `diversity_ratio`: their quotient.

    It is near 1 where a model has learned the data, and near 0 where it draws one picture again and again. A model that
    makes noise is diverse as well: read it beside a distance of the two sets.
    """

    values = {
        "diversity": "the mean Euclidean distance of two samples' features",
        "diversity_data": "the same of two real examples",
        RATIO: "diversity over diversity_data: 1 is as diverse as the data",
    }
    source = "a mean of genjax's own"
    word: ClassVar[str] = "diversity"
    higher_is_better: ClassVar[bool] = True

    def compare(self, real_ND: np.ndarray, made_MD: np.ndarray) -> dict[str, Estimate]:
        return {"diversity": mean_distance(made_MD), "diversity_data": mean_distance(real_ND)}

    def result(self) -> dict[str, float]:
        values = super().result()
        made, real = (value for name, value in values.items() if not name.endswith("_se"))
        return values | {RATIO: made / real if real else 1.0}


def mean_distance(x_ND: np.ndarray) -> Estimate:
    """The mean Euclidean distance of two different rows, which does not depend on N but for chance.

    Its standard error is that of a U-statistic of two arguments (Hoeffding 1948), from the rows' own mean distances.
    """
    size = max(1, BLOCK // len(x_ND))
    sums_N = np.concatenate(
        [np.sqrt(squared_distances(x_ND[i : i + size], x_ND)).sum(1) for i in range(0, len(x_ND), size)]
    )
    mean_N = sums_N / (len(x_ND) - 1)
    return Estimate(float(mean_N.mean()), float(2 * mean_N.std() / np.sqrt(len(x_ND))))


def collapse(values: Mapping[str, float]) -> str:
    """One line that warns where the metrics of an evaluation say that samples are alike; "" where they do not."""
    if (ratio := values.get(RATIO, 1.0)) >= LEAST:
        return ""
    return (
        f"the samples are alike: on average they are {ratio:.0%} as far apart, in features, as examples of the data "
        "are; a generator that has collapsed to few pictures looks like this"
    )
