"""How close samples are to the data, by the metrics of genjax.metrics."""

import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from genjax.data import Dataset, split_batches
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState
from genjax.errors import UsageError, UserError
from genjax.evaluation.comparison import Comparison
from genjax.evaluation.conditions import conditions
from genjax.evaluation.extractors import extractor_for
from genjax.evaluation.sampling import draws
from genjax.experiment import Data
from genjax.metrics import METRICS, Metric, check_names, compared_fields
from genjax.models.base import SampleOptions
from genjax.spec import Field

__all__ = ["Measure", "values_of"]


class _References(NamedTuple):
    """What all evaluations of a run share: metrics that have seen the examples, and what samples are made from."""

    comparison: Comparison
    conditions: dict[str, np.ndarray]
    options: SampleOptions


class Measure:
    """Metrics between examples of one split and samples, as many or `eval.samples`.

    The examples are read once, at the first call. Where there are more samples than examples, samples i and i + COUNT
    are conditioned on the same example.
    """

    def __init__(self, engine: Engine, dataset: Dataset, split: str, metrics: Iterable[str], data: Data | None = None):
        """`data` says where the data set is from, if it is not the run's own.

        Raises:
          UsageError: a metric that there is not, that cannot compare these samples with this data, or not by the
            features that were chosen. UserError: the extractor's weights cannot be read.
        """
        self.engine, self.dataset, self.split = engine, dataset, split
        self.outputs: dict[str, Field] = engine.model.outputs(engine.spec)
        self.fields: dict[str, tuple[str, ...]] = {}  # that each metric compares
        check_names(metrics)
        model, system, config = engine.model, type(engine.model).__name__, engine.experiment.eval
        for name in metrics:
            if not model.samples:
                raise UsageError(f"{name} compares samples with data, and {system} makes none")
            if METRICS[name].paired and not model.needs(model.Options()):
                raise UsageError(f"{name} compares each sample with its own example, and {system} samples from none")
            if METRICS[name].paired and config.samples is not None:
                raise UsageError(f"{name} compares each sample with its own example: leave --samples out")
            self.fields[name] = compared_fields(name, self.outputs, dataset.spec)
        compared = {field: self.outputs[field] for fields in self.fields.values() for field in fields}
        self.extractor = extractor_for(
            self.fields, config.features, data or engine.experiment.data, compared, engine.jit
        )

    def __call__(self, state: TrainState) -> dict[str, float]:
        """Metric -> value. Where samples have several fields of a metric's kind, `_FIELD` stands behind its names."""
        if not self.fields:
            return {}
        comparison, given, options = self._references
        comparison.reset()
        seed = self.engine.experiment.train.seed
        for outputs in draws(self.engine, state, given, seed=seed, options=options):
            comparison.update(outputs)
        return values_of(comparison.metrics, self.outputs)

    @functools.cached_property
    def _references(self) -> _References:
        # Every process reads the whole set: all compute the same numbers, and keep the same best checkpoint.
        config = self.engine.experiment.eval
        size = min(config.set_size, len(self.dataset.splits[self.split]))
        spec, tokenizer = self.dataset.spec, self.dataset.tokenizer
        seen_by = self.extractor.name if self.extractor else ""
        metrics = [
            METRICS[name](field, spec.fields[field], tokenizer, seen_by)
            for name in self.fields
            for field in self.fields[name]
        ]

        def read() -> Iterator[dict[str, np.ndarray]]:
            for batch in split_batches(self.dataset, self.split, self.engine.experiment.data.batch_size, examples=size):
                if (valid := batch["valid"]).any():
                    yield {name: array[valid] for name, array in batch.items()}  # without the unreadable ones

        comparison = Comparison(metrics, self.extractor)
        count = comparison.observe(read)
        if not count:
            names = ", ".join(self.fields)
            raise UserError(f"{names}: none of the first {size} {self.split} images can be read")
        model = self.engine.model
        given, options = conditions(
            model, model.Options(), self.engine.spec, self.dataset, tokenizer, count, split=self.split, paired=True
        )
        if config.samples is not None:
            rows = np.arange(config.samples) % len(given["index"])
            given = {name: array[rows] for name, array in given.items()}
            given["index"] = np.arange(config.samples, dtype=np.int32)
        return _References(comparison, given, options)


def values_of(metrics: Iterable[Metric], fields: dict[str, Field]) -> dict[str, float]:
    """The results of all metrics; `_FIELD` stands behind their names where `fields` has several of a metric's kind."""
    values = {}
    for metric in metrics:
        alone = sum(isinstance(field, metric.needs) for field in fields.values()) == 1
        values |= {name if alone else f"{name}_{metric.name}": value for name, value in metric.result().items()}
    return values
