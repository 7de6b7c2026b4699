"""Tokenizers that are neither GPT-2's nor BERT's, as a tokenizer.json describes them: SentencePiece's, Llama 3's."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax.data.byte_pairs import BYTE_OF
from genjax.data.pieces import ABOUT, Backed, require_numbered
from genjax.errors import UserError
from genjax.files import read_json, write_atomic

__all__ = ["HubTokenizer", "hub_tokenizer"]

ENDS = ("</s>", "<|endoftext|>", "<|end_of_text|>")  # where ABOUT names none
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # SentencePiece's
BYTE = re.compile("<0x([0-9A-F]{2})>")  # its piece of a byte that is in no other piece
SPELLINGS = {"ByteLevel": "bytes", "Metaspace": "spaces", "ByteFallback": "spaces"}  # by the type of a decoder


class HubTokenizer(Backed):
    """Pieces of T5 (unigram, Kudo 2018), of Llama 2 (byte pairs of characters) and of Llama 3 (of bytes).

    A text is normalized as the file says: T5's loses line breaks. SentencePiece puts a space before the first word, and
    `decode` takes it away. To unigrams </s> in a text is its end, as it is to transformers.
    """

    def __init__(self, backend: Any, spelling: str, end: str | None):
        """`spelling`: what the characters of a piece are, "bytes" as in GPT-2, or letters and "spaces"."""
        ids = backend.get_vocab(with_added_tokens=True)
        require_numbered(ids)
        if end is not None and end not in ids:
            raise UserError(f"its vocabulary has no {end}, which ends a text by {ABOUT}")
        added = {token.content: token.special for token in backend.get_added_tokens_decoder().values()}
        backend.no_padding()
        backend.no_truncation()
        names = sorted(ids, key=ids.__getitem__)
        spellings = {n: "text" for n in added}
        super().__init__([b"" if added.get(n) else _bytes(n, spellings.get(n, spelling)) for n in names], backend)
        self.spelling, self.end = spelling, end
        self.end_of_text = None if end is None else ids[end]

    def encode(self, text: str) -> np.ndarray:
        """In one piece: SentencePiece would put a space before each chunk."""
        return np.array(self._encode([text])[0].ids, np.int32)

    def decode(self, ids) -> str:
        text = super().decode(ids)
        return text.removeprefix(" ") if self.spelling == "spaces" else text

    def save(self, folder: Path) -> None:
        write_atomic(Path(folder) / ABOUT, json.dumps({"eos_token": self.end}).encode())
        super().save(folder)


def hub_tokenizer(saved: Mapping[str, Any], folder: Path) -> HubTokenizer:
    """From what tokenizer.json holds; which piece ends a text stands beside it, in tokenizer_config.json.

    Raises UserError where pieces are spelled in none of the known ways, and what `tokenizers` does for damaged files.
    """
    import tokenizers

    kinds = [part.get("type") for part in _parts(saved.get("decoder"))]
    spelling = next((SPELLINGS[kind] for kind in kinds if kind in SPELLINGS), None)
    if spelling is None:
        raise UserError(f"its decoder is {', '.join(map(str, kinds)) or None}; known are {', '.join(SPELLINGS)}")
    backend = tokenizers.Tokenizer.from_str(json.dumps(saved))
    about = read_json(folder / ABOUT) if (folder / ABOUT).exists() else {}
    end = about.get("eos_token", next((token for token in ENDS if backend.token_to_id(token) is not None), None))
    end = end.get("content") if isinstance(end, dict) else end
    if not isinstance(end, str | None):
        raise UserError(f"eos_token in {ABOUT} is {str(end)[:40]}, and must be a token")
    return HubTokenizer(backend, spelling, end)


def _parts(decoder: Any) -> list[dict]:
    """A decoder, or those of a sequence."""
    found = decoder.get("decoders", [decoder]) if isinstance(decoder, dict) else []
    return [part for part in found if isinstance(part, dict)]


def _bytes(piece: str, spelling: str) -> bytes:
    if spelling == "bytes":
        try:
            return bytes(BYTE_OF[character] for character in piece)
        except KeyError as error:
            raise UserError(f"it is not byte-level: {error} stands for no byte") from None
    if spelling == "spaces":
        return bytes.fromhex(byte[1]) if (byte := BYTE.fullmatch(piece)) else piece.replace(SPACE, " ").encode()
    return piece.encode()
