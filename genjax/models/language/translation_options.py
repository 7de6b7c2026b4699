"""What a user may choose of a translation, and the texts to be translated."""

import dataclasses
from pathlib import Path
from typing import Self

import numpy as np

from genjax.errors import UsageError
from genjax.models.base import Given, Model
from genjax.models.language.options import TextsOptions, read_texts

__all__ = ["TranslationOptions"]


@dataclasses.dataclass(frozen=True)
class TranslationOptions(TextsOptions):
    """How a translation is searched for. Without `prompt` and `path`, validation examples are translated."""

    prompt: tuple[str, ...] = ()  # texts to translate
    path: Path | None = None  # a file of texts to translate, one a line; a .txt for --out then has one a line too
    beams: int = 4  # of beam search; 1 = greedy
    length_penalty: float = 0.6  # alpha of section 6.1
    max_new_tokens: int | None = None  # None = as long as the data's targets may be
    attention: bool = False  # also a picture: which words of the source each word of the translation looks at

    def __post_init__(self):
        if self.beams < 1:
            raise UsageError(f"--beams {self.beams}: must be at least 1")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise UsageError(f"--max-new-tokens {self.max_new_tokens}: must be at least 1")
        super().__post_init__()

    def conditions(self, model: Model, given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """The first `num` of the texts as sources, in turn until there are enough."""
        if not self.given:
            return {}, self
        arrays = read_texts(self.texts(), given, num, "source", "Translation")
        return arrays, dataclasses.replace(self, prompt=(), path=None)
