"""Text to token ids and back: bytes, characters, and byte pairs (BPE).

A token stands for a fixed string of bytes, its *piece*; decoding joins pieces, and what is not UTF-8 or has
no piece is replaced by U+FFFD.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from genjax.errors import UsageError, UserError

FILE = "tokenizer.json"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
END_OF_TEXT = "<|endoftext|>"
KINDS = "byte, char, bpe:SIZE or gpt2:FOLDER"

# Where a newline stands alone between two visible characters, GPT-2's pattern always ends a word: text cut
# there tokenizes as if it were whole.
BREAK = re.compile(r"(?<=[\w!-~])\n(?=[\w!-~])")
CHUNK = 2**16  # characters encoded at once


class Tokenizer(Protocol):
    """Ids are in [0, vocabulary); others decode to the replacement character."""

    pieces: Sequence[bytes]
    vocabulary: int
    byte_lengths: np.ndarray  # (V,) int32, UTF-8 bytes that each id stands for; 0 for the end of text
    end_of_text: int | None

    def encode(self, text: str) -> np.ndarray:
        """(N,) int32. Raises UserError where a character has no token."""

    def decode(self, ids: Iterable[int]) -> str: ...

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json`, which `load_tokenizer` reads."""


class _Pieces:
    """What the tokenizers share: a table of bytes, one entry for each id."""

    end_of_text: int | None = None

    def __init__(self, pieces: Sequence[bytes]):
        self.pieces = pieces
        self.vocabulary = len(pieces)
        self.byte_lengths = np.array([len(piece) for piece in pieces], np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        pieces = (self.pieces[i] if 0 <= i < self.vocabulary else REPLACEMENT for i in map(int, ids))
        return b"".join(pieces).decode("utf-8", errors="replace")

    def _write(self, folder: Path, text: str) -> None:
        (Path(folder) / FILE).write_text(text, encoding="utf-8")


class ByteTokenizer(_Pieces):
    """256 tokens, the bytes of UTF-8."""

    def __init__(self):
        super().__init__([bytes([byte]) for byte in range(256)])

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int32)

    def save(self, folder: Path) -> None:
        self._write(folder, json.dumps({"kind": "byte"}))


class CharTokenizer(_Pieces):
    """One token a character of `characters`."""

    def __init__(self, characters: str):
        super().__init__([character.encode("utf-8") for character in characters])
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
        self._write(folder, json.dumps({"kind": "char", "characters": self.characters}))


class BPETokenizer(_Pieces):
    """Byte-level byte-pair encoding as in GPT-2, computed by Hugging Face's `tokenizers`."""

    def __init__(self, backend: Any):
        byte_of = {character: byte for byte, character in enumerate(_byte_characters())}
        ids = backend.get_vocab(with_added_tokens=True)
        names = sorted(ids, key=ids.get)
        if [ids[name] for name in names] != list(range(len(names))):
            raise UserError("the tokenizer's ids are not 0, 1, 2, ...: the vocabulary is damaged or of another kind")
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

    def save(self, folder: Path) -> None:
        self._write(folder, self.backend.to_str())


def make_tokenizer(spec: str, text: str | Iterable[str]) -> Tokenizer:
    """The tokenizer that --data.tokenizer asks for, learned from `text` (or from an iterable of its parts).

    Raises UsageError for an unknown spec, UserError where GPT-2's files cannot be read.
    """
    kind, _, argument = spec.partition(":")
    texts = (text,) if isinstance(text, str) else text
    if spec == "byte":
        return ByteTokenizer()
    if spec == "char":
        return CharTokenizer("".join(sorted(set().union(*texts))))
    if kind == "bpe" and argument.isdecimal() and int(argument) > 256:
        return _trained_bpe(int(argument), texts)
    if kind == "gpt2" and argument:
        return _gpt2(Path(argument).expanduser())
    raise UsageError(f"--data.tokenizer {spec}: choose {KINDS} (SIZE at least 257: the bytes and the end of text)")


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer saved in `folder`. Raises UserError if it is missing or damaged."""
    path = Path(folder) / FILE
    try:
        text = path.read_text(encoding="utf-8")
        saved = json.loads(text)
        if saved.get("kind") == "byte":
            return ByteTokenizer()
        if saved.get("kind") == "char":
            return CharTokenizer(saved["characters"])
        import tokenizers

        return BPETokenizer(tokenizers.Tokenizer.from_str(text))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Exception as error:  # `tokenizers` raises bare Exceptions
        raise UserError(f"{path}: not a readable tokenizer ({error})") from error


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
    import tokenizers

    files = [folder / "encoder.json", folder / "vocab.bpe"]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise UserError(f"--data.tokenizer gpt2:{folder}: {missing[0]} is missing; both of GPT-2's files are needed")
    try:
        backend = _byte_level(tokenizers.models.BPE.from_file(*map(str, files)))
    except Exception as error:  # `tokenizers` raises bare Exceptions
        raise UserError(f"--data.tokenizer gpt2:{folder}: not GPT-2's vocabulary ({error})") from error
    if backend.token_to_id(END_OF_TEXT) is not None:
        backend.add_special_tokens([END_OF_TEXT])
    return BPETokenizer(backend)


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
