"""Byte pairs as GPT-2 has them, computed by Hugging Face's `tokenizers`: learned, read from GPT-2's files, or saved."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from genjax.data.pieces import Backed, chunks, require_numbered
from genjax.errors import UserError
from genjax.files import read_json, read_text

__all__ = [
    "BYTE_OF",
    "END_OF_TEXT",
    "MOST_PAIRS",
    "BPETokenizer",
    "byte_characters",
    "byte_level",
    "gpt2",
    "learned",
    "saved_bpe",
]

END_OF_TEXT = "<|endoftext|>"

MOST_PAIRS = 2**22  # that are learned
GPT2_FILES = (("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt"))  # OpenAI's names, and Hugging Face's


class BPETokenizer(Backed):
    """Byte-level byte-pair encoding as in GPT-2."""

    def __init__(self, backend: Any):
        ids = backend.get_vocab(with_added_tokens=True)
        names = sorted(ids, key=ids.get)
        try:
            super().__init__([b"" if n == END_OF_TEXT else bytes(BYTE_OF[c] for c in n) for n in names], backend)
        except KeyError as error:
            raise UserError(f"the tokenizer is not byte-level: {error} stands for no byte") from error
        self.end_of_text = ids.get(END_OF_TEXT)


def learned(size: int, texts: Iterable[str]) -> BPETokenizer:
    """Up to `size` ids, from the parts of a text."""
    import tokenizers

    backend = byte_level(tokenizers.models.BPE())
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        show_progress=False,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=byte_characters(),
    )
    backend.train_from_iterator((chunk for text in texts for chunk in chunks(text)), trainer)
    return BPETokenizer(backend)


def gpt2(folder: Path) -> BPETokenizer:
    """From encoder.json and vocab.bpe, or Hugging Face's vocab.json and merges.txt.

    Raises UserError where they are missing, or are not GPT-2's.
    """
    pairs = [[folder / name for name in names] for names in GPT2_FILES]
    files = next((pair for pair in pairs if any(file.is_file() for file in pair)), pairs[0])
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise UserError(f"--data.tokenizer gpt2:{folder}: {missing[0]} is missing; both of GPT-2's files are needed")
    try:
        lines = [line for line in read_text(files[1]).splitlines() if line and not line.startswith("#version")]
        return _bpe(read_json(files[0]), [line.split(" ") for line in lines])
    except Exception as error:  # `tokenizers` raises bare Exceptions
        raise UserError(f"--data.tokenizer gpt2:{folder}: not GPT-2's vocabulary ({error})") from error


def saved_bpe(saved: dict) -> BPETokenizer:
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

    require_numbered(vocabulary)
    if lacking := [byte for character, byte in BYTE_OF.items() if character not in vocabulary]:
        raise UserError(f"its vocabulary has no id for the byte {lacking[0]:#x}")
    for pair in merges:
        fits = isinstance(pair, list) and len(pair) == 2 and all(isinstance(piece, str) for piece in pair)
        if not fits or not all(piece in vocabulary for piece in (*pair, "".join(pair))):
            raise UserError(f"the merge {str(pair)[:40]} is not of two pieces of the vocabulary to a third")
    backend = byte_level(tokenizers.models.BPE(vocabulary, [tuple(pair) for pair in merges]))
    if END_OF_TEXT in vocabulary:
        backend.add_special_tokens([END_OF_TEXT])
    return BPETokenizer(backend)


def byte_level(model: Any) -> Any:
    """A tokenizer of `tokenizers` that splits words as GPT-2 does."""
    import tokenizers

    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    return backend


def byte_characters() -> list[str]:
    """GPT-2's name of each byte: printable Latin-1 stands for itself, the rest is moved to 256 and above."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    moved = iter(range(256, 512))
    return [chr(byte if byte in printable else next(moved)) for byte in range(256)]


BYTE_OF = {character: byte for byte, character in enumerate(byte_characters())}
