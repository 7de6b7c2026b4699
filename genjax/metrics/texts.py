"""What metrics of made texts share: pairs of a text of the data and the one that was made from its example."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from genjax.metrics.base import Metric, Statistics
from genjax.spec import Field, Tokens

__all__ = ["TextPairs"]


class TextPairs(Metric):
    """Base of metrics that compare text by text. A reference may come as text too, NAME_text (B,) of objects: then it
    is as the data has it, whatever the tokenizer and --data.context have done to its tokens.
    """

    needs: ClassVar[type[Field]] = Tokens
    paired: ClassVar[bool] = True
    higher_is_better: ClassVar[bool] = True

    def pairs(self) -> Iterator[tuple[int, list[int], list[int]]]:
        """(number, ids wanted, ids made) of every example that has the field, without padding and ends."""
        present = self.references.get(f"{self.name}_present")
        counted = None if present is None else np.concatenate(present)
        for i, (wanted, made) in enumerate(zip(self._rows(self.references), self._rows(self.outputs), strict=True)):
            if counted is None or counted[i]:
                yield i, wanted, made

    def texts(self) -> tuple[list[str], list[str]]:
        """(references, outputs), raw: ids in decimal where there is no tokenizer."""
        raw = self.references.get(f"{self.name}_text")
        raw = None if raw is None else np.concatenate(raw)
        pairs = [
            (self._spelled(wanted) if raw is None else str(raw[i]), self._spelled(made))
            for i, wanted, made in self.pairs()
        ]
        return [wanted for wanted, _ in pairs], [made for _, made in pairs]

    def _rows(self, statistics: Statistics) -> Iterator[list[int]]:
        """The ids of each text, without padding and ends."""
        batches = statistics.get(self.name, [])
        for batch, length in zip(batches, statistics.get(f"{self.name}_length", [None] * len(batches)), strict=True):
            for i, row in enumerate(batch):
                ids = row[: None if length is None else length[i]].tolist()
                start = int(ids[:1] == [self.field.end])
                stop = len(ids) - int(ids[start:][-1:] == [self.field.end])
                yield ids[start:stop]

    def _spelled(self, ids: list[int]) -> str:
        return " ".join(map(str, ids)) if self.tokenizer is None else self.tokenizer.decode(ids)
