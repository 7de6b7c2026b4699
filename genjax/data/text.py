"""Text in memory: your own UTF-8 file, or Python's manual; and windows of any long sequence of tokens."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import numpy as np

from genjax.data.dataset import Dataset
from genjax.data.tokenizers import Tokenizer, make_tokenizer
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.spec import DataSpec


@dataclasses.dataclass(frozen=True)
class TokenWindows:
    """Windows of T + 1 tokens that begin at every `stride`-th token; the array may be memory-mapped."""

    tokens_N: np.ndarray
    context: int
    stride: int
    vocabulary: int
    replacement: ClassVar[bool] = True

    def __len__(self) -> int:
        return (len(self.tokens_N) - self.context - 1) // self.stride + 1

    def gather(self, ids_B: np.ndarray, draws_B3: np.ndarray | None) -> dict[str, np.ndarray]:
        start_B = ids_B.astype(np.int64) * self.stride
        tokens_BS = self.tokens_N[start_B[:, None] + np.arange(self.context + 1)].astype(np.int32)
        if tokens_BS.max(initial=0) >= self.vocabulary:  # XLA would clamp the index and train on nonsense
            raise UserError(f"the data holds token {tokens_BS.max()}, but its vocabulary has only {self.vocabulary}")
        return {"tokens": tokens_BS}


@dataclasses.dataclass(frozen=True)
class TokenRows:
    """Token sequences of one length, (N, T + 1) int32."""

    tokens_NS: np.ndarray
    replacement: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.tokens_NS)

    def gather(self, ids_B: np.ndarray, draws_B3: np.ndarray | None) -> dict[str, np.ndarray]:
        return {"tokens": self.tokens_NS[ids_B]}


def windows_dataset(
    train_N: np.ndarray, validation_N: np.ndarray, context: int, tokenizer: Tokenizer, name: str
) -> Dataset:
    """Training begins a window at any token, validation at every T-th: its windows cover the split and share
    only the one token that is target of one and input of the next. A window counts T tokens as an example.
    """
    for split, tokens_N in (("training", train_N), ("validation", validation_N)):
        if len(tokens_N) < context + 1:
            raise UserError(
                f"{name}: the {split} split has {len(tokens_N)} tokens, but --data.context {context} needs "
                f"{context + 1}: choose a smaller context, another --data.validation share, or more text"
            )
    train = TokenWindows(train_N, context, 1, tokenizer.vocabulary)
    validation = TokenWindows(validation_N, context, context, tokenizer.vocabulary)
    spec = DataSpec(
        vocabulary=tokenizer.vocabulary,
        context=context,
        train_examples=(len(train_N) - 1) // context,
        validation_examples=len(validation),
    )
    return Dataset(spec, train, validation, tokenizer)


def text_dataset(data: Data, text: str, name: str) -> Dataset:
    """The first 1 - --data.validation of the characters train, the rest validate.

    Merges of byte pairs are learned from the training part; characters are taken from the whole text.
    """
    cut = round(len(text) * (1 - data.validation))
    train, validation = text[:cut], text[cut:]
    tokenizer = make_tokenizer(data.tokenizer, text if data.tokenizer == "char" else train)
    return windows_dataset(tokenizer.encode(train), tokenizer.encode(validation), data.context, tokenizer, name)


def text_file(data: Data, path: Path) -> Dataset:
    """A UTF-8 text file (a byte-order mark is dropped). Raises UserError if it is something else."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(
            f"{path}: not UTF-8 text; --data.path takes a folder of images, a .npz file, a UTF-8 text file, "
            "or a folder made by `genjax corpus`"
        )
    return text_dataset(data, text, str(path))


def pydoc(data: Data) -> Dataset:
    """The topics of Python's own manual (`pydoc_data.topics`), sorted by key: half a megabyte of English
    prose and code that every Python brings along. The text differs a little between versions of Python.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise UserError(
            "this Python lacks pydoc_data; install its full standard library, or use --data.path"
        ) from error
    return text_dataset(data, "\n\n".join(topics[key] for key in sorted(topics)), "pydoc")
