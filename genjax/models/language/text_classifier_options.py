"""What a user may choose when a classifier reads texts."""

import dataclasses
from pathlib import Path
from typing import Self

import numpy as np

from genjax.errors import UsageError, visible
from genjax.files import expanded, read_text
from genjax.models.base import Given, Model, SampleOptions
from genjax.spec import Tokens, require

__all__ = ["TextClassifierOptions", "read_texts"]


@dataclasses.dataclass(frozen=True)
class TextClassifierOptions(SampleOptions):
    """Without `prompt` and `path`, validation examples are judged."""

    prompt: tuple[str, ...] = ()  # texts to judge
    path: Path | None = None  # a file of texts to judge, one a line
    explain: bool = False  # also a picture: how much each word is attended to, and counts for the label

    def __post_init__(self):
        if self.prompt and self.path:
            raise UsageError("--prompt and --path: take one of the two")

    @property
    def given(self) -> bool:
        """Whether the user gives the texts."""
        return bool(self.prompt or self.path)

    @property
    def count(self) -> int | None:
        return len(self.texts()) or None

    def texts(self) -> dict[str, str]:
        """The texts that the user gives, each by its name for messages. Raises UserError for an unreadable file."""
        if self.path is None:
            return {f"--prompt number {n}": text for n, text in enumerate(self.prompt, 1)}
        lines = read_text(expanded(self.path)).removesuffix("\n").split("\n")
        return {f"--path {self.path}: line {n}": line for n, line in enumerate(lines, 1)}

    def conditions(self, model: Model, given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """The first `num` of the texts, in turn until there are enough."""
        if not self.given:
            return {}, self
        arrays = read_texts(self.texts(), given, num)
        return arrays, dataclasses.replace(self, prompt=(), path=None)


def read_texts(texts: dict[str, str], given: Given, num: int) -> dict[str, np.ndarray]:
    """`text` (num, T) and text_length (num,) as the data would hold these texts, taken in turn.

    Raises UsageError, which names the text, for one that is empty or longer than the model reads, and where the data
    has no tokenizer.
    """
    if given.tokenizer is None:
        raise UsageError("--prompt and --path are text, and this run's data has no tokenizer to read it")
    field, rows = require(given.spec, "text", Tokens, "this model"), []
    for place, text in texts.items():
        if not text.strip():
            raise UsageError(f"{place} is empty")
        ids = given.tokenizer.encode(text)
        ids = ids if field.end is None else np.append(ids, field.end)
        if len(ids) > field.longest:
            raise UsageError(
                f"{place} has {len(ids)} tokens, and the model reads {field.longest}: {visible(text[:40])}"
            )
        rows.append(ids)
    rows = [rows[i % len(rows)] for i in range(num)]
    padded = np.full((num, field.longest), field.end or 0, np.int32)
    for row, ids in zip(padded, rows):
        row[: len(ids)] = ids
    return {"text": padded, "text_length": np.asarray([len(ids) for ids in rows], np.int32)}
