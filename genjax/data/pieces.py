"""What tokenizers share: a table of bytes, and how text becomes bytes."""

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genjax.errors import UserError
from genjax.files import write_atomic

__all__ = ["ABOUT", "BREAK", "CHUNK", "FILE", "Backed", "Pieces", "chunks", "encoded", "require_numbered"]

FILE, ABOUT = "tokenizer.json", "tokenizer_config.json"

# Where a newline stands alone between two visible characters, GPT-2's pattern and BERT's always end a word: text cut
# there tokenizes as if it were whole.
BREAK = re.compile(r"(?<=[\w!-~])\n(?=[\w!-~])")
CHUNK = 2**16  # characters encoded at once
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


def require_numbered(vocabulary: Mapping[str, Any]) -> None:
    """Raises UserError where the ids of the pieces are not 0, 1, 2, ..."""
    ids = vocabulary.values()
    if not all(type(n) is int for n in ids) or sorted(ids) != list(range(len(ids))):
        raise UserError("the tokenizer's ids are not 0, 1, 2, ...: the vocabulary is damaged or of another kind")


def encoded(text: str, encoding: str = "utf-8") -> bytes:
    """The text as bytes. Raises UserError for halves of surrogate pairs, which stand for bytes that are no text."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise UserError(f"the text {text[:40]!r} has {text[error.start]!r}, which is no character") from None


class Backed(Pieces):
    """Computed by a tokenizer of Hugging Face's `tokenizers`, which ends a word at each BREAK."""

    def __init__(self, pieces: Sequence[bytes], backend: Any):
        super().__init__(pieces)
        self.backend = backend
        backend.encode_special_tokens = True  # "<|endoftext|>" written in a text is only text

    def encode(self, text: str) -> np.ndarray:
        coded = self._encode(list(chunks(text)))
        return np.concatenate([np.zeros(0, np.int32), *(np.array(chunk.ids, np.int32) for chunk in coded)])

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        if any(len(text) > CHUNK for text in texts):
            return super().encode_all(texts)
        return [np.array(text.ids, np.int32) for text in self._encode(list(texts))]

    def _encode(self, texts: list[str]) -> list[Any]:
        try:
            return self.backend.encode_batch_fast(texts, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError):
            for text in texts:
                encoded(text)
            raise

    def save(self, folder: Path) -> None:
        self._write(folder, self.backend.to_str())


def chunks(text: str) -> Iterator[str]:
    """The text in parts of about CHUNK characters, each of which ends at a BREAK."""
    start = 0
    while start < len(text):
        found = BREAK.search(text, start + CHUNK)
        end = found.end() if found else len(text)
        yield text[start:end]
        start = end
