"""Sources made of sources: fields side by side, domains, views that may be missing, mixtures."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from genjax.data.dataset import Source
from genjax.data.draws import Draws
from genjax.errors import UserError
from genjax.orders import Examples

__all__ = ["Concat", "Views", "Zip"]


@dataclasses.dataclass(frozen=True)
class Zip:
    """Sources side by side, each with fields of its own.

    Attributes:
      pairing: "aligned": example n has the n-th example of each, and one draw augments all alike. "random": each is a
        domain of its own, augmented by itself; without an order that pairs them, the shorter ones are repeated.

    Raises:
      UserError: aligned sources of unequal length, or one without examples.
    """

    members: dict[str, Source]
    pairing: Literal["aligned", "random"] = "aligned"

    def __post_init__(self):
        counts = {name: len(member) for name, member in self.members.items()}
        if empty := [name for name, count in counts.items() if not count]:
            raise UserError(f"`{empty[0]}` has no examples")
        if self.pairing == "aligned" and len(set(counts.values())) > 1:
            listed = ", ".join(f"{count} of `{name}`" for name, count in counts.items())
            raise UserError(f"aligned fields need as many examples each, but there are {listed}")

    def __len__(self) -> int:
        return max(len(member) for member in self.members.values())

    @property
    def examples(self) -> Examples:
        inner = [member.examples for member in self.members.values()]
        if self.pairing == "random":
            return Examples(len(self), parts=tuple(each.count for each in inner), unpaired=True)
        lengths = {name: length_N for each in inner for name, length_N in each.lengths.items()}
        return Examples(len(self), lengths, max(each.longest for each in inner))

    def gather(
        self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}
    ) -> dict[str, np.ndarray]:
        batch, valid = {}, []
        for n, (name, member) in enumerate(self.members.items()):
            if self.pairing == "aligned":
                read = member.gather(ids_B, draws, lengths)
            else:
                ids = ids_B[:, n] if ids_B.ndim == 2 else ids_B % len(member)
                read = member.gather(ids, draws and draws.scope(name), lengths)
            valid += [read.pop("valid")] if "valid" in read else []
            batch |= read
        return batch | ({"valid": np.logical_and.reduce(valid)} if valid else {})


@dataclasses.dataclass(frozen=True)
class Views:
    """Optional fields: NAME_present (B,) says which rows have NAME; elsewhere it is 0.

    Attributes:
      members: a source for each field, of the examples that have it.
      rows: for each field the row (N,) of its source that an example has, -1 for none.
    """

    members: dict[str, Source]
    rows: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    @property
    def examples(self) -> Examples:
        lengths, longest = {}, 0
        for name, member in self.members.items():
            inner, row_N = member.examples, self.rows[name]
            longest = max(longest, inner.longest)
            lengths |= {key: np.where(row_N < 0, 1, length[row_N]) for key, length in inner.lengths.items()}
        return Examples(len(self), lengths, longest)

    def gather(
        self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}
    ) -> dict[str, np.ndarray]:
        batch = {}
        for name, member in self.members.items():
            row_B = self.rows[name][ids_B]
            read = member.gather(np.maximum(row_B, 0), draws, lengths)
            present_B = (row_B >= 0) & read.pop("valid", True)  # a view that cannot be read is one that is missing
            like = present_B.reshape(-1, *(1,) * (read[name].ndim - 1))
            read[name] = np.where(like, read[name], np.zeros((), read[name].dtype))
            if (length := f"{name}_length") in read:
                read[length] = np.where(present_B, read[length], 1)
            batch |= read | {f"{name}_present": present_B}
        return batch


@dataclasses.dataclass(frozen=True)
class Concat:
    """The examples of several sources one after another, as an order of parts reads them."""

    members: tuple[Source, ...]

    def __len__(self) -> int:
        return sum(map(len, self.members))

    @property
    def examples(self) -> Examples:
        inner = [member.examples for member in self.members]
        lengths = {name: np.concatenate([each.lengths[name] for each in inner]) for name in inner[0].lengths}
        follows = min(each.follows for each in inner)
        longest = max(each.longest for each in inner)
        return Examples(len(self), lengths, longest, tuple(each.count for each in inner), follows=follows)

    def gather(
        self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}
    ) -> dict[str, np.ndarray]:
        ends = np.cumsum([len(member) for member in self.members])
        part_B = np.searchsorted(ends, ids_B, side="right")
        batch = {}
        for part, member in enumerate(self.members):
            row_R = np.flatnonzero(part_B == part)
            if not len(row_R):
                continue
            read = member.gather(ids_B[row_R] - (ends[part] - len(member)), draws and draws.of(row_R), lengths)
            read.setdefault("valid", np.ones(len(row_R), bool))
            for name, array in read.items():
                batch.setdefault(name, np.zeros((len(ids_B), *array.shape[1:]), array.dtype))[row_R] = array
        return batch
