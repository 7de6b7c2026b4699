"""Tables of named columns: .tsv, .csv and .jsonl files."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genjax.data import instructions, readers
from genjax.data.columns import columns_dataset, objects
from genjax.data.dataset import Dataset
from genjax.data.images import SUFFIXES
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.files import read_text

__all__ = ["read_table", "table", "with_files"]

NAME = re.compile(r"[^\W\d][\w.-]{0,39}")  # of a column, as a header has it
LOOKED_AT = 100  # rows that a header is compared with
FILES = ("file_name", "filename", "file", "path")  # columns of image files, which become `image`


@readers.register("table", suffix=(".tsv", ".csv", ".jsonl"))
def table(data: Data, place: Path, tokenizer: Tokenizer | None = None) -> Dataset:
    """A table, each column a field by its name.

    A column named label, class or category becomes a label, one of numbers numbers, one of image files (relative to
    the table) images, any other text. An empty cell is a missing label, number or image; rows with an empty text are
    left out. `file_name`, `filename`, `file` and `path` become `image` where they are image files. `prompt` and
    `answer`, or `messages` alone, are instructions: see `genjax.data.instructions`.

    A .tsv file has one row a line, without quotes; .csv files are quoted as spreadsheets do it. The first line names
    the columns if its cells are different plain names and some cell of the lines that follow is not; or if
    --data.fields asks for one of its cells. Without such a line the columns are c0, c1, ...; --data.fields may also
    give the number of a column, from 0 on (source=0 target=1).

    Raises:
      UserError: rows of unequal numbers of cells, JSON that is no object, a picture that is not there.
    """
    columns, notes = read_table(place, [entry.partition("=")[2].partition(":")[0] for entry in data.fields])
    if not data.fields and instructions.are(columns):
        return instructions.instructions(data, str(place), columns, tokenizer)
    return columns_dataset(
        data, str(place), {"train": with_files(columns, place.parent, str(place))}, tokenizer, notes=notes
    )


def read_table(path: Path, asked: Sequence[str] = ()) -> tuple[dict[str, np.ndarray], list[str]]:
    """The columns of a file, (N,) of objects, and notes for the user."""
    text = read_text(path)
    if "\0" in text:
        raise UserError(f"{path}: not text; it has zero bytes")
    if path.suffix.lower() == ".jsonl":
        return _json_lines(text, path), []
    if path.suffix.lower() == ".csv":
        try:
            rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        except csv.Error as error:
            raise UserError(f"{path}: not readable as CSV ({error})") from None
    else:
        rows = [line.removesuffix("\r").split("\t") for line in text.split("\n") if line.strip("\r\n")]
    if not rows:
        raise UserError(f"{path}: is empty")
    for n, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise UserError(f"{path}: row {n + 1} has {len(row)} cells, but the first row has {len(rows[0])}")
    notes, names = [], [f"c{n}" for n in range(len(rows[0]))]
    if _is_header(rows, asked):
        names, rows = rows[0], rows[1:]
    else:
        notes.append(f"{path}: the first line names no columns; they are called {', '.join(names)}")
    if not rows:
        raise UserError(f"{path}: has the names of columns, but no rows")
    return {name: _cells(column) for name, column in zip(names, zip(*rows))}, notes


def with_files(columns: dict[str, np.ndarray], folder: Path, place: str) -> dict[str, np.ndarray]:
    """The columns, with paths in the place of names of image files. Raises UserError for a file that is not there."""
    found = {}
    for name, column in columns.items():
        values = [value for value in column if value is not None]
        if not values or not all(isinstance(v, str) and v.lower().endswith(SUFFIXES) for v in values):
            found[name] = column
            continue
        paths = [None if value is None else folder / value for value in column]
        if absent := [path for path in paths if path is not None and not path.is_file()]:
            raise UserError(f"{place}: `{name}` names pictures that are not there: {len(absent)}, such as {absent[0]}")
        renamed = "image" if name.lower() in FILES and "image" not in columns else name.removesuffix("_file_name")
        found[renamed] = objects(paths)
    return found


def _json_lines(text: str, path: Path) -> dict[str, np.ndarray]:
    rows = []
    for n, line in enumerate(text.split("\n")):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: line {n + 1} is not JSON ({error})") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}: line {n + 1} is not a JSON object with named values")
        if rows and row.keys() != rows[0].keys():
            differ = ", ".join(sorted(row.keys() ^ rows[0].keys()))
            raise UserError(f"{path}: line {n + 1} has other names than the first: {differ} (write null for no value)")
        rows.append(row)
    if not rows:
        raise UserError(f"{path}: is empty")
    return {name: objects([_text(row[name]) for row in rows]) for name in rows[0]}


def _text(value: object) -> object:
    """A value of JSON; halves of surrogate pairs, which UTF-8 cannot write, are replaced."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _is_header(rows: list[list[str]], asked: Sequence[str]) -> bool:
    first = rows[0]
    if len(set(first)) < len(first) or not all(NAME.fullmatch(cell) for cell in first):
        return False
    return any(cell in asked for cell in first) or any(
        not NAME.fullmatch(cell) for row in rows[1 : LOOKED_AT + 1] for cell in row
    )


def _cells(column: tuple[str, ...]) -> np.ndarray:
    """(N,) of objects. An empty cell is None among names of files and numbers, and an empty text among texts."""
    filled = [cell for cell in column if cell]
    files = bool(filled) and all(cell.lower().endswith(SUFFIXES) for cell in filled)
    if files or (filled and all(re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", cell) for cell in filled)):
        return objects([cell or None for cell in column])
    return objects(column)
