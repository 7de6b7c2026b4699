"""What every kind of data becomes: two sources and a description."""

import dataclasses
from typing import ClassVar, Protocol

import numpy as np

from genjax.data.tokenizers import Tokenizer
from genjax.errors import UserError
from genjax.spec import DataSpec


class Source(Protocol):
    """One split, read a whole batch at a time."""

    replacement: ClassVar[bool]  # training draws ids with replacement (too many to permute) instead of by epochs

    def __len__(self) -> int:
        """Number of ids."""

    def gather(self, ids_B: np.ndarray, draws_B3: np.ndarray | None) -> dict[str, np.ndarray]:
        """The examples of `ids_B`; `draws_B3` uniform in [0, 1) augments them, None leaves them as they are.

        May hold `valid` (B,) bool: False where an unreadable example was replaced by another.
        """


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A loaded data set. `skipped` maps each unreadable file to the reason, and grows while reading.

    (Single dict operations are atomic: the threads that decode need no lock.)
    """

    spec: DataSpec
    train: Source
    validation: Source
    tokenizer: Tokenizer | None = None
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)


def require_unchanged(dataset: Dataset, spec: DataSpec, tokenizer: Tokenizer | None) -> None:
    """Raises UserError where the data is no longer what a run was trained on (`spec`, `tokenizer`).

    Shapes, classes and tokens must be the same; examples may have come or gone.
    """
    for name in ("image_shape", "latent_shape", "classes", "class_names", "vocabulary", "context"):
        then, now = getattr(spec, name), getattr(dataset.spec, name)
        if then != now:
            raise UserError(f"the data is not what the run was trained on: its {name} was {then}, and is {now} now")
    if tokenizer is not None and list(tokenizer.pieces) != list(getattr(dataset.tokenizer, "pieces", ())):
        raise UserError("the data is not what the run was trained on: its text gives other tokens now")


def hold_out(count: int, share: float, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The ids of (training, validation): a seeded random `share` is held out, the same on every machine."""
    if count < 2:
        raise UserError(f"{name}: {count} example(s); at least 2 are needed, one of them for validation")
    held = min(max(round(count * share), 1), count - 1)
    order = np.random.Generator(np.random.Philox(0)).permutation(count)
    return np.sort(order[held:]), np.sort(order[:held])
