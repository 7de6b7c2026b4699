"""What every kind of data becomes: a source for each split and a description."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from genjax.data.draws import Draws
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UserError
from genjax.orders import Epochs, Examples, Order, Shape
from genjax.spec import DataSpec, Field, Latent, Real, Tokens

__all__ = ["Dataset", "Source", "field_change", "hold_out", "require_unchanged"]


class Source(Protocol):
    """One split, read a whole batch at a time."""

    @property
    def examples(self) -> Examples:
        """What an order has to know: the number of ids, and the lengths of texts."""

    def __len__(self) -> int:
        """The number of ids."""

    def gather(
        self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}
    ) -> dict[str, np.ndarray]:
        """The arrays (B, ...) of some examples.

        May hold `valid` (B,) bool: False where another example stands for one that cannot be read.

        Args:
          ids_B: the examples; (B, P) for a source of P domains.
          draws: augment the examples; None leaves them as they are.
          lengths: what ragged fields are padded to, by field; others to their longest.
        """


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A loaded data set.

    Attributes:
      validation: the split that is measured during training.
      test: the split that is kept for the end; None where the data has none, or where it validates.
      tokenizer: of all fields of text.
      order: the order of training that was asked for, or that the data suggests.
      skipped: each file that cannot be read, with the reason. It grows while reading. (Single dict operations are
        atomic: the threads that decode need no lock.)
      unused: columns, arrays or features of the data that became no field.
      notes: what else the user should know, a line each.
      texts: split -> field -> the texts (N,) themselves, whole, of fields of text: references of metrics.
      rows: split -> the rows (N,) of the columns that it was made of, where it was made of columns.
    """

    spec: DataSpec
    train: Source
    validation: Source
    test: Source | None = None
    tokenizer: Tokenizer | None = None
    order: Order = dataclasses.field(default_factory=Epochs)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    texts: Mapping[str, Mapping[str, np.ndarray]] = dataclasses.field(default_factory=dict)
    rows: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def splits(self) -> dict[str, Source]:
        """The splits that there are, by name."""
        splits = {"train": self.train, "validation": self.validation}
        return splits if self.test is None else {**splits, "test": self.test}

    def shapes(self, batch_size: int, order: Order | None = None) -> tuple[Shape, ...]:
        """Every shape that a training batch may have."""
        return (order or self.order).shapes(self.train.examples, batch_size)

    def mean_rows(self, batch_size: int) -> float:
        """The examples of a training batch, on average."""
        return self.order.mean_rows(self.train.examples, batch_size)


FOLLOWS = ((Latent, "std"), (Tokens, "end"), (Real, "counts"))  # from the examples, which may come and go


def require_unchanged(dataset: Dataset, spec: DataSpec, tokenizer: Tokenizer | None) -> None:
    """Raises UserError where the data is no longer the data of a run (`spec`, `tokenizer`).

    The fields must be the same, which are kinds, shapes, classes and tokens; examples may have come or gone, and
    further fields may have come.
    """
    for name, then in spec.fields.items():
        if change := field_change(name, then, dataset.spec.fields.get(name)):
            raise UserError(f"the data is not what the run was trained on: {change}")
    if tokenizer is not None and list(tokenizer.pieces) != list(getattr(dataset.tokenizer, "pieces", ())):
        raise UserError("the data is not what the run was trained on: its text gives other tokens now")


def field_change(name: str, then: Field, now: Field | None) -> str | None:
    """How a field has changed; None where it has not."""
    if type(then) is not type(now):
        return f"`{name}` was {then.describe()}, and is {now.describe() if now else 'not there'} now"
    for attribute in dataclasses.fields(then):
        if (type(then), attribute.name) in FOLLOWS:
            continue
        before, after = getattr(then, attribute.name), getattr(now, attribute.name)
        if before != after:
            return f"the {attribute.name} of `{name}` was {before}, and is {after} now"
    return None


def hold_out(count: int, share: float, name: str, label_N: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The ids of (training, validation): a seeded random `share` is held out, the same on every machine.

    Those for validation stay in random order: data often lies class by class, and a sheet shows the first few.
    The only example of a class stays in training, and one of a class that has more is held out in its place.
    """
    if count < 2:
        raise UserError(f"{name}: {count} example(s); at least 2 are needed, one of them for validation")
    held = min(max(round(count * share), 1), count - 1)
    order = np.random.Generator(np.random.Philox(0)).permutation(count)
    if label_N is not None:
        left = Counter(label_N[order[held:]].tolist())  # in training, by class
        for n in np.flatnonzero(~np.isin(label_N[order[:held]], list(left))):
            spare = next((k for k in range(held, count) if left[label_N[order[k]]] > 1), None)
            if spare is None or left[label_N[order[n]]]:
                continue
            left[label_N[order[spare]]] -= 1
            left[label_N[order[n]]] += 1
            order[[n, spare]] = order[[spare, n]]
    return np.sort(order[held:]), order[:held]
