"""What metrics over features have in common: their arrays, their names, and sets that cannot be compared."""

from typing import ClassVar

import numpy as np

from genjax.errors import UserError
from genjax.metrics.base import Metric, Statistics, full_name
from genjax.metrics.bootstrap import Estimate
from genjax.spec import Field, Image

__all__ = ["FeatureMetric"]


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
        statistics.setdefault(self.reads, []).append(self.present(batch, f"{self.name}_{self.reads}"))

    def present(self, batch: dict[str, np.ndarray], name: str) -> np.ndarray:
        """The rows of an array of the batch whose field is there."""
        present = batch.get(f"{self.name}_present")
        return batch[name] if present is None else batch[name][present]

    def compare(self, real_ND: np.ndarray, made_MD: np.ndarray) -> dict[str, Estimate]:
        """The estimates by name, without count and extractor, of finite float64 features."""
        raise NotImplementedError

    def result(self) -> dict[str, float]:
        real, made = (self.rows(part) for part in (self.references, self.outputs))
        values = {}
        for name, (value, error) in self.compare(real, made).items():
            full = full_name(name, len(made), self.extractor)
            values |= {full: value, f"{full}_se": error}
        return values

    def rows(self, statistics: Statistics) -> np.ndarray:
        """All rows of a set, float64. Raises UserError where they are too few, or not finite."""
        which = "references" if statistics is self.references else "samples"
        parts = statistics.get(self.reads, [])
        rows = np.concatenate(parts).astype(np.float64) if parts else np.zeros((0, 1))
        self.require(len(rows), which)
        if not np.isfinite(rows).all():
            raise UserError(f"{self.word}: the features of {which} are not finite")
        return rows

    def require(self, count: int, which: str) -> None:
        """Raises UserError for a set of fewer than `least`."""
        if count < self.least:
            raise UserError(f"{self.word} needs at least {self.least} {which}, and there are {count}")
