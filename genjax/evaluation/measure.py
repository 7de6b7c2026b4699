"""How close samples are to the data, by the metrics of genjax.metrics."""

import functools
from collections.abc import Callable, Iterable, Iterator
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
from genjax.metrics.authenticity import Authenticity
from genjax.metrics.definitions import SE
from genjax.models.base import SampleOptions
from genjax.spec import Field

__all__ = ["Measure", "values_of"]


KNOWN = 50_000  # training examples, at most, that samples are looked up among


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

    def __init__(
        self,
        engine: Engine,
        dataset: Dataset,
        split: str,
        metrics: Iterable[str],
        data: Data | None = None,
        options: SampleOptions | None = None,
    ):
        """`data` says where the data set is from, if it is not the run's own, `options` how samples are drawn.

        Raises:
          UsageError: a metric that there is not, that cannot compare these samples with this data, or not by the
            features that were chosen. UserError: the extractor's weights cannot be read.
        """
        self.engine, self.dataset, self.split = engine, dataset, split
        self.options = engine.model.Options() if options is None else options
        self.conditional = bool(getattr(engine.model, "conditional", False)) and "label" in dataset.spec.fields
        self.outputs: dict[str, Field] = engine.model.outputs(engine.spec)
        self.fields: dict[str, tuple[str, ...]] = {}  # that each metric compares
        check_names(metrics)
        model, system, config = engine.model, type(engine.model).__name__, engine.experiment.eval
        for name in metrics:
            if not model.samples:
                raise UsageError(f"{name} compares samples with data, and {system} makes none")
            if METRICS[name].paired and not model.needs(self.options):
                raise UsageError(f"{name} compares each sample with its own example, and {system} samples from none")
            if METRICS[name].paired and config.samples is not None:
                raise UsageError(f"{name} compares each sample with its own example: leave --samples out")
            if METRICS[name].labelled and not self.conditional:
                raise UsageError(
                    f"{name} compares class by class, and these samples have no label (--model.conditional)"
                )
            self.fields[name] = compared_fields(name, self.outputs, dataset.spec)
        if self.fields and getattr(self.options, "label", ()):
            raise UsageError("--label: samples that are measured have the labels of the examples: leave it out")
        compared = {field: self.outputs[field] for fields in self.fields.values() for field in fields}
        self.extractor = extractor_for(
            self.fields, config.features, data or engine.experiment.data, compared, engine.jit
        )

    def __call__(
        self, state: TrainState, seed: int | None = None, watch: Callable[[Iterator, int], Iterable] = lambda x, _: x
    ) -> dict[str, float]:
        """Metric -> value. Where samples have several fields of a metric's kind, `_FIELD` stands behind its names.

        Args:
          seed: of the samples; None = that of training.
          watch: is handed the batches of samples and how many samples there are, and hands the batches on.
        """
        if not self.fields:
            return {}
        comparison, given, options = self._references
        comparison.reset()
        seed, done = self.engine.experiment.train.seed if seed is None else seed, 0
        batches = draws(self.engine, state, given, seed=seed, options=options, only=self._compared)
        for outputs in watch(batches, len(given["index"])):
            count = len(next(iter(outputs.values())))
            label = {"label": given["label"][done : done + count]} if "label" in given else {}
            comparison.update(label | outputs)
            done += count
        return values_of(comparison.metrics, self.outputs)

    def floor(self) -> dict[str, float]:
        """The same metrics with real examples in place of samples; the last samples are forgotten.

        These are training examples of the same labels, or those held out where the metric compares with training
        examples. Paired metrics have no floor.
        """
        if not self.fields:
            return {}
        comparison, given, _ = self._references
        comparison.reset()
        other = "validation" if self.split == "train" else "train"
        comparison.pretend(lambda: self._like(other, given), "held out")
        comparison.pretend(lambda: self._read("validation" if self.split == "train" else self.split, KNOWN), "train")
        values = values_of([metric for metric in comparison.metrics if not metric.paired], self.outputs)
        comparison.reset()
        return values

    def alike(self) -> dict[str, np.ndarray]:
        """Field -> (S, 1 + K, H, W, C): of the last samples those nearest to a training image, each beside the images
        that it is nearest to. Empty where nothing looks for them.
        """
        metrics = self._references.comparison.metrics if self.fields else []
        found = {m.name: m.alike for m in metrics if isinstance(m, Authenticity) and m.alike}
        sheets = {}
        for name, alike in found.items():
            wanted, rows, start = np.unique(alike.index), [], 0
            for batch in self._read("train", KNOWN):
                here = wanted[(wanted >= start) & (wanted < start + len(batch[name]))] - start
                rows.append(batch[name][here])
                start += len(batch[name])
            train = np.concatenate(rows)[np.searchsorted(wanted, alike.index)]
            sheets[name] = np.concatenate([alike.image[:, None], train], axis=1)
        return sheets

    @property
    def _compared(self) -> frozenset[str] | None:
        """The arrays of samples that the metrics read; None where that is all there is."""
        fields = {field for names in self.fields.values() for field in names}
        if fields == set(self.outputs):
            return None
        return frozenset({"label"}.union(*(self.outputs[field].arrays(field) for field in fields)))

    @property
    def signatures(self) -> tuple[str, ...]:
        """Of the metrics whose last result has one."""
        metrics = self._references.comparison.metrics if self.fields else []
        return tuple(metric.signature for metric in metrics if metric.signature)

    @functools.cached_property
    def _references(self) -> _References:
        # Every process reads the whole set: all compute the same numbers, and keep the same best checkpoint.
        config = self.engine.experiment.eval
        spec, tokenizer = self.dataset.spec, self.dataset.tokenizer
        seen_by = self.extractor.name if self.extractor else ""
        metrics = [
            METRICS[name](field, spec.fields[field], tokenizer, seen_by)
            for name in self.fields
            for field in self.fields[name]
        ]
        comparison = Comparison(metrics, self.extractor)
        if any(metric.against == "train" for metric in metrics) and not comparison.observe(
            lambda: self._read("train", KNOWN), "train"
        ):
            raise UserError("none of the training images can be read")
        count = comparison.observe(lambda: self._read(self.split, config.set_size)) or sum(
            len(batch["index"]) for batch in self._read(self.split, config.set_size)
        )
        if not count:
            names, size = ", ".join(self.fields), min(config.set_size, len(self.dataset.splits[self.split]))
            raise UserError(f"{names}: none of the first {size} {self.split} images can be read")
        spec = self.engine.spec
        given, options = conditions(
            self.engine.model, self.options, spec, self.dataset, tokenizer, count, split=self.split, paired=True
        )
        if config.samples is not None:
            rows = np.arange(config.samples) % len(given["index"])
            given = {name: array[rows] for name, array in given.items()}
            given["index"] = np.arange(config.samples, dtype=np.int32)
        for metric in metrics:
            metric.matched = config.samples is None and self.conditional
        return _References(comparison, given, options)

    def _like(self, split: str, given: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Random examples of a split, as many as samples; as many of each class, where samples have labels.

        The first ones would not do: people's files stand in an order, such as that of their kinds.
        """
        chance, there = np.random.default_rng(0), len(self.dataset.splits[split])
        if not self.conditional:
            order_N = chance.choice(there, min(there, len(given["index"])), replace=False)
            yield from self._read(split, None, order_N)
            return
        wanted = np.bincount(given["label"])
        for batch in self._read(split, None, chance.permutation(there)):
            taken = []
            for row, label in enumerate(batch["label"]):
                if label < len(wanted) and wanted[label]:
                    wanted[label] -= 1
                    taken.append(row)
            if taken:
                yield {name: array[taken] for name, array in batch.items()}
            if not wanted.any():
                return

    def _read(
        self, split: str, examples: int | None, order_N: np.ndarray | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """The first examples of a split, or of an order of it, without the unreadable ones."""
        rows, texts = self.engine.experiment.data.batch_size, self.dataset.texts.get(split, {})
        for number, batch in enumerate(split_batches(self.dataset, split, rows, examples=examples, order_N=order_N)):
            if (valid := batch["valid"]).any():
                example_N = number * rows + np.flatnonzero(valid)
                example_N = example_N if order_N is None else order_N[example_N]
                raw = {f"{name}_text": text_N[example_N] for name, text_N in texts.items()}
                yield {name: array[valid] for name, array in batch.items()} | raw


def values_of(metrics: Iterable[Metric], fields: dict[str, Field]) -> dict[str, float]:
    """The results of all metrics; `_FIELD` stands behind their names where `fields` has several of a metric's kind."""
    values = {}
    for metric in metrics:
        alone = sum(isinstance(field, metric.needs) for field in fields.values()) == 1
        for name, value in metric.result().items():
            bare, end = (name.removesuffix(SE), SE) if name.endswith(SE) else (name, "")
            values[name if alone else f"{bare}_{metric.name}{end}"] = value
    return values
