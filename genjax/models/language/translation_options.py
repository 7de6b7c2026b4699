"""What a user may choose of a translation, and the texts to be translated."""

import dataclasses
from pathlib import Path
from typing import Self

import numpy as np

from genjax.errors import UsageError, visible
from genjax.models.base import Given, Model, SampleOptions
from genjax.models.language.options import lines
from genjax.spec import Tokens, require

__all__ = ["TranslationOptions"]


@dataclasses.dataclass(frozen=True)
class TranslationOptions(SampleOptions):
    """How a translation is searched for. Without `prompt` and `path`, validation examples are translated."""

    prompt: tuple[str, ...] = ()  # texts to translate
    path: Path | None = None  # a file of texts to translate, one a line; a .txt for --out then has one a line too
    beams: int = 4
    length_penalty: float = 0.6  # alpha of section 6.1
    max_new_tokens: int | None = None  # None = as long as the data's targets may be
    attention: bool = False  # also a picture: which words of the source each word of the translation looks at

    def __post_init__(self):
        if self.beams < 1:
            raise UsageError(f"--beams {self.beams}: must be at least 1")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise UsageError(f"--max-new-tokens {self.max_new_tokens}: must be at least 1")
        if self.prompt and self.path:
            raise UsageError("--prompt and --path: take one of the two")

    @property
    def given(self) -> bool:
        """Whether the user gives the sources."""
        return bool(self.prompt or self.path)

    @property
    def count(self) -> int | None:
        return len(self.texts()) or None

    def texts(self) -> dict[str, str]:
        """The sources that the user gives, each by its name for messages. Raises UserError for an unreadable file."""
        if self.path is None:
            return {f"--prompt number {n}": text for n, text in enumerate(self.prompt, 1)}
        return lines(self.path)

    def conditions(self, model: Model, given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """The first `num` of the texts as sources, in turn until there are enough."""
        if not self.given:
            return {}, self
        if given.tokenizer is None:
            raise UsageError("--prompt and --path are text, and this run's data has no tokenizer to read it")
        field, sources = require(given.spec, "source", Tokens, "Translation"), []
        for place, text in self.texts().items():
            ids = np.append(given.tokenizer.encode(text), field.end)
            if not text.strip():
                raise UsageError(f"{place} is empty")
            if len(ids) > field.longest:
                raise UsageError(
                    f"{place} has {len(ids)} tokens, and the model reads {field.longest}: {visible(text[:40])}"
                )
            sources.append(ids)
        rows = [sources[i % len(sources)] for i in range(num)]
        padded = np.full((num, field.longest), field.end, np.int32)
        for row, ids in zip(padded, rows):
            row[: len(ids)] = ids
        lengths = np.asarray([len(ids) for ids in rows], np.int32)
        return {"source": padded, "source_length": lengths}, dataclasses.replace(self, prompt=(), path=None)
