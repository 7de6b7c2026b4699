"""Text to token ids and back: bytes, characters, byte pairs (BPE), BERT's pieces of words, and others' pieces.

A token stands for a fixed string of bytes, its *piece*; decoding joins pieces, and what is not UTF-8 or has
no piece is replaced by U+FFFD.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from genjax.data.byte_pairs import MOST_PAIRS, BPETokenizer, gpt2, learned, saved_bpe
from genjax.data.hub_tokenizers import hub_tokenizer
from genjax.data.pieces import FILE, Pieces, encoded
from genjax.data.word_pieces import VOCABULARY, bert, saved_word_pieces
from genjax.errors import UsageError, UserError
from genjax.files import expanded, read_json

__all__ = [
    "FOLDERS",
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "Tokenizer",
    "find_tokenizer",
    "load_tokenizer",
    "make_tokenizer",
]

KINDS = "byte, char, bpe:SIZE, gpt2:FOLDER, bert:FOLDER or hf:FOLDER"


class Tokenizer(Protocol):
    """Ids are in [0, vocabulary); others decode to the replacement character."""

    pieces: Sequence[bytes]
    vocabulary: int
    byte_lengths: np.ndarray  # (V,) int32, UTF-8 bytes that each id stands for; 0 for the end of text
    end_of_text: int | None
    fingerprint: str

    def encode(self, text: str) -> np.ndarray:
        """(N,) int32. Raises UserError where a character has no token."""

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text."""

    def decode(self, ids: Iterable[int]) -> str: ...

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json`, which `load_tokenizer` reads."""


class ByteTokenizer(Pieces):
    """256 tokens, the bytes of UTF-8; and perhaps the end of text."""

    def __init__(self, end: bool = False):
        super().__init__([bytes([byte]) for byte in range(256)], end)

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(encoded(text, "utf-8"), np.uint8).astype(np.int32)

    def save(self, folder: Path) -> None:
        self._write(folder, json.dumps({"kind": "byte", **_end(self)}))


class CharTokenizer(Pieces):
    """One token a character of `characters`; and perhaps the end of text."""

    def __init__(self, characters: str, end: bool = False):
        super().__init__([character.encode("utf-8") for character in characters], end)
        self.characters = characters
        self._id_of = np.full(0x110000, -1, np.int32)
        self._id_of[_code_points(characters)] = np.arange(len(characters))

    def encode(self, text: str) -> np.ndarray:
        points_N = _code_points(text)
        ids_N = self._id_of[points_N]
        if (ids_N < 0).any():
            unknown = chr(points_N[ids_N < 0][0])
            raise UserError(f"the character {unknown!r} does not occur in the text that the tokenizer was made from")
        return ids_N

    def save(self, folder: Path) -> None:
        self._write(folder, json.dumps({"kind": "char", "characters": self.characters, **_end(self)}))


def make_tokenizer(spec: str, text: str | Iterable[str], end: bool = False) -> Tokenizer:
    """The tokenizer that --data.tokenizer asks for, learned from `text` (or from an iterable of its parts).

    With `end` bytes and characters have an end of text too, as byte pairs always have.

    Raises UsageError for an unknown spec, UserError where a folder's files cannot be read.
    """
    kind, _, argument = spec.partition(":")
    texts = (text,) if isinstance(text, str) else text
    if spec == "byte":
        return ByteTokenizer(end)
    if spec == "char":
        return CharTokenizer("".join(sorted(set().union(*texts))), end)
    if kind == "bpe" and argument.isdecimal() and argument.isascii() and int(argument[:20]) > 256:
        if int(argument[:20]) > MOST_PAIRS:
            raise UsageError(f"--data.tokenizer {spec}: at most {MOST_PAIRS} byte pairs are learned")
        return learned(int(argument), texts)
    if kind in FOLDERS and argument:
        return FOLDERS[kind](expanded(argument))
    raise UsageError(f"--data.tokenizer {spec}: choose {KINDS} (SIZE at least 257: the bytes and the end of text)")


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer saved in `folder`. Raises UserError if it is missing or damaged."""
    path = Path(folder) / FILE
    saved = read_json(path)
    kind, end = saved.get("kind"), saved.get("end", False)
    if unknown := [name for name in saved if kind is not None and name not in ("kind", "characters", "end")]:
        raise UserError(f"{path}: {unknown[0]!r} is a field that a tokenizer of this kind does not know")
    if kind not in (None, "byte", "char") or not isinstance(end, bool):
        raise UserError(f'{path}: kind is {kind!r} and end {end!r}, and must be "byte" or "char", and true or false')
    if kind == "byte":
        return ByteTokenizer(end)
    if kind == "char":
        return CharTokenizer(_characters(saved.get("characters"), path), end)
    model, before = (
        saved.get(name) if isinstance(saved.get(name), dict) else {} for name in ("model", "pre_tokenizer")
    )
    try:
        if model.get("type") == "WordPiece":
            return saved_word_pieces(saved)
        if model.get("type") == "Unigram" or (model.get("type") == "BPE" and before.get("type") != "ByteLevel"):
            return hub_tokenizer(saved, path.parent)
        return saved_bpe(saved)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # `tokenizers` raises bare Exceptions
        raise UserError(f"{path}: not a readable tokenizer ({error})") from error


def find_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer that lies in a folder of weights: of genjax, transformers, BERT or GPT-2; None without any.

    Raises UserError for one that cannot be read.
    """
    if (folder / FILE).exists():
        return load_tokenizer(folder)
    if (folder / VOCABULARY).exists():
        return bert(folder)
    return gpt2(folder) if all((folder / name).exists() for name in ("vocab.json", "merges.txt")) else None


def _found(folder: Path) -> Tokenizer:
    if (found := find_tokenizer(folder)) is None:
        raise UserError(f"--data.tokenizer hf:{folder}: no {FILE} in that folder, nor the files of GPT-2 or BERT")
    return found


FOLDERS = {"gpt2": gpt2, "bert": bert, "hf": _found}  # the kinds KIND:FOLDER of --data.tokenizer


def _characters(text: Any, path: Path) -> str:
    if not isinstance(text, str) or not text or len(set(text)) < len(text) or re.search("[\ud800-\udfff]", text):
        raise UserError(f"{path}: characters must be a text of at least one character, each once")
    return text


def _end(tokenizer: Pieces) -> dict[str, bool]:
    return {} if tokenizer.end_of_text is None else {"end": True}


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(encoded(text, "utf-32-le"), np.uint32)
