"""Which columns of the data become which fields: as --data.fields says, or as names and values suggest."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genjax.data.images import Files
from genjax.errors import UsageError

__all__ = ["FIELD", "LABELS", "Asked", "Column", "asked", "kind_of", "missing"]

KINDS = ("image", "label", "text", "tokens", "real", "mask")
LABELS = ("label", "labels", "class", "category", "y")
RESERVED = ("index", "valid", "mask", "bytes", "starts")  # arrays of a batch that are no field of the data
COMPANIONS = ("_length", "_present", "_segment", "_answer", "_choice")
FIELD = re.compile(r"[^\W\d][\w.-]*")
MOST_CLASSES = 10_000

# Numbers (N, ...); texts, lists or paths of images, (N,) of objects with None where one is missing; encoded images.
Column = np.ndarray | Files


class Asked(NamedTuple):
    """A field, the column that it is made of, and its kind (None: as the values suggest)."""

    field: str
    column: str
    kind: str | None = None


def asked(fields: Sequence[str], columns: Sequence[str], place: str) -> list[Asked]:
    """What --data.fields asks for: NAME=COLUMN, NAME=NUMBER (from 0 on) or NAME=COLUMN:KIND. () = every column.

    Raises UsageError for a column that is not there, and for what cannot be meant.
    """
    if not fields:
        return [Asked(column, column) for column in columns if _allowed(column)]
    found = []
    for entry in fields:
        name, equals, column = entry.partition("=")
        head, colon, tail = column.rpartition(":")
        kind = tail if colon and tail in KINDS and column not in columns else None
        column = head if kind else column
        if not equals or not FIELD.fullmatch(name) or not column:
            raise UsageError(f"--data.fields {entry}: write NAME=COLUMN, or NAME=COLUMN:KIND ({', '.join(KINDS)})")
        if not _allowed(name) or name in [other.field for other in found]:
            why = "is taken" if _allowed(name) else "has another meaning in a batch"
            raise UsageError(f"--data.fields {entry}: the name `{name}` {why}; choose another")
        if column not in columns and column.isdecimal() and int(column) < len(columns):
            column = columns[int(column)]
        if column not in columns:
            raise UsageError(f"--data.fields {entry}: {place} has no `{column}`; it has {', '.join(columns)}")
        found.append(Asked(name, column, kind))
    return found


def _allowed(name: str) -> bool:
    return name not in RESERVED and not name.endswith(COMPANIONS) and name.isprintable() and "/" not in name


def missing(column: Column) -> np.ndarray:
    """(N,) bool: the rows that have no value."""
    if isinstance(column, Files) or column.dtype != object:
        return np.zeros(len(column), bool)
    return np.array([value is None for value in column], bool)


def kind_of(name: str, column: Column) -> str | None:
    """The kind that a column's name and values suggest; None where they are of no kind."""
    if isinstance(column, Files):
        return "image"
    if column.dtype == object:
        return _kind_of_objects(name, column[~missing(column)])
    if column.dtype.kind not in "biuf":
        return None
    if column.ndim == 1:
        classes = column.dtype.kind == "b" or (column.dtype.kind in "iu" and _few(name, column))
        return "label" if classes else "real"
    picture = column.ndim == 4 and column.shape[3] in (1, 3)
    if column.dtype.kind == "f":
        return "image" if picture and len(column) and _in_range(column) else "real"
    if column.dtype.kind == "b":
        return "mask"
    if picture or (column.ndim == 3 and column.dtype == np.uint8):
        return "image"
    return {2: "tokens", 3: "real"}.get(column.ndim)


def _kind_of_objects(name: str, values: np.ndarray) -> str | None:
    if not len(values):
        return None
    if all(isinstance(value, Path) for value in values):
        return "image"
    if all(isinstance(value, str) for value in values):
        if name.lower() in LABELS and _few(name, values):
            return "label"
        if all(re.fullmatch(r"-?\d+", value) for value in values) and _few(name, values):
            return "label"
        return "real" if all(map(_is_number, values)) else "text"
    if all(isinstance(value, bool | int | float) for value in values):
        whole = not any(isinstance(value, float) for value in values)
        return "label" if whole and _few(name, values) else "real"
    if not all(isinstance(value, list | np.ndarray) and len(value) for value in values):
        return None
    if isinstance(values[0], np.ndarray) and values[0].ndim > 1:
        return kind_of(name, np.stack(values))
    entries = [entry for value in values[:100] for entry in value]
    if all(isinstance(entry, bool | np.bool_) for entry in entries):
        return "mask"
    return "tokens" if all(isinstance(entry, int | np.integer) for entry in entries) else "real"


def _few(name: str, values: np.ndarray) -> bool:
    """Whether the values repeat, as classes do: any number of classes for the name of a label, few for other names."""
    most = MOST_CLASSES if name.lower() in LABELS else min(100, max(2, len(values) // 2))
    return len(set(values.tolist())) <= most


def _in_range(values: np.ndarray) -> bool:
    return bool(values.min() >= -1.001 and values.max() <= 1.001)


def _is_number(value: str) -> bool:
    try:
        return np.isfinite(float(value))
    except ValueError:
        return False
