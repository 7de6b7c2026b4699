"""What a user may choose when sampling, and how samples are shown."""

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np

from genjax.errors import UsageError
from genjax.spec import DataSpec, Label

if TYPE_CHECKING:
    from genjax.models.base import Model

__all__ = ["Given", "LabelOptions", "Layout", "SampleOptions"]


class Given(Protocol):
    """What sample options may make conditions of."""

    spec: DataSpec
    tokenizer: Any  # of the data's text; None where there is none

    def image(self, path: str, flag: str, shape: tuple[int, int, int], crop: bool = True) -> np.ndarray:
        """An image file as (H, W, C) float32 in [-1, 1]. Raises UsageError that names the flag; if not `crop`, also
        where the file has another shape, rather than cutting it."""

    def mask(self, path: str, flag: str, image: str, shape: tuple[int, int, int]) -> np.ndarray:
        """A mask for the image file `image`, (H, W, 1) float32: 1 where it is white. Raises as `image`."""

    def rows(self, names: tuple[str, ...], num: int) -> dict[str, np.ndarray]:
        """Arrays of the fields `names` of the first `num` validation examples."""


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """What a user may choose when sampling; a model extends it. Hashable, static under `jit`."""

    @property
    def count(self) -> int | None:
        """How many samples these options ask for; None = any number."""
        return None

    def conditions(self, model: "Model", given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """What `num` samples are conditioned on by these options, arrays (num, ...) by name.

        Returns the options too, without what has become a condition, so that they compile once.

        Raises:
          UsageError: an option that says something impossible.
        """
        return {}, self


@dataclasses.dataclass(frozen=True)
class LabelOptions(SampleOptions):
    """Of a model that may be conditional on the label; `Model.check` refuses `label` where it is not."""

    label: tuple[int | str, ...] = ()  # classes, by number or by name, in turn; () = all

    def conditions(self, model: "Model", given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """Labels repeated in turn until there are enough; labels not asked for run through all classes."""
        field = given.spec.fields.get("label")
        if field is None:
            return super().conditions(model, given, num)
        labels = [_number(label, field) for label in self.label] or range(field.classes)
        return {"label": np.resize(np.asarray(labels, np.int32), num)}, dataclasses.replace(self, label=())


def _number(label: int | str, field: Label) -> int:
    """The number of a class. Raises UsageError for one that the data has not."""
    if isinstance(label, str) and label in field.names:
        return field.names.index(label)
    if not isinstance(label, str) and 0 <= label < field.classes:
        return label
    own = [name for name in field.names if not name.isdigit()]
    near = difflib.get_close_matches(str(label), own, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    named = f", or {', '.join(own[:20])}" if own else ""
    raise UsageError(f"--label {label}: {hint}the classes are 0 to {field.classes - 1}{named}")


class Layout(NamedTuple):
    """How a sheet shows samples.

    Attributes:
      beside: what stands side by side for every example: names of outputs, or `given.NAME` for the condition NAME. ()
        shows each output by itself.
      columns: examples in a row; None = as fits.
      lines: a .txt file has the words of an example in each line, and nothing else.
      maps: (NAME, ROWS, COLUMNS): the array NAME (N, T, S) is drawn as a heat map over the tokens of two texts, ROWS
        and COLUMNS, or under T words of its own.
    """

    beside: tuple[str, ...] = ()
    columns: int | None = None
    lines: bool = False
    maps: tuple[tuple[str, str | tuple[str, ...], str], ...] = ()
