"""How often a picture shows what its caption says, part by part."""

from typing import ClassVar

import numpy as np

from genjax.errors import UserError
from genjax.metrics.base import Statistics
from genjax.metrics.bootstrap import standard_error
from genjax.metrics.over_features import FeatureMetric

__all__ = ["CaptionAccuracy"]

PARTS = ("left", "right")  # labels of the data, each of one half of the picture


class CaptionAccuracy(FeatureMetric):
    """`caption_accuracy`: the share of samples both halves of which a classifier names as their example's labels do.

    The extractor's logits are those of the left half, then of the right one, as `digit_pairs` has them.
    `caption_accuracy_of_data` is the same of the examples' own pictures: what the classifier itself gets wrong.
    """

    values = {
        "caption_accuracy": "the share of samples in which a classifier sees what their caption says, in both halves",
        "caption_accuracy_of_data": "the same of the data's own pictures, which shows the classifier's own mistakes",
    }
    source = "a count of genjax's own"
    word: ClassVar[str] = "caption"
    reads: ClassVar[str] = "logits"
    paired: ClassVar[bool] = True
    beside: ClassVar[tuple[str, ...]] = PARTS
    higher_is_better: ClassVar[bool] = True

    def add(self, statistics: Statistics, batch: dict[str, np.ndarray]) -> None:
        logits = batch[f"{self.name}_logits"]
        statistics.setdefault("seen", []).append(logits.reshape(len(logits), len(PARTS), -1).argmax(-1))
        if statistics is self.references:
            if missing := [name for name in PARTS if name not in batch]:
                raise UserError(f"caption: this data has no label `{missing[0]}`, which says what its captions say")
            statistics.setdefault("said", []).append(np.stack([batch[name] for name in PARTS], axis=1))

    def result(self) -> dict[str, float]:
        said_N2 = np.concatenate(self.references["said"])
        values = {}
        for name, part in (("caption_accuracy", self.outputs), ("caption_accuracy_of_data", self.references)):
            right_N = (np.concatenate(part["seen"]) == said_N2).all(1).astype(np.float64)
            values[name] = float(right_N.mean())
            values[f"{name}_se"] = standard_error(lambda w_N, r=right_N: float(w_N @ r / w_N.sum()), len(right_N))
        return values
