"""How often a text that was made from an example is the text that belongs to it."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from genjax.metrics.base import Metric, Statistics
from genjax.spec import Field, Tokens

__all__ = ["TextMatch"]


class TextMatch(Metric):
    """`exact_match`: the share of texts that are equal; `token_accuracy`: the share of places with the same token.

    The id that opens and closes texts (`Tokens.end`) counts nowhere. A pair has as many places as the longer of its
    texts has tokens, so that every token too many is a mistake as well.
    """

    needs: ClassVar[type[Field]] = Tokens
    paired: ClassVar[bool] = True
    higher_is_better: ClassVar[bool] = True

    def result(self) -> dict[str, float]:
        present = self.references.get(f"{self.name}_present")
        counted = None if present is None else np.concatenate(present)
        texts = equal = places = right = 0
        for i, (wanted, made) in enumerate(zip(self._rows(self.references), self._rows(self.outputs), strict=True)):
            if counted is not None and not counted[i]:
                continue
            texts, equal = texts + 1, equal + (self._text(wanted) == self._text(made))
            places += max(len(wanted), len(made))
            right += sum(a == b for a, b in zip(wanted, made))
        values = {"exact_match": (equal, texts), "token_accuracy": (right, places)}
        return {name: total / count for name, (total, count) in values.items() if count}

    def _rows(self, statistics: Statistics) -> Iterator[list[int]]:
        """The ids of each text, without padding and ends."""
        batches = statistics.get(self.name, [])
        for batch, length in zip(batches, statistics.get(f"{self.name}_length", [None] * len(batches)), strict=True):
            for i, row in enumerate(batch):
                ids = row[: None if length is None else length[i]].tolist()
                start = int(ids[:1] == [self.field.end])
                stop = len(ids) - int(ids[start:][-1:] == [self.field.end])
                yield ids[start:stop]

    def _text(self, ids: list[int]) -> str | list[int]:
        """Two rows of ids may spell one text."""
        return ids if self.tokenizer is None else self.tokenizer.decode(ids)
