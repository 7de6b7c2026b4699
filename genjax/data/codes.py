"""Codes on disk: what a first stage made of a data set of any size, in pieces that are read as they are needed.

The folder holds for each split and array the pieces SPLIT-ARRAY-NUMBER.npy, of which those of one number have the same
rows; and `codes.json`, written last: the kinds of the fields and the rows of each piece. Texts bring `tokenizer.json`.
Nothing is augmented: a mirrored image has other codes.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax.data import readers
from genjax.data.arrays import Table
from genjax.data.dataset import Dataset
from genjax.data.draws import Draws
from genjax.data.pieces import FILE
from genjax.data.tokenizers import Tokenizer, load_tokenizer
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.files import partial_folder, read_json, write_atomic, writing
from genjax.orders import Examples
from genjax.plain import dump, read
from genjax.spec import DataSpec, Tokens

__all__ = ["Pieces", "codes", "is_codes", "save"]

INDEX = "codes.json"
SPLITS = ("train", "validation")
BYTES = 2**28  # of a piece, about
PIXELS = {"image_size": None, "channels": None, "flip": False, "random_crop": False}  # fields of Data: no use here

Rows = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Tables one after another, on disk; `limits` says below what the ids of an array must be."""

    members: tuple[Table, ...]
    limits: Mapping[str, int]

    def __len__(self) -> int:
        return sum(map(len, self.members))

    @property
    def examples(self) -> Examples:
        return Examples(len(self))

    def gather(self, ids_B: np.ndarray, draws: Draws | None = None, lengths: Mapping[str, int] = {}) -> Rows:
        ends = np.cumsum([len(member) for member in self.members])
        piece_B, batch = np.searchsorted(ends, ids_B, side="right"), {}
        for piece in np.unique(piece_B):
            row_R = np.flatnonzero(piece_B == piece)
            found = self.members[piece].gather(ids_B[row_R] - (ends[piece] - len(self.members[piece])))
            for name, array in found.items():
                batch.setdefault(name, np.zeros((len(ids_B), *array.shape[1:]), array.dtype))[row_R] = array
        for name, limit in self.limits.items():
            if (wrong := batch[name][(batch[name] < 0) | (batch[name] >= limit)]).size:
                # XLA would clamp the index and train on nonsense
                raise UserError(f"`{name}` holds the id {wrong[0]}, and its ids are from 0 to {limit - 1}")
        return batch


def is_codes(folder: Path) -> bool:
    return (folder / INDEX).is_file()


@readers.register("codes", folder=is_codes)
def codes(data: Data, place: Path, tokenizer: Tokenizer | None = None) -> Dataset:
    """A folder that `genjax encode RUN --out FOLDER` wrote; only what a batch needs is read from the disk.

    Raises UsageError for options of images, UserError for pieces that are missing or of another shape.
    """
    if used := [name for name, default in PIXELS.items() if getattr(data, name) != default]:
        raise UsageError(f"--data.{used[0].replace('_', '-')} changes images, and {place} holds codes of them")
    index = read_json(place / INDEX)
    spec = read(DataSpec, index.get("spec", {}), f"{place / INDEX}: spec")
    counts = read(dict[str, tuple[int, ...]], index.get("pieces", {}), f"{place / INDEX}: pieces")
    if sorted(counts) != sorted(SPLITS):
        raise UserError(f"{place / INDEX}: must say the rows of each piece of {' and '.join(SPLITS)}")
    limits = {name: field.vocabulary for name, field in spec.of_kind(Tokens).items()}
    sources = []
    for split in SPLITS:
        tables = [
            Table({name: _open(place / _file(split, name, number), (rows, *values.shape)) for name, values in
                   spec.arrays().items() if name != "index"})
            for number, rows in enumerate(counts[split])
        ]  # fmt: skip
        sources.append(Pieces(tuple(tables), limits))
    texts = load_tokenizer(place) if (place / FILE).is_file() else None
    return Dataset(spec, *sources, tokenizer=tokenizer or texts)


def _file(split: str, name: str, number: int) -> str:
    return f"{split}-{name}-{number:05d}.npy"


def _open(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # an empty file is an EOFError, and a broken header fails anywhere in its parser
        raise UserError(f"{path}: not a readable .npy file ({error})") from None
    if array.shape != shape or array.dtype.kind not in "iufb":
        raise UserError(f"{path}: must be numbers of the shape {shape}, not {array.dtype} {array.shape}")
    return array


def save(
    folder: Path,
    splits: Mapping[str, Iterator[Rows]],
    describe: Callable[[], DataSpec],
    tokenizer: Any = None,
    most: int | None = None,
) -> Path:
    """Writes what `codes` reads, piece by piece: no more than one piece is held in memory.

    Codes that are there already are replaced at the very end: the disk needs room for both, and where anything fails
    the old ones stay.

    Args:
      splits: batches of rows of each of SPLITS; read one after another.
      describe: the fields, asked for after the last batch. Their numbers of examples are filled in here.
      tokenizer: of the fields of text.
      most: bytes of a piece; None = BYTES.

    Raises:
      UserError: something cannot be written; or the folder holds anything but codes, which are replaced.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not is_codes(folder))):
        raise UserError(f"--out {folder}: is there already, and holds no codes: choose another name")
    with partial_folder(folder.resolve()) as partial:  # a link may lead to another disk
        counts = _write_pieces(partial, splits, most or BYTES)
        spec = dataclasses.replace(
            describe(), train_examples=sum(counts["train"]), validation_examples=sum(counts["validation"])
        )
        if tokenizer is not None:
            tokenizer.save(partial)
        index = {"pieces": counts, "spec": dump(DataSpec, spec, "spec")}
        write_atomic(partial / INDEX, json.dumps(index, indent=1).encode())
        _replace(folder, partial)
    return folder


def _write_pieces(folder: Path, splits: Mapping[str, Iterator[Rows]], most: int) -> dict[str, list[int]]:
    """The rows of each piece, by split."""
    counts: dict[str, list[int]] = {}
    for split, batches in splits.items():
        counts[split], held = [], []

        def flush(split=split, held=held) -> None:
            rows = {name: np.concatenate([part[name] for part in held]) for name in held[0]}
            for name, array in rows.items():
                _write(folder / _file(split, name, len(counts[split])), array)
            counts[split].append(len(next(iter(rows.values()))))
            held.clear()

        for batch in batches:
            held.append(batch)
            if sum(array.nbytes for part in held for array in part.values()) >= most:
                flush()
        if held:
            flush()
    return counts


def _replace(folder: Path, partial: Path) -> None:
    """Puts what `partial` holds in the place of a folder's codes, the index last; other files there stay."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in (folder / INDEX, folder / FILE, *folder.glob("*-*-?????.npy")):
            old.unlink(missing_ok=True)
        for file in sorted(partial.iterdir(), key=lambda file: file.name == INDEX):
            shutil.move(file, folder / file.name)


def _write(path: Path, array: np.ndarray) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array, allow_pickle=False)
