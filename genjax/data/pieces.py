"""What tokenizers share: a table of bytes, and how text becomes bytes."""

import functools
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from genjax.errors import UserError
from genjax.files import write_atomic

__all__ = ["FILE", "Pieces", "encoded"]

FILE = "tokenizer.json"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()


class Pieces:
    """One entry for each id. With `end`, the last id ends a text."""

    def __init__(self, pieces: Sequence[bytes], end: bool = False):
        self.pieces = [*pieces, b""] if end else pieces
        self.vocabulary = len(self.pieces)
        self.byte_lengths = np.array([len(piece) for piece in self.pieces], np.int32)
        self.end_of_text: int | None = self.vocabulary - 1 if end else None

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of the pieces: equal where ids mean the same."""
        lengths = ",".join(map(str, self.byte_lengths.tolist()))
        return hashlib.sha256(lengths.encode() + b"".join(self.pieces)).hexdigest()[:32]

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        pieces = (self.pieces[i] if 0 <= i < self.vocabulary else REPLACEMENT for i in map(int, ids))
        return b"".join(pieces).decode("utf-8", errors="replace")

    def _write(self, folder: Path, text: str) -> None:
        write_atomic(Path(folder) / FILE, text.encode())  # a link in its place is replaced, not followed


def encoded(text: str, encoding: str = "utf-8") -> bytes:
    """The text as bytes. Raises UserError for halves of surrogate pairs, which stand for bytes that are no text."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise UserError(f"the text {text[:40]!r} has {text[error.start]!r}, which is no character") from None
