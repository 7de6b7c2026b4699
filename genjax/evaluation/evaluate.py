"""How good a state is, on the run's own data and in its tasks: the model's sums over a split, metrics on samples."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from genjax.data import Dataset, load, require_unchanged, split_batches
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState
from genjax.errors import UserError
from genjax.evaluation.baseline import bag_of_words
from genjax.evaluation.measure import Measure
from genjax.evaluation.table import Row, rows
from genjax.experiment import Task
from genjax.models.base import SampleOptions
from genjax.spec import DataSpec, Tokens

__all__ = ["Evaluation", "evaluate"]


class _Part(NamedTuple):
    task: Task
    dataset: Dataset
    measure: Measure


class Evaluation:
    """Everything that a run is measured on. Data and statistics of references are kept from one call to the next."""

    def __init__(
        self, engine: Engine, dataset: Dataset, *, split: str = "validation", options: SampleOptions | None = None
    ):
        """`options` says how samples are drawn; None = the model's defaults.

        Raises UserError where a task's data is of another kind than the run's; UsageError as `Measure`.
        """
        self.engine = engine
        self.sheets: dict[str, np.ndarray] = {}  # by `table`: samples beside the training images most like them
        self.baselines: dict[str, dict[str, float]] = {}
        config, model = engine.experiment.eval, engine.model
        own = Task(split=split, examples=config.examples, metrics=(*model.metrics, *config.metrics))
        self.parts = {"": _part(engine, dataset, own, options)}
        for name, task in config.tasks.items():
            try:
                self.parts[f"{name}/"] = _part(engine, dataset, task, options)
            except UserError as error:
                raise type(error)(f"eval.tasks {name}: {error}") from None

    def __call__(self, state: TrainState) -> dict[str, float]:
        """Metric -> value; those of a task as TASK/METRIC.

        `<metric>_count` says over how many examples or tokens, once for each different count. A metric that nothing
        counted for is not there.
        """
        values = {}
        for prefix, part in self.parts.items():
            measured = _sums(self.engine, state, part.dataset, part.task) | self._baseline(prefix) | part.measure(state)
            values |= {f"{prefix}{metric}": value for metric, value in measured.items()}
        return values

    def table(
        self,
        state: TrainState,
        seeds: int = 1,
        floor: bool = True,
        watch: Callable[[Iterator, int], Iterable] = lambda batches, _: batches,
    ) -> list[Row]:
        """The same numbers as rows, for `seeds` sets of samples: that of the training's seed and the next ones.

        `floor`: also measure real examples in place of samples. `watch` as of `Measure`.
        """
        table, first = [], self.engine.experiment.train.seed
        for prefix, part in self.parts.items():
            sums = _sums(self.engine, state, part.dataset, part.task) | self._baseline(prefix)
            drawn = [sums | part.measure(state, (first + i) % 2**32, watch) for i in range(seeds)]
            self.sheets |= {prefix + name: sheet for name, sheet in part.measure.alike().items()}
            table += [
                row._replace(name=prefix + row.name) for row in rows(drawn, part.measure.floor() if floor else {})
            ]
        return table

    def _baseline(self, prefix: str) -> dict[str, float]:
        """Of a part, measured once; {} where the model names none."""
        part, fields = self.parts[prefix], self.engine.model.baseline
        if fields and prefix not in self.baselines:
            self.baselines[prefix] = bag_of_words(part.dataset, part.task.split, *fields, part.task.examples)
        return self.baselines.get(prefix, {})

    @property
    def signatures(self) -> tuple[str, ...]:
        """What a citation of the last values has to name, a line each."""
        return tuple(dict.fromkeys(signature for part in self.parts.values() for signature in part.measure.signatures))


def evaluate(engine: Engine, state: TrainState, dataset: Dataset) -> dict[str, float]:
    """One `Evaluation`."""
    return Evaluation(engine, dataset)(state)


def _part(engine: Engine, dataset: Dataset, task: Task, options: SampleOptions | None) -> _Part:
    """Raises UserError where there is no such split, or where the model cannot read other data as its own."""
    if task.data is not None:
        tokenizer = dataset.tokenizer
        dataset = load(task.data, tokenizer=tokenizer)
        require_unchanged(dataset, _laid_out(engine.spec, dataset.spec), tokenizer)
    if task.split not in dataset.splits:
        raise UserError(f"there is no {task.split} split; this data has {', '.join(dataset.splits)}")
    return _Part(task, dataset, Measure(engine, dataset, task.split, task.metrics, task.data, options))


def _laid_out(spec: DataSpec, other: DataSpec) -> DataSpec:
    """The fields of a run as a task's data may have them: the same tokens, in rows of another kind.

    Raises UserError where a row of one text is longer than the model has learned to read.
    """
    fields = dict(spec.fields)
    for name, field in spec.of_kind(Tokens).items():
        there = other.fields.get(name)
        if isinstance(there, Tokens) and (there.shifted, type(there)) == (field.shifted, type(field)):
            if there.longest > field.longest and not there.packed:
                raise UserError(f"`{name}` has {there.longest} tokens, and the model reads {field.longest}")
            layout = {key: getattr(there, key) for key in ("lengths", "ragged", "packed", "answers", "choices")}
            fields[name] = dataclasses.replace(field, **layout)
    return dataclasses.replace(spec, fields=fields)


def _sums(engine: Engine, state: TrainState, dataset: Dataset, task: Task) -> dict[str, float]:
    totals, counts, scales = defaultdict(float), defaultdict(float), {}
    batch_size = engine.experiment.data.batch_size
    batches = split_batches(dataset, task.split, batch_size, rows=engine.rows, examples=task.examples, follow=True)
    for number, batch in enumerate(batches):
        terms, state = engine.follow(state, batch, number * batch_size)
        for name, (total, count, scale) in terms.items():
            totals[name] += np.float64(total)  # on the host: float32 sums lose digits over many batches
            counts[name] += float(count)
            scales[name] = float(scale)
    counted = [name for name in totals if counts[name]]
    if not counted:
        return {}
    first = counts[counted[0]]
    averages = {name: scales[name] * totals[name] / counts[name] for name in counted}
    metrics = engine.model.finalize({**averages, "count": first})
    return metrics | {f"{name}_count": counts[name] for name in counted if counts[name] != first}
