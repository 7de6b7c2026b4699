"""Data of noise in the shapes of a description, for timing where the data is not at hand."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from genjax.data.dataset import Dataset
from genjax.data.draws import Draws
from genjax.memory import require_room
from genjax.orders import Examples
from genjax.spec import DataSpec, Tokens

__all__ = ["synthetic_dataset"]


@dataclasses.dataclass(frozen=True)
class _Batch:
    """One batch at the full length of its texts, of which rows are taken and texts cut."""

    spec: DataSpec
    arrays: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.arrays["index"])

    @property
    def examples(self) -> Examples:
        return Examples(len(self))

    def gather(
        self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}
    ) -> dict[str, np.ndarray]:
        batch = {name: rows[ids_B] for name, rows in self.arrays.items() if name != "index"}
        for name, field in self.spec.of_kind(Tokens).items():
            for array, values in field.arrays(name, lengths.get(name)).items():
                if values.shape:
                    batch[array] = batch[array][:, : values.shape[0]]
                elif array.endswith("_length"):
                    batch[array] = np.minimum(batch[array], values.high - 1)
        return batch


def synthetic_dataset(spec: DataSpec, size: int) -> Dataset:
    """A data set of one random batch of `size` examples (see `DataSpec.random_batch`), with the fields of `spec`."""
    shapes = [((size, *values.shape), np.dtype(values.dtype)) for values in spec.arrays().values()]
    require_room(sum(math.prod(shape) * dtype.itemsize for shape, dtype in shapes), f"a batch of {size} examples")
    source = _Batch(spec, spec.random_batch(size))
    return Dataset(dataclasses.replace(spec, train_examples=size, validation_examples=size), source, source)
