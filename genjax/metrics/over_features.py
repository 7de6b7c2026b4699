"""What metrics over features have in common: their arrays, their names, and sets that cannot be compared."""

from typing import ClassVar

import numpy as np

from genjax.errors import UserError
from genjax.metrics.base import Metric, Statistics
from genjax.metrics.bootstrap import Estimate
from genjax.spec import Field, Image

__all__ = ["FeatureMetric", "short"]


class FeatureMetric(Metric):
    """Base of the metrics of two sets of pictures, as an extractor sees them.

    The name of a value carries how many samples were compared and who looked at them: `fd50k_inception` is over 50,000
    samples. NAME_se beside it is its standard error, by the bootstrap.

    Attributes:
      word: how messages call the metric.
      reads: "features", or "logits" where the extractor must be a classifier.
      least: the fewest examples that either set may have.
    """

    needs: ClassVar[type[Field]] = Image
    over_features: ClassVar[bool] = True
    word: ClassVar[str]
    reads: ClassVar[str] = "features"
    least: ClassVar[int] = 2

    def add(self, statistics: Statistics, batch: dict[str, np.ndarray]) -> None:
        """Adds the rows of a batch whose field is there."""
        rows = batch[f"{self.name}_{self.reads}"]
        present = batch.get(f"{self.name}_present")
        statistics.setdefault(self.reads, []).append(rows if present is None else rows[present])

    def compare(self, real_ND: np.ndarray, made_MD: np.ndarray) -> dict[str, Estimate]:
        """The estimates by name, without count and extractor, of finite float64 features."""
        raise NotImplementedError

    def result(self) -> dict[str, float]:
        real, made = (self.rows(part) for part in (self.references, self.outputs))
        values = {}
        for name, (value, error) in self.compare(real, made).items():
            full = f"{name}{short(len(made))}" + f"_{self.extractor}" * bool(self.extractor)
            values |= {full: value, f"{full}_se": error}
        return values

    def rows(self, statistics: Statistics) -> np.ndarray:
        """All rows of a set, float64. Raises UserError where they are too few, or not finite."""
        which = "references" if statistics is self.references else "samples"
        parts = statistics.get(self.reads, [])
        rows = np.concatenate(parts).astype(np.float64) if parts else np.zeros((0, 1))
        if len(rows) < self.least:
            raise UserError(f"{self.word} needs at least {self.least} {which}, and there are {len(rows)}")
        if not np.isfinite(rows).all():
            raise UserError(f"{self.word}: the features of {which} are not finite")
        return rows


def short(count: int) -> str:
    """50000 -> `50k`, as in FID-50k; 1024 as it is."""
    return f"{count // 1000}k" if count and count % 1000 == 0 else str(count)
