"""One protocol for every measure of samples. It runs on the host, over sets of any size, batch after batch."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from genjax.spec import Field

__all__ = ["Metric", "Statistics", "full_name"]

Statistics = dict[str, Any]  # what a metric keeps of a set of examples


class Metric:
    """Compares the field `name` of outputs with the field of the same name of references, never with another.

    `observe` every batch of references, `update` with every batch of outputs, then ask for the `result`. A set metric
    compares two sets, whatever their order. Of a `paired` metric output i belongs to reference i.

    Attributes:
      values: what each value of `result` says, for a reader who cites it, by its name without count and extractor.
      source: where the values are defined.
      needs: the kind of the field.
      against: which examples the references are: those that the model has not seen, or those it was trained on.
      higher: the values that are better where they are higher, of a metric of which this is not true of all.
      labelled: the metric reads `label` of both sets too.
      over_features: the metric reads NAME_features or NAME_logits instead of NAME: whoever feeds it has an extractor
        look at the pictures first (see `genjax.metrics.features`).
      beside: further arrays of the references that a metric over features reads.
      references, outputs: the statistics of the two sets, all that `result` needs. Those of the references serve many
        evaluations (see `reset`), and may be kept elsewhere and put back in place of calls to `observe`.
      field: the field of the references.
      tokenizer: of the data's text; None where there is none.
      extractor: the name of what has made the features; "" where there are none.
      matched: sample i was drawn for the label of reference i: the bootstrap draws both together.
      signature: what a citation of the last result has to name, such as sacreBLEU's version and settings; "" = nothing.
    """

    values: ClassVar[Mapping[str, str]] = {}
    source: ClassVar[str] = ""
    needs: ClassVar[type[Field]]
    against: ClassVar[Literal["held out", "train"]] = "held out"
    higher: ClassVar[tuple[str, ...]] = ()
    labelled: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    over_features: ClassVar[bool] = False
    beside: ClassVar[tuple[str, ...]] = ()
    higher_is_better: ClassVar[bool] = False

    def __init__(self, name: str, field: Field, tokenizer: Any = None, extractor: str = ""):
        self.name, self.field, self.tokenizer, self.extractor = name, field, tokenizer, extractor
        self.matched, self.signature = False, ""
        self.references: Statistics = {}
        self.outputs: Statistics = {}

    def observe(self, batch: dict[str, np.ndarray]) -> None:
        """Takes a batch of references, all rows of which count."""
        self.add(self.references, batch)

    def update(self, batch: dict[str, np.ndarray]) -> None:
        """Takes a batch of outputs."""
        self.add(self.outputs, batch)

    def reset(self) -> None:
        """Forgets the outputs and keeps the references."""
        self.outputs = {}

    def add(self, statistics: Statistics, batch: dict[str, np.ndarray]) -> None:
        """Adds a batch to the statistics of its set. Here these are the rows of the field and of what belongs to it.

        A set metric leaves out the rows that lack an optional field.
        """
        names = (self.name, *(f"{self.name}_{part}" for part in ("length", "present", "text")))
        arrays = {key: batch[key] for key in names if key in batch}
        present = arrays.get(f"{self.name}_present")
        if present is not None and not self.paired:
            arrays = {key: array[present] for key, array in arrays.items()}
        for key, array in arrays.items():
            statistics.setdefault(key, []).append(array)

    def result(self) -> dict[str, float]:
        """The values, by name; none where nothing counts. Raises UserError for sets that cannot be compared."""
        raise NotImplementedError


def full_name(value: str, count: int, extractor: str = "") -> str:
    """`fd50k_inception`: over 50,000 samples, by the features of Inception; 1024 samples are `fd1024`."""
    short = f"{count // 1000}k" if count and count % 1000 == 0 else str(count)
    return f"{value}{short}" + f"_{extractor}" * bool(extractor)
