"""Text in memory: windows of a long sequence of tokens, and texts of unequal length, a row each."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from genjax.data import readers
from genjax.data.dataset import Dataset
from genjax.data.draws import Draws
from genjax.data.tokenizers import Tokenizer, make_tokenizer
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.orders import Examples
from genjax.spec import DataSpec, Tokens

__all__ = [
    "Padded",
    "TokenWindows",
    "closed",
    "closing",
    "manual",
    "pydoc",
    "text_dataset",
    "text_file",
    "windows_dataset",
]


BLOCK = 2**20  # ids that are searched at a time: they may be memory-mapped


@dataclasses.dataclass(frozen=True)
class TokenWindows:
    """Windows of T + 1 tokens that begin at every `stride`-th token; the array may be memory-mapped."""

    tokens_N: np.ndarray
    context: int
    stride: int
    vocabulary: int

    def __len__(self) -> int:
        return (len(self.tokens_N) - self.context - 1) // self.stride + 1

    @property
    def examples(self) -> Examples:
        return Examples(len(self), follows=self.context // self.stride)

    def gather(
        self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}
    ) -> dict[str, np.ndarray]:
        start_B = ids_B.astype(np.int64) * self.stride
        tokens_BS = self.tokens_N[start_B[:, None] + np.arange(self.context + 1)].astype(np.int32)
        if tokens_BS.max(initial=0) >= self.vocabulary or tokens_BS.min(initial=0) < 0:
            wrong = tokens_BS[(tokens_BS >= self.vocabulary) | (tokens_BS < 0)][0].astype(np.uint32)
            # XLA would clamp the index and train on nonsense
            raise UserError(f"the data holds token {wrong}, but its vocabulary has only {self.vocabulary}")
        return {"tokens": tokens_BS}


@dataclasses.dataclass(frozen=True)
class Padded:
    """Texts of unequal length, padded: the arrays `name` (B, T) and NAME_length (B,).

    Attributes:
      tokens_M: all texts, one after another.
      starts_N: where each one begins, and where the last one ends.
      longest: T where a batch does not say another.
      fill: the id that pads.
      shifted: the array is (B, T + 1).
      end: the id that closes a text also where a batch has too little room for it; None = such a text stays open.
    """

    name: str
    tokens_M: np.ndarray
    starts_N: np.ndarray
    longest: int
    fill: int
    shifted: bool = False
    end: int | None = None

    @classmethod
    def of(
        cls,
        name: str,
        texts: Sequence[np.ndarray],
        longest: int,
        fill: int,
        shifted: bool = False,
        end: int | None = None,
    ) -> "Padded":
        starts_N = np.concatenate([[0], np.cumsum([len(text) for text in texts], dtype=np.int64)])
        tokens_M = np.concatenate([np.zeros(0, np.int32), *texts]).astype(np.int32)
        return cls(name, np.append(tokens_M, np.int32(fill)), starts_N, longest, fill, shifted, end)

    def __len__(self) -> int:
        return len(self.starts_N) - 1

    @property
    def examples(self) -> Examples:
        return Examples(len(self), {self.name: np.diff(self.starts_N) - self.shifted}, self.longest)

    def gather(
        self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}
    ) -> dict[str, np.ndarray]:
        width = lengths.get(self.name, self.longest) + self.shifted
        place_T = np.arange(width)
        start_B = self.starts_N[ids_B]
        length_B = self.starts_N[ids_B + 1] - start_B
        at_BT = np.where(place_T < length_B[:, None], start_B[:, None] + place_T, -1)  # the last token is the filling
        tokens_BT = self.tokens_M[at_BT]
        if self.end is not None:  # an example that stands for an unreadable one may be longer than the batch
            tokens_BT[length_B > width, -1] = self.end
        return {self.name: tokens_BT, f"{self.name}_length": np.minimum(length_B, width).astype(np.int32)}


def windows_dataset(
    train_N: np.ndarray,
    validation_N: np.ndarray,
    context: int,
    tokenizer: Tokenizer,
    name: str,
    test_N: np.ndarray | None = None,
) -> Dataset:
    """Training begins a window at any token, validation at every T-th: its windows cover the split and share
    only the one token that is target of one and input of the next. A window counts T tokens as an example.
    """
    parts = {"training": train_N, "validation": validation_N} | ({} if test_N is None else {"test": test_N})
    for split, tokens_N in parts.items():
        if len(tokens_N) < context + 1:
            raise UserError(
                f"{name}: the {split} split has {len(tokens_N)} tokens, but --data.context {context} needs "
                f"{context + 1}: choose a smaller context, another --data.validation share, or more text"
            )
    train = TokenWindows(train_N, context, 1, tokenizer.vocabulary)
    held = [TokenWindows(part, context, context, tokenizer.vocabulary) for part in list(parts.values())[1:]]
    spec = DataSpec(
        {"tokens": Tokens((context,), tokenizer.vocabulary, shifted=True, end=_end(train_N, tokenizer))},
        (len(train_N) - 1) // context,
        *map(len, held),
    )
    return Dataset(spec, train, *held, tokenizer=tokenizer)


def _end(tokens_N: np.ndarray, tokenizer: Tokenizer) -> int | None:
    """`Tokens.end` of a text: the end of text, where it closes documents of this one; None where line breaks do.

    A text without either has its first id, which samples then start from.
    """
    if tokenizer.end_of_text is not None and _occurs(tokenizer.end_of_text, tokens_N):
        return tokenizer.end_of_text
    try:
        lines = _occurs(int(tokenizer.encode("\n")[0]), tokens_N)
    except UserError:  # it is none of the characters
        lines = False
    return None if lines else int(tokens_N[0])


def _occurs(token: int, tokens_N: np.ndarray) -> bool:
    return any((tokens_N[i : i + BLOCK] == token).any() for i in range(0, len(tokens_N), BLOCK))


def text_dataset(data: Data, text: str, name: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """The first 1 - --data.validation of the characters train, the rest validate.

    Merges of byte pairs are learned from the training part, unless a tokenizer is given; characters are taken from the
    whole text.
    """
    cut = round(len(text) * (1 - data.validation))
    train, validation = text[:cut], text[cut:]
    tokenizer = tokenizer or make_tokenizer(data.tokenizer, text if data.tokenizer == "char" else train)
    return windows_dataset(tokenizer.encode(train), tokenizer.encode(validation), data.context, tokenizer, name)


def closed(texts: Sequence[str], tokenizer: Tokenizer) -> np.ndarray:
    """(N,) int32: the tokens of all texts, each closed by the end of text, or a line break where there is none."""
    end_E = closing(tokenizer)
    return np.concatenate(
        [np.zeros(0, np.int32), *(part for ids in tokenizer.encode_all(texts) for part in (ids, end_E))]
    )


def closing(tokenizer: Tokenizer) -> np.ndarray:
    """(E,) int32: what stands between two documents."""
    return tokenizer.encode("\n") if tokenizer.end_of_text is None else np.array([tokenizer.end_of_text], np.int32)


def text_file(data: Data, path: Path, tokenizer: Tokenizer | None = None) -> Dataset:
    """A UTF-8 text file (a byte-order mark is dropped). Raises UserError if it is something else."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(
            f"{path}: not UTF-8 text; --data.path takes a folder of images, {', '.join(readers.suffixes())}, a UTF-8 "
            "text file, or a folder made by `genjax corpus`"
        )
    return text_dataset(data, text, str(path), tokenizer)


@readers.register("pydoc")
def pydoc(data: Data, place: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """The topics of Python's own manual."""
    return text_dataset(data, manual(), "pydoc", tokenizer)


def manual() -> str:
    """The topics of Python's own manual (`pydoc_data.topics`), sorted by key: half a megabyte of English
    prose and code that every Python brings along. The text differs a little between versions of Python.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise UserError(
            "this Python lacks pydoc_data; install its full standard library, or use --data.path"
        ) from error
    return "\n\n".join(topics[key] for key in sorted(topics))
