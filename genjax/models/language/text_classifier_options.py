"""What a user may choose when a classifier reads texts."""

import dataclasses
from pathlib import Path
from typing import Self

import numpy as np

from genjax.models.base import Given, Model
from genjax.models.language.options import TextsOptions, read_texts

__all__ = ["TextClassifierOptions"]


@dataclasses.dataclass(frozen=True)
class TextClassifierOptions(TextsOptions):
    """Without `prompt` and `path`, validation examples are judged."""

    prompt: tuple[str, ...] = ()  # texts to judge
    path: Path | None = None  # a file of texts to judge, one a line
    explain: bool = False  # also a picture: how much each word is attended to, and counts for the label

    def conditions(self, model: Model, given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """The first `num` of the texts, in turn until there are enough."""
        if not self.given:
            return {}, self
        arrays = read_texts(self.texts(), given, num)
        return arrays, dataclasses.replace(self, prompt=(), path=None)
