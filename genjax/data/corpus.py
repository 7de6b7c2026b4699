"""A corpus: text tokenized once, on disk, memory-mapped while training.

A folder with `train.bin` and `validation.bin` (token ids, little-endian uint16 or uint32), `corpus.json` and
`tokenizer.json`.
"""

import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from genjax.data import readers
from genjax.data.dataset import Dataset
from genjax.data.pieces import BREAK
from genjax.data.text import closing, windows_dataset
from genjax.data.tokenizers import Tokenizer, load_tokenizer, make_tokenizer
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.files import partial_folder, read_json
from genjax.plain import read

__all__ = ["DESCRIPTION", "build_corpus", "corpus"]

VERSION = 1
DESCRIPTION = "corpus.json"
SPLITS = ("train", "validation")
BLOCK = 2**22  # characters in memory at a time


@dataclasses.dataclass(frozen=True)
class Description:
    """What corpus.json says."""

    version: int
    dtype: Literal["<u2", "<u4"]
    vocabulary: int
    train: int  # tokens
    validation: int


def build_corpus(
    texts: Iterable[Path], out: Path, tokenizer: str = "byte", validation: float = 0.1
) -> dict[str, int | str]:
    """Tokenizes UTF-8 files, each one a document, into the folder `out`; returns what `corpus.json` says.

    The documents follow one another in the order given, each closed by the end-of-text token, or by a line break if the
    tokenizer has no such token. The last `validation` share of the bytes is the validation split, cut at a character.
    Files are streamed (`char` and `bpe:SIZE` read them once more, to learn from all of them), and the folder gets its
    name only when it is complete. Raises UserError for missing, empty or undecodable files, or if `out` exists.
    """
    texts, out = [Path(text) for text in texts], Path(out)
    _check(texts, out, validation)
    try:
        with partial_folder(out) as partial:
            learned = (block for text in texts for block in _blocks(text))
            coder = make_tokenizer(tokenizer, itertools.chain(learned, "\n") if tokenizer == "char" else learned)
            partial.mkdir(parents=True)
            description = _write(texts, partial, coder, validation)
            os.rename(partial, out)
            return description
    except OSError as error:
        raise UserError(f"{out}: the corpus cannot be made ({error})") from error


def is_corpus(folder: Path) -> bool:
    return (folder / DESCRIPTION).exists()


@readers.register("corpus", folder=is_corpus)
def corpus(data: Data, folder: Path, tokenizer: Tokenizer | None = None) -> Dataset:
    """A folder made by `build_corpus`, with its own tokenizer and split.

    Raises UserError if it is not whole, or was made with another tokenizer than the one given.
    """
    path = folder / DESCRIPTION
    description = read(Description, read_json(path), str(path))
    if description.version != VERSION:
        raise UserError(f"{path}: version {description.version} is not read by this genjax; make the corpus anew")
    dtype, vocabulary = np.dtype(description.dtype), description.vocabulary
    given, tokenizer = tokenizer, load_tokenizer(folder)
    if given is not None and list(given.pieces) != list(tokenizer.pieces):
        raise UserError(f"{folder}: was made with another tokenizer than that of the run; make the corpus with it")
    if tokenizer.vocabulary != vocabulary:
        raise UserError(f"{folder}: the tokenizer has {tokenizer.vocabulary} tokens, the corpus {vocabulary}")
    tokens = []
    for split in SPLITS:
        file, count = folder / f"{split}.bin", getattr(description, split)
        size = file.stat().st_size if file.is_file() else 0
        if size != count * dtype.itemsize or not count:
            raise UserError(f"{file}: {size} bytes instead of {count * dtype.itemsize}; make the corpus anew")
        tokens.append(np.memmap(file, dtype, mode="r"))
    train, validation = tokens
    return windows_dataset(train, validation, data.context, tokenizer, str(folder))


def _check(texts: list[Path], out: Path, validation: float) -> None:
    if out.exists():
        raise UserError(f"{out} exists; remove it, or choose another folder")
    if not texts:
        raise UsageError("a corpus needs at least one text file")
    if not 0 < validation < 1:
        raise UsageError(f"the validation share must be between 0 and 1, not {validation}")
    for text in texts:
        if not text.is_file():
            what = f"is a folder: name its files, {text}/*.txt" if text.is_dir() else "no such file"
            raise UserError(f"{text}: {what}")


def _write(texts: list[Path], folder: Path, tokenizer: Tokenizer, validation: float) -> dict[str, int | str]:
    dtype = np.dtype("<u2" if tokenizer.vocabulary <= 2**16 else "<u4")
    left = round(sum(text.stat().st_size for text in texts) * (1 - validation))  # bytes for training, still to come
    counts = dict.fromkeys(SPLITS, 0)
    end = closing(tokenizer)
    with open(folder / "train.bin", "wb") as train, open(folder / "validation.bin", "wb") as held:
        files = dict(zip(SPLITS, (train, held)))

        def write(split: str, tokens: np.ndarray) -> None:
            tokens.astype(dtype).tofile(files[split])
            counts[split] += len(tokens)

        for text in texts:
            split = None  # of the document's last character
            for block in _blocks(text):
                encoded = block.encode("utf-8")
                cut = len(encoded[:left].decode("utf-8", errors="ignore"))
                write("train", tokenizer.encode(block[:cut]))
                write("validation", tokenizer.encode(block[cut:]))
                left = max(0, left - len(encoded))
                split = "train" if cut == len(block) else "validation"
            if split is not None:
                write(split, end)
    if 0 in counts.values():
        raise UserError(f"too little text for two splits: {counts['train']} and {counts['validation']} tokens")
    tokenizer.save(folder)
    description = dataclasses.asdict(Description(VERSION, dtype.str, tokenizer.vocabulary, **counts))
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
    return description


def _blocks(path: Path) -> Iterator[str]:
    """The text in blocks that end where a word does, so that they tokenize as the whole would.

    (A file with 4 million characters and nowhere a plain line break is cut in between.)
    """
    rest = ""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            while read := file.read(BLOCK):
                text = rest + read
                breaks = [found.end() for found in BREAK.finditer(text, max(0, len(text) - 2**16))]
                cut = breaks[-1] if breaks else len(text)
                yield text[:cut]
                rest = text[cut:]
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.object[error.start]:#x})") from error
    if rest:
        yield rest
