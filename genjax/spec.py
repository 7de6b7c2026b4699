"""What a data set says of itself, field by field, so that models and data never import one another.

A field is a name and a kind. The kind tells which arrays of a batch belong to the field, each with the leading
dimension B: everything that has to know the shape of a batch asks it (see `DataSpec.arrays`).
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from genjax.errors import UserError
from genjax.registry import register

__all__ = [
    "Codes",
    "DataSpec",
    "Field",
    "Image",
    "Label",
    "Latent",
    "Mask",
    "Real",
    "States",
    "Tokens",
    "Values",
    "require",
]


class Values(NamedTuple):
    """One array of a batch, without its leading dimension: floats in [low, high], integers in [low, high)."""

    shape: tuple[int, ...]
    dtype: str
    low: float = -math.inf
    high: float = math.inf


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """Base of the kinds. Where a field is optional, NAME_present (B,) bool says which rows have it."""

    optional: bool = False

    def values(self, length: int | None = None) -> Values:
        """The array NAME. `length` is that of the batch at hand, for kinds whose batches differ in length."""
        raise NotImplementedError

    def arrays(self, name: str, length: int | None = None) -> dict[str, Values]:
        """Every array of a batch that belongs to the field `name`."""
        present = {f"{name}_present": Values((), "bool", 0, 2)} if self.optional else {}
        return {name: self.values(length), **present}

    def describe(self) -> str:
        """The kind in a few words, for messages."""
        return type(self).__name__.lower()


@register
@dataclasses.dataclass(frozen=True)
class Image(Field):
    """NAME (H, W, C) float32 in [-1, 1]."""

    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, self.channels)

    def values(self, length: int | None = None) -> Values:
        return Values(self.shape, "float32", -1.0, 1.0)

    def describe(self) -> str:
        return f"images of {self.height} x {self.width} x {self.channels}"


@register
@dataclasses.dataclass(frozen=True)
class Latent(Field):
    """NAME (h, w, 2 Z) float32: mean and log variance of a first stage's latents (h, w, Z), made by `genjax encode`.

    `std` is their standard deviation over the training split, whose inverse is the scale factor of latent diffusion;
    `image` the kind of the images that were encoded.
    """

    height: int
    width: int
    channels: int
    std: float
    image: Image

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, self.channels)

    def values(self, length: int | None = None) -> Values:
        return Values((self.height, self.width, 2 * self.channels), "float32")

    def describe(self) -> str:
        return f"latents of {self.height} x {self.width} x {self.channels}"


@register
@dataclasses.dataclass(frozen=True)
class Label(Field):
    """NAME () int32 in [0, classes); `names` of the classes, in the order of their numbers, where they have any."""

    classes: int
    names: tuple[str, ...] = ()

    def values(self, length: int | None = None) -> Values:
        return Values((), "int32", 0, self.classes)

    def describe(self) -> str:
        return f"labels of {self.classes} classes"


@register
@dataclasses.dataclass(frozen=True)
class Tokens(Field):
    """NAME (T,) int32 ids in [0, vocabulary), T one of `lengths`.

    Attributes:
      lengths: the lengths that batches have, in rising order: one, or one a bucket.
      shifted: NAME has T + 1 ids: NAME[:-1] are T inputs, NAME[1:] the T targets.
      ragged: NAME_length () int32 says how many of a row's ids count; padding follows.
      end: the id that closes a text, and that a decoder starts from; None where there is none.
      packed: NAME_segment (T,) int32 numbers the texts that share a row from 1 on; 0 is padding.
      answers: NAME_answer (T,) bool says which ids are to be learned; the others are only read.
      choices: where not 0, a packed row holds a question with each of its answers, this many at most, and
        NAME_choice (choices,) bool says which of them is right.
      notation: what the text is written in, where it can be shown otherwise: "abc", a tune; "" = prose, or unknown.
    """

    lengths: tuple[int, ...]
    vocabulary: int
    shifted: bool = False
    ragged: bool = False
    end: int | None = None
    packed: bool = False
    answers: bool = False
    choices: int = 0
    notation: str = ""

    @property
    def longest(self) -> int:
        return self.lengths[-1]

    def values(self, length: int | None = None) -> Values:
        return Values(((length or self.longest) + self.shifted,), "int32", 0, self.vocabulary)

    def arrays(self, name: str, length: int | None = None) -> dict[str, Values]:
        longest = (length or self.longest) + self.shifted
        counted = {f"{name}_length": Values((), "int32", 1, longest + 1)} if self.ragged else {}
        segment = {f"{name}_segment": Values((longest,), "int32", 0, longest + 1)} if self.packed else {}
        answer = {f"{name}_answer": Values((longest,), "bool", 0, 2)} if self.answers else {}
        choice = {f"{name}_choice": Values((self.choices,), "bool", 0, 2)} if self.choices else {}
        return super().arrays(name, length) | counted | segment | answer | choice

    def describe(self) -> str:
        return f"text of up to {self.longest} tokens"


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class Codes(Tokens):
    """Tokens that stand for a picture: the ids that a first stage makes of it, row after row of `grid`.

    `image` is the kind of the images that were encoded.
    """

    grid: tuple[int, int]
    image: Image

    def describe(self) -> str:
        return f"codes of {self.grid[0]} x {self.grid[1]} ids below {self.vocabulary}"


@register
@dataclasses.dataclass(frozen=True)
class Real(Field):
    """NAME of this shape, float32; ragged: NAME_length () int32 says how many of its first dimension count.

    counts: every number of the data is whole and not negative.
    """

    shape: tuple[int, ...]
    ragged: bool = False
    counts: bool = dataclasses.field(default=False, compare=False)

    def values(self, length: int | None = None) -> Values:
        return Values(self.shape, "float32")

    def arrays(self, name: str, length: int | None = None) -> dict[str, Values]:
        counted = {f"{name}_length": Values((), "int32", 1, self.shape[0] + 1)} if self.ragged else {}
        return super().arrays(name, length) | counted

    def describe(self) -> str:
        return f"numbers of shape {self.shape}"


@register
@dataclasses.dataclass(frozen=True)
class States(Field):
    """NAME (T,) int32 in [-1, states): the hidden state at each time of the sequence `of`; -1 where it has ended."""

    length: int
    states: int
    of: str

    def values(self, length: int | None = None) -> Values:
        return Values((self.length,), "int32", -1, self.states)


@register
@dataclasses.dataclass(frozen=True)
class Mask(Field):
    """NAME of this shape, bool: what counts."""

    shape: tuple[int, ...]

    def values(self, length: int | None = None) -> Values:
        return Values(self.shape, "bool", 0, 2)


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """The fields of every example, by name, and how many examples each split has (windows, for text)."""

    fields: dict[str, Field] = dataclasses.field(default_factory=dict)
    train_examples: int = 0
    validation_examples: int = 0
    test_examples: int = 0

    def arrays(self, lengths: Mapping[str, int] = {}) -> dict[str, Values]:
        """Every array of a training batch, `index` among them; `lengths` are those of a bucket, by field."""
        arrays = {"index": Values((), "int32", 0, 2**31)}
        for name, field in self.fields.items():
            arrays |= field.arrays(name, lengths.get(name))
        return arrays

    def of_kind(self, kind: type[Field]) -> dict[str, Any]:
        """The fields of one kind."""
        return {name: field for name, field in self.fields.items() if isinstance(field, kind)}

    def describe(self) -> str:
        """`image (images of 8 x 8 x 1), label (labels of 10 classes)`."""
        return ", ".join(f"{name} ({field.describe()})" for name, field in self.fields.items()) or "no fields"

    def random_batch(self, size: int, seed: int = 0, lengths: Mapping[str, int] = {}) -> dict[str, np.ndarray]:
        """A batch of noise in the shapes and ranges of the fields: for timing and for tests. Nothing is missing."""
        random, batch = np.random.default_rng(seed), {}
        for name, (shape, dtype, low, high) in self.arrays(lengths).items():
            if name == "index":
                batch[name] = np.arange(size, dtype=np.int32)
            elif name.endswith("_present"):
                batch[name] = np.ones((size, *shape), bool)
            elif np.issubdtype(np.dtype(dtype), np.floating):
                low, high = max(low, -1.0), min(high, 1.0)
                batch[name] = random.uniform(low, high, (size, *shape)).astype(dtype)
            else:
                batch[name] = random.integers(int(low), int(high), (size, *shape)).astype(dtype)
        return batch


Kind = TypeVar("Kind", bound=Field)


def require(spec: DataSpec, name: str, kind: type[Kind], system: str) -> Kind:
    """The field `name`, of this kind.

    Raises:
      UserError: the data has no such field, or one of another kind; those that it has are named.
    """
    field = spec.fields.get(name)
    if isinstance(field, kind):
        return field
    found = f"is {field.describe()}" if field else "is not there"
    others = [other for other in spec.of_kind(kind) if other != name]
    cure = f"--data.fields {name}={others[0]}" if others else "see --data.source, --data.path and --data.fields"
    raise UserError(
        f"{system} needs the field `{name}` of kind {kind.__name__}, which {found}; "
        f"this data has {spec.describe()}: {cure}"
    )
