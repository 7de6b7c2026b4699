"""What samples are conditioned on: by the options that a user chose, and by examples of the data."""

import dataclasses
from typing import Any

import numpy as np

from genjax.data import Dataset, split_batches
from genjax.data.pictures import read_image, read_mask
from genjax.errors import UsageError, UserError
from genjax.memory import available, require_room
from genjax.models.base import Model, SampleOptions
from genjax.spec import DataSpec

__all__ = ["conditions"]

READ = 256  # most examples that are read at once


@dataclasses.dataclass(frozen=True)
class _Given:
    """What `genjax.models.base.Given` promises to options; `dataset` may be missing where no rows are asked for."""

    spec: DataSpec
    tokenizer: Any
    dataset: Dataset | None
    split: str

    def image(self, path: str, flag: str, shape: tuple[int, int, int], crop: bool = True) -> np.ndarray:
        return read_image(path, shape, flag, crop)

    def mask(self, path: str, flag: str, image: str, shape: tuple[int, int, int]) -> np.ndarray:
        return read_mask(path, shape, image, flag)

    def rows(self, names: tuple[str, ...], num: int) -> dict[str, np.ndarray]:
        """Arrays of these fields for the first `num` examples that can be read, or for as many as there are."""
        if missing := [name for name in names if name not in self.spec.fields]:
            raise UserError(f"samples are made from the field `{missing[0]}`; this data has {self.spec.describe()}")
        arrays = [array for name in dict.fromkeys(names) for array in self.spec.fields[name].arrays(name)]
        parts, left = {name: [] for name in arrays}, num
        for batch in split_batches(self.dataset, self.split, min(num, READ)):
            rows = np.flatnonzero(batch["valid"])[:left]
            for name in arrays:
                parts[name].append(batch[name][rows])
            left -= len(rows)
            if not left:
                break
        if left == num:
            raise UserError(f"samples are made from {self.split} examples, and none of them can be read")
        return {name: joined(part) for name, part in parts.items()}


def conditions(
    model: Model,
    options: SampleOptions,
    spec: DataSpec,
    dataset: Dataset | None,
    tokenizer: Any,
    num: int,
    *,
    split: str = "validation",
    paired: bool = False,
) -> tuple[dict[str, np.ndarray], SampleOptions]:
    """What `num` samples are conditioned on, or fewer: no example is taken twice where the split has less.

    Args:
      dataset: needed where `paired` or `model.needs(options)` asks for its examples.
      split: of these examples.
      paired: sample i belongs to example i, and has its label, whatever the model needs of it: for metrics.

    Returns:
      Arrays (n, ...) by name, with `index` (n,); and the options, checked, without what has become a condition, so
      that they compile once.

    Raises:
      UsageError: options that the model has not, or that say something impossible. UserError: no example is readable.
    """
    options = model.check(options)
    needs, label = model.needs(options), getattr(options, "label", ())
    given = _Given(spec, tokenizer, dataset, split)
    one, _ = options.conditions(model, given, 1)
    size = num * (4 + sum(array.nbytes for array in one.values()))
    require_room(size, f"the conditions of {num} samples", there=available() // 4)  # they are not alone
    made, options = options.conditions(model, given, num)
    if needs and label:
        raise UsageError(f"--label: these samples are made from {split} examples, which have their own labels")
    if needs or paired:
        own = tuple(name for name in made if name in spec.fields)
        if names := (*needs, *own):
            made = made | given.rows(names, num)
    if not (paired or "label" in needs or getattr(model, "conditional", True)):
        made.pop("label", None)  # samples of no class are not called by one, on sheets and in files
    count = min((len(array) for array in made.values()), default=num)
    return {"index": np.arange(count, dtype=np.int32)} | {name: array[:count] for name, array in made.items()}, options


def joined(parts: list[np.ndarray]) -> np.ndarray:
    """The rows of all parts in one array; texts (n, T) of fewer tokens are filled up with zeros."""
    if parts[0].ndim == 2:
        longest = max(part.shape[1] for part in parts)
        parts = [np.pad(part, ((0, 0), (0, longest - part.shape[1]))) for part in parts]
    return np.concatenate(parts)
