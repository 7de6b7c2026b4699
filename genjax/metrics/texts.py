"""What metrics of made texts share: the texts of a set, and pairs of one of the data and what its example became."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from genjax.metrics.base import Metric, Statistics
from genjax.spec import Field, Tokens

__all__ = ["TextPairs", "Texts"]


class Texts(Metric):
    """Base of metrics of texts."""

    needs: ClassVar[type[Field]] = Tokens
    higher_is_better: ClassVar[bool] = True

    def spelled(self, statistics: Statistics) -> Iterator[str]:
        """Every text of a set, where several share a row too: the id that ends texts stands between them."""
        for ids in self.rows(statistics):
            ends = [n for n, i in enumerate(ids) if i == self.field.end]
            for start, stop in zip([0, *(n + 1 for n in ends)], [*ends, len(ids)]):
                if stop > start:
                    yield self.text(ids[start:stop])

    def rows(self, statistics: Statistics) -> Iterator[list[int]]:
        """The ids of each row, without padding and the ends around them."""
        batches = statistics.get(self.name, [])
        for batch, length in zip(batches, statistics.get(f"{self.name}_length", [None] * len(batches)), strict=True):
            for i, row in enumerate(batch):
                ids = row[: None if length is None else length[i]].tolist()
                start = int(ids[:1] == [self.field.end])
                stop = len(ids) - int(ids[start:][-1:] == [self.field.end])
                yield ids[start:stop]

    def text(self, ids: list[int]) -> str:
        return " ".join(map(str, ids)) if self.tokenizer is None else self.tokenizer.decode(ids)


class TextPairs(Texts):
    """Base of metrics that compare text by text. A reference may come as text too, NAME_text (B,) of objects: then it
    is as the data has it, whatever the tokenizer and --data.context have done to its tokens.
    """

    paired: ClassVar[bool] = True

    def pairs(self) -> Iterator[tuple[int, list[int], list[int]]]:
        """(number, ids wanted, ids made) of every example that has the field, without padding and ends."""
        present = self.references.get(f"{self.name}_present")
        counted = None if present is None else np.concatenate(present)
        for i, (wanted, made) in enumerate(zip(self.rows(self.references), self.rows(self.outputs), strict=True)):
            if counted is None or counted[i]:
                yield i, wanted, made

    def texts(self) -> tuple[list[str], list[str]]:
        """(references, outputs), raw: ids in decimal where there is no tokenizer."""
        raw = self.references.get(f"{self.name}_text")
        raw = None if raw is None else np.concatenate(raw)
        pairs = [
            (self.text(wanted) if raw is None else str(raw[i]), self.text(made)) for i, wanted, made in self.pairs()
        ]
        return [wanted for wanted, _ in pairs], [made for _, made in pairs]
