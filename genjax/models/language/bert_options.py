"""What a user may choose when BERT fills gaps."""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np

from genjax.errors import UsageError, visible
from genjax.models.base import Given, Model, SampleOptions

__all__ = ["GAP", "BERTOptions"]

GAP = "[MASK]"  # in a prompt


@dataclasses.dataclass(frozen=True)
class BERTOptions(SampleOptions):
    """Without `prompt`, words of validation examples are hidden and filled in.

    The file of --out NAME.npz also has a vector for each text: `embedding_mean`, over its own words, and
    `embedding_cls`.
    """

    prompt: tuple[str, ...] = ()  # texts whose words [MASK] are filled in
    likeliest: int = 5  # fillings of the first gap of each prompt, from the likeliest on

    def __post_init__(self):
        if self.likeliest < 1:
            raise UsageError(f"--likeliest {self.likeliest}: must be at least 1")

    @property
    def count(self) -> int | None:
        return len(self.prompt) * self.likeliest or None

    def conditions(self, model: Model, given: Given, num: int) -> tuple[dict[str, np.ndarray], Self]:
        """Each prompt `likeliest` times, with the rank that its first gap is filled by."""
        if not self.prompt:
            return {}, self
        if given.tokenizer is None:
            raise UsageError("--prompt is text, and this run's data has no tokenizer to read it")
        if self.likeliest > model.data_vocabulary:
            raise UsageError(f"--likeliest {self.likeliest}: the vocabulary has {model.data_vocabulary} pieces")
        room, rows = model.room, []
        for n, text in enumerate(self.prompt, 1):
            if not text.strip():
                raise UsageError(f"--prompt number {n} is empty")
            parts = [given.tokenizer.encode(part) for part in _parts(text, given.tokenizer.pieces)]
            ids = np.concatenate([parts[0], *(np.append(model.mask_id, part) for part in parts[1:])]).astype(np.int32)
            if len(ids) > room:
                raise UsageError(
                    f"--prompt number {n} has {len(ids)} tokens, and the model reads {room}: {visible(text[:40])}"
                )
            rows += [ids] * self.likeliest
        rows = [rows[i % len(rows)] for i in range(num)]
        padded = np.zeros((num, room), np.int32)
        for row, ids in zip(padded, rows):
            row[: len(ids)] = ids
        arrays = {
            "prompt": padded,
            "prompt_length": np.asarray([len(ids) for ids in rows], np.int32),
            "rank": np.arange(num, dtype=np.int32) % self.likeliest,
        }
        return arrays, dataclasses.replace(self, prompt=(), likeliest=1)


def _parts(text: str, pieces: Sequence[bytes]) -> list[str]:
    """The text around its gaps. The space before a gap is the missing word's, if pieces begin with spaces."""
    *before, last = text.split(GAP)
    if any(piece[:1] == b" " and len(piece) > 1 for piece in pieces):
        before = [part.removesuffix(" ") for part in before]
    return [*before, last]
