"""Random batches in the shapes of a recipe's data, for timing where the data is not at hand."""

import dataclasses
from typing import ClassVar

import numpy as np

from genjax.bench.spec import abstract_batch, spec_without_data
from genjax.data import Dataset
from genjax.experiment import Experiment
from genjax.spec import DataSpec


@dataclasses.dataclass(frozen=True)
class _Repeated:
    """One random batch again and again."""

    fields: dict[str, np.ndarray]
    replacement: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def gather(self, ids_B: np.ndarray, draws_B3: np.ndarray | None) -> dict[str, np.ndarray]:
        return {name: rows[ids_B] for name, rows in self.fields.items()}


def synthetic_dataset(experiment: Experiment) -> Dataset:
    """A data set of one batch. Raises UserError where the recipe does not say the shapes: the fields are named."""
    spec = spec_without_data(experiment)
    size = experiment.data.batch_size
    spec = dataclasses.replace(spec, train_examples=size, validation_examples=size)
    source = _Repeated({name: rows for name, rows in random_batch(spec, size).items() if name != "index"})
    return Dataset(spec, source, source)


def random_batch(spec: DataSpec, size: int) -> dict[str, np.ndarray]:
    """A training batch as the data pipeline makes it: uniform noise for images, uniform labels and ids."""
    random, fields = np.random.default_rng(0), {"index": np.arange(size, dtype=np.int32)}
    for name, like in abstract_batch(spec, size, None).items():
        if name in fields:
            continue
        if np.issubdtype(like.dtype, np.floating):
            fields[name] = random.uniform(-1, 1, like.shape).astype(like.dtype)
        else:
            below = {"label": spec.classes, "tokens": spec.vocabulary}.get(name, 1)
            fields[name] = random.integers(0, below, like.shape).astype(like.dtype)
    return fields
