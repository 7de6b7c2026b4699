"""Text to token ids and back: bytes, characters, and byte pairs (BPE).

A token stands for a fixed string of bytes, its *piece*; decoding joins pieces, and what is not UTF-8 or has
no piece is replaced by U+FFFD.
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from genjax.errors import UsageError, UserError
from genjax.files import expanded, read_json, read_text, write_atomic

__all__ = ["BPETokenizer", "ByteTokenizer", "CharTokenizer", "Tokenizer", "load_tokenizer", "make_tokenizer"]

FILE = "tokenizer.json"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
END_OF_TEXT = "<|endoftext|>"
KINDS = "byte, char, bpe:SIZE or gpt2:FOLDER"

# Where a newline stands alone between two visible characters, GPT-2's pattern always ends a word: text cut
# there tokenizes as if it were whole.
BREAK = re.compile(r"(?<=[\w!-~])\n(?=[\w!-~])")
MOST_PAIRS = 2**22
CHUNK = 2**16  # characters encoded at once


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


class _Pieces:
    """What the tokenizers share: a table of bytes, one entry for each id. With `end`, the last id ends a text."""

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


class ByteTokenizer(_Pieces):
    """256 tokens, the bytes of UTF-8; and perhaps the end of text."""

    def __init__(self, end: bool = False):
        super().__init__([bytes([byte]) for byte in range(256)], end)

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int32)

    def save(self, folder: Path) -> None:
        self._write(folder, json.dumps({"kind": "byte", **_end(self)}))


class CharTokenizer(_Pieces):
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


class BPETokenizer(_Pieces):
    """Byte-level byte-pair encoding as in GPT-2, computed by Hugging Face's `tokenizers`."""

    def __init__(self, backend: Any):
        byte_of = {character: byte for byte, character in enumerate(_byte_characters())}
        ids = backend.get_vocab(with_added_tokens=True)
        names = sorted(ids, key=ids.get)
        _require_ids(ids)
        try:
            super().__init__([b"" if n == END_OF_TEXT else bytes(byte_of[c] for c in n) for n in names])
        except KeyError as error:
            raise UserError(f"the tokenizer is not byte-level: {error} stands for no byte") from error
        self.end_of_text = ids.get(END_OF_TEXT)
        self.backend = backend
        backend.encode_special_tokens = True  # "<|endoftext|>" written in a text is only text

    def encode(self, text: str) -> np.ndarray:
        encoded = self.backend.encode_batch_fast(list(_chunks(text)), add_special_tokens=False)
        return np.concatenate([np.zeros(0, np.int32), *(np.array(chunk.ids, np.int32) for chunk in encoded)])

    def encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        if any(len(text) > CHUNK for text in texts):
            return super().encode_all(texts)
        encoded = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(text.ids, np.int32) for text in encoded]

    def save(self, folder: Path) -> None:
        self._write(folder, self.backend.to_str())


def make_tokenizer(spec: str, text: str | Iterable[str], end: bool = False) -> Tokenizer:
    """The tokenizer that --data.tokenizer asks for, learned from `text` (or from an iterable of its parts).

    With `end` bytes and characters have an end of text too, as byte pairs always have.

    Raises UsageError for an unknown spec, UserError where GPT-2's files cannot be read.
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
        return _trained_bpe(int(argument), texts)
    if kind == "gpt2" and argument:
        return _gpt2(expanded(argument))
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
    try:
        return _saved_bpe(saved)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # `tokenizers` raises bare Exceptions
        raise UserError(f"{path}: not a readable tokenizer ({error})") from error


def _characters(text: Any, path: Path) -> str:
    if not isinstance(text, str) or not text or len(set(text)) < len(text) or re.search("[\ud800-\udfff]", text):
        raise UserError(f"{path}: characters must be a text of at least one character, each once")
    return text


def _saved_bpe(saved: dict) -> BPETokenizer:
    """Byte pairs from the vocabulary and the merges of a saved tokenizer.

    It is built anew, from checked values: the library panics, or drops bytes, where a file contradicts itself.
    """
    model, before = saved.get("model"), saved.get("pre_tokenizer")
    if not isinstance(model, dict) or not isinstance(before, dict) or before.get("type") != "ByteLevel":
        raise UserError("neither bytes nor characters, nor byte pairs as GPT-2 has them")
    plain = {"dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None}
    odd = [name for name, default in plain.items() if model.get(name) not in (default, "")]
    odd += ["normalizer"] * (saved.get("normalizer") is not None)
    odd += ["add_prefix_space"] * (before.get("add_prefix_space") is not False)
    if odd:
        raise UserError(f"{odd[0]} is set, which GPT-2's byte pairs do not have")
    vocabulary, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocabulary, dict) or not isinstance(merges, list):
        raise UserError("its model needs vocab, an object, and merges, a list")
    return _bpe(vocabulary, [pair.split(" ") if isinstance(pair, str) else pair for pair in merges])


def _bpe(vocabulary: dict[str, Any], merges: list[Any]) -> BPETokenizer:
    import tokenizers

    _require_ids(vocabulary)
    for pair in merges:
        fits = isinstance(pair, list) and len(pair) == 2 and all(isinstance(piece, str) for piece in pair)
        if not fits or not all(piece in vocabulary for piece in (*pair, "".join(pair))):
            raise UserError(f"the merge {str(pair)[:40]} is not of two pieces of the vocabulary to a third")
    backend = _byte_level(tokenizers.models.BPE(vocabulary, [tuple(pair) for pair in merges]))
    if END_OF_TEXT in vocabulary:
        backend.add_special_tokens([END_OF_TEXT])
    return BPETokenizer(backend)


def _require_ids(vocabulary: dict[str, Any]) -> None:
    """Raises UserError where the ids are not 0, 1, 2, ..., or a byte has none."""
    if not all(type(number) is int for number in vocabulary.values()):
        raise UserError("an id in its vocabulary is no whole number")
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise UserError("the tokenizer's ids are not 0, 1, 2, ...: the vocabulary is damaged or of another kind")
    if lacking := [byte for byte, character in enumerate(_byte_characters()) if character not in vocabulary]:
        raise UserError(f"its vocabulary has no id for the byte {lacking[0]:#x}")


def _end(tokenizer: _Pieces) -> dict[str, bool]:
    return {} if tokenizer.end_of_text is None else {"end": True}


def _trained_bpe(size: int, texts: Iterable[str]) -> BPETokenizer:
    import tokenizers

    backend = _byte_level(tokenizers.models.BPE())
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        show_progress=False,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=_byte_characters(),
    )
    backend.train_from_iterator((chunk for text in texts for chunk in _chunks(text)), trainer)
    return BPETokenizer(backend)


def _gpt2(folder: Path) -> BPETokenizer:
    files = [folder / "encoder.json", folder / "vocab.bpe"]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise UserError(f"--data.tokenizer gpt2:{folder}: {missing[0]} is missing; both of GPT-2's files are needed")
    try:
        lines = [line for line in read_text(files[1]).splitlines() if line and not line.startswith("#version")]
        return _bpe(read_json(files[0]), [line.split(" ") for line in lines])
    except Exception as error:  # `tokenizers` raises bare Exceptions
        raise UserError(f"--data.tokenizer gpt2:{folder}: not GPT-2's vocabulary ({error})") from error


def _byte_level(model: Any) -> Any:
    import tokenizers

    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    return backend


def _byte_characters() -> list[str]:
    """GPT-2's name of each byte: printable Latin-1 stands for itself, the rest is moved to 256 and above."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    moved = iter(range(256, 512))
    return [chr(byte if byte in printable else next(moved)) for byte in range(256)]


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _chunks(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        found = BREAK.search(text, start + CHUNK)
        end = found.end() if found else len(text)
        yield text[start:end]
        start = end
