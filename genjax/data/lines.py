"""Files of many short texts that are no prose: a text in each line, such as molecules, or tunes in ABC notation."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genjax.data import readers
from genjax.data.columns import columns_dataset, objects
from genjax.data.dataset import Dataset
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.files import read_text

__all__ = ["lines", "tunes"]

KEPT = "MLK"  # fields of a tune: meter, unit of length, key


@readers.register("lines", suffix=(".smi", ".smiles"), text=True)
def lines(data: Data, place: Path, tokenizer: Tokenizer | None = None) -> Dataset:
    """The field `tokens`: each line that is not empty is a text of its own.

    Of a .smi or .smiles file it is the first word of each line, as a name may follow a molecule.
    """
    found = [line.strip() for line in _text(data, place).split("\n") if line.strip()]
    if place.suffix.lower() in (".smi", ".smiles"):
        found = [line.split()[0] for line in found]
    return _dataset(data, place, found, tokenizer)


@readers.register("tunes", suffix=(".abc",), text=True)
def tunes(data: Data, place: Path, tokenizer: Tokenizer | None = None) -> Dataset:
    """The field `tokens`: each tune of a file in ABC notation, its meter, unit length and key before its notes.

    Other fields, such as the title, are left out. Tunes stand apart by empty lines, and each begins with X:.
    """
    found = []
    for part in re.split(r"\n\s*\n", _text(data, place)):
        rows = [line.strip() for line in part.strip().split("\n")]
        if rows[0].startswith("X:"):
            kept = (line for line in rows if not re.match(r"[A-Za-z]:", line) or line[0] in KEPT)
            found.append("\n".join(re.sub(r"^([A-Z]:) +", r"\1", line) for line in kept))
    if not found:
        raise UserError(f"{place}: has no tune in ABC notation, which begins with X: after an empty line")
    return _dataset(data, place, found, tokenizer, notation="abc")


def _text(data: Data, place: Path | str) -> str:
    if not isinstance(place, Path):
        raise UsageError(f"--data.source {data.source}: says how a file is cut into texts: name it with --data.path")
    text = read_text(place).replace("\r\n", "\n")
    if "\0" in text:
        raise UserError(f"{place}: not text; it has zero bytes")
    return text


def _dataset(data: Data, place: Path, texts: Sequence[str], tokenizer: Tokenizer | None, notation: str = "") -> Dataset:
    columns: dict[str, np.ndarray] = {"tokens": objects(list(texts))}
    if not texts:
        raise UserError(f"{place}: is empty")
    return columns_dataset(data, str(place), {"train": columns}, tokenizer, kinds={"tokens": "text"}, notation=notation)
