"""Several short texts in a row, so that little of a batch is padding."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from genjax.data.dataset import Source
from genjax.data.draws import Draws
from genjax.orders import Examples
from genjax.spec import Tokens

__all__ = ["Packs"]


@dataclasses.dataclass(frozen=True)
class Packs:
    """Texts packed into rows as long as their fields; NAME_segment (B, T) numbers the texts of a row from 1 on.

    Attributes:
      texts: a source of the ragged fields `fields`, and of nothing else.
      order_N: the texts in an order in which those of a row follow one another.
      starts_R: where each row begins in it, and where the last one ends.
    """

    texts: Source
    fields: dict[str, Tokens]
    order_N: np.ndarray
    starts_R: np.ndarray

    @classmethod
    def of(cls, texts: Source, fields: dict[str, Tokens], shuffle: bool) -> "Packs":
        """Fills row after row with texts, as long as each field of the next one fits."""
        count, lengths = len(texts), texts.examples.lengths
        order_N = np.random.Generator(np.random.Philox(0)).permutation(count) if shuffle else np.arange(count)
        room, ends = [], []
        for name, field in fields.items():
            room.append(field.longest + field.shifted)
            ends.append(np.cumsum(lengths[name][order_N] + field.shifted))
        starts = [0]
        while (first := starts[-1]) < count:
            fits = [
                np.searchsorted(end_N, (end_N[first - 1] if first else 0) + most, side="right")
                for end_N, most in zip(ends, room)
            ]
            starts.append(int(min(fits)))
        return cls(texts, fields, order_N, np.array(starts))

    def __len__(self) -> int:
        return len(self.starts_R) - 1

    @property
    def examples(self) -> Examples:
        inner = self.texts.examples
        lengths = {
            name: np.add.reduceat(length_N[self.order_N], self.starts_R[:-1])
            for name, length_N in inner.lengths.items()
        }
        return Examples(len(self), lengths, inner.longest)

    def gather(
        self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}
    ) -> dict[str, np.ndarray]:
        begin_B, count_B = self.starts_R[ids_B], np.diff(self.starts_R)[ids_B]
        row_M = np.repeat(np.arange(len(ids_B)), count_B)
        nth_M = _place(count_B)
        read = self.texts.gather(self.order_N[begin_B[row_M] + nth_M], draws)
        batch = {}
        for name, field in self.fields.items():
            length_M = read[f"{name}_length"]
            length_B = np.bincount(row_M, length_M, len(ids_B)).astype(np.int32)
            text_K = np.repeat(np.arange(len(row_M)), length_M)
            at = row_M[text_K], _place(length_B)  # texts of a row follow one another, as the rows do
            tokens_BT = np.full((len(ids_B), field.longest + field.shifted), field.end or 0, np.int32)
            segment_BT = np.zeros_like(tokens_BT)
            tokens_BT[at] = read[name][text_K, _place(length_M)]
            segment_BT[at] = nth_M[text_K] + 1
            batch |= {name: tokens_BT, f"{name}_length": length_B, f"{name}_segment": segment_BT}
            if field.answers:
                batch[f"{name}_answer"] = np.zeros(tokens_BT.shape, bool)
                batch[f"{name}_answer"][at] = read[f"{name}_answer"][text_K, _place(length_M)]
        return batch


def _place(count_G: np.ndarray) -> np.ndarray:
    """0, 1, ... count - 1 for each of the groups, one after another."""
    begin_G = np.cumsum(count_G) - count_G
    return np.arange(count_G.sum()) - np.repeat(begin_G, count_G)
