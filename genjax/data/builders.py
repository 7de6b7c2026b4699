"""One function a kind of field: from the column of each split to the field and its sources."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from genjax.data import transforms
from genjax.data.arrays import ImageArray, Table
from genjax.data.compose import Views
from genjax.data.dataset import Source
from genjax.data.kinds import Column, missing
from genjax.data.text import Padded
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UserError, visible
from genjax.experiment import Data
from genjax.spec import Field, Image, Label, Mask, Real, Tokens

__all__ = [
    "as_array",
    "build_image",
    "build_label",
    "build_mask",
    "build_real",
    "build_text",
    "build_tokens",
    "label_ids",
    "optional",
    "require_trained",
    "with_channel",
]

Built = tuple[Field, list[Source]]
MOST_IDS = 2**24  # of a vocabulary
UNFIT = (ValueError, TypeError, OverflowError)  # what numpy raises for values that are no numbers of one shape


def as_array(value: object) -> np.ndarray:
    """The value as an array; one of objects, of which no field is made, for nested lists of unequal length."""
    try:
        return np.asarray(value)
    except ValueError:
        return np.empty(1, object)


def build_image(name: str, parts: list[np.ndarray], data: Data, place: str) -> Built:
    """Images (N, H, W) or (N, H, W, C): uint8 (0 to 255; data that never exceeds 1 is taken to be 0 and 1), bool, or
    floats: in [-1, 1] where any value is negative, in [0, 1] otherwise; in all splits alike.
    """
    parts = _pixels(parts, place)
    channels = data.channels or parts[0].shape[3]
    sources = []
    for image_NHWC in parts:
        image_NHWC = transforms.array_with_channels(image_NHWC, channels)
        if data.image_size is not None:
            image_NHWC = transforms.resize_array(image_NHWC, data.image_size)
        height, width = image_NHWC.shape[1:3]
        size = None if height == width else data.image_size  # nothing to crop from a square
        view = transforms.View(size, channels, data.flip, data.random_crop)
        sources.append(ImageArray(name, image_NHWC, view))
    height, width = (size, size) if size else (height, width)
    return Image(height, width, channels), sources


def _pixels(parts: list[np.ndarray], place: str) -> list[np.ndarray]:
    kinds = dict.fromkeys("float" if part.dtype.kind == "f" else str(part.dtype) for part in parts)
    if len(kinds) > 1:
        raise UserError(f"{place}: the splits hold images of different types, {' and '.join(kinds)}: give them one")
    parts = with_channel(parts, place)
    kind = parts[0].dtype
    if kind.kind not in "bufi":
        raise UserError(f"{place}: images must be uint8, or floats in [0, 1] or [-1, 1]; these are {kind}")
    low, high = min(part.min() for part in parts), max(part.max() for part in parts)
    if kind.kind == "b" or (kind == np.uint8 and high <= 1):
        return [part.astype(np.uint8) * np.uint8(255) for part in parts]
    if kind == np.uint8:
        return parts
    if kind.kind != "f" or not (low >= -1.001 and high <= 1.001):  # also refuses NaN
        raise UserError(
            f"{place}: images must be uint8, or floats in [0, 1] or [-1, 1]; these are {kind}, {low} to {high}"
        )
    signed = low < -1e-3  # rounding errors below 0 are no sign
    return [(part if signed else part * 2 - 1).astype(np.float32).clip(-1, 1) for part in parts]


def with_channel(parts: list[np.ndarray], place: str) -> list[np.ndarray]:
    """Images (N, H, W, C) of every split. Raises UserError for other shapes, and for splits that differ."""
    parts = [part[..., None] if part.ndim == 3 else part for part in parts]
    for part in parts:
        if part.ndim != 4 or part.shape[3] not in (1, 3) or 0 in part.shape or part.shape[1:] != parts[0].shape[1:]:
            shapes = " and ".join(str(part.shape) for part in parts)
            raise UserError(f"{place}: images must be (N, H, W), (N, H, W, 1) or (N, H, W, 3), not {shapes}")
    return parts


def build_label(name: str, parts: list[Column], names: Sequence[str], place: str) -> Built:
    """Classes are numbered in the order of their values; `names`, where the data has them, are those of 0, 1, ..."""
    ids, names = label_ids(name, parts, names, place)
    return Label(len(names), tuple(names)), [Table({name: label_N}) for label_N in ids]


def require_trained(name: str, built: Built, place: str) -> None:
    """Raises UserError where a further split has a class that training lacks: it could never be told right."""
    field, sources = built
    first, *others = (source.arrays[name] for source in sources)
    if strange := [k for label_N in others for k in np.setdiff1d(label_N, first)]:
        raise UserError(
            f"{place}: `{name}` has the class {visible(field.names[strange[0]])} outside of training, which no "
            "training example has: correct it, or leave those rows out"
        )


def label_ids(
    name: str, parts: list[Column], names: Sequence[str], place: str
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The classes (N,) int32 of each split, and their names."""
    joined = np.concatenate([np.asarray(part).reshape(len(part), -1) for part in parts])
    if joined.shape[1] != 1:
        raise UserError(f"{place}: `{name}` must have one class for each example, not {joined.shape[1]}")
    joined = joined[:, 0]
    if joined.dtype == object:
        whole = all(isinstance(value, bool | int) or str(value).isdecimal() for value in joined)
        numbers = whole and all(len(str(value)) < 19 for value in joined)  # larger ones are names
        joined = joined.astype(np.int64) if numbers else joined.astype(str)
    if joined.dtype.kind == "S":
        joined = np.char.decode(joined, "utf-8", "replace")
    if joined.dtype.kind not in "Uiub" or (joined.dtype.kind == "i" and joined.min() < 0):
        low = f" from {joined.min()}" if joined.dtype.kind in "if" else ""
        raise UserError(f"{place}: labels must be names, or integers from 0 on, not {joined.dtype}{low} (`{name}`)")
    cuts = np.cumsum([len(part) for part in parts])[:-1]
    if len(names) and joined.dtype.kind in "iu":
        if joined.max() >= len(names):
            raise UserError(f"{place}: `{name}` has class {joined.max()}, but there are {len(names)} names of classes")
        return np.split(joined.astype(np.int32), cuts), tuple(names)
    values, ids = np.unique(joined, return_inverse=True)
    return np.split(ids.astype(np.int32), cuts), tuple(str(value) for value in values)


def build_real(name: str, parts: list[Column], place: str) -> Built:
    """Numbers of one shape; or sequences of them, of unequal length."""
    if _ragged(parts):
        return _build_sequences(name, parts, place)
    try:
        arrays = [np.stack([np.asarray(v, np.float32) for v in p]) if p.dtype == object else p for p in parts]
        arrays = [part.astype(np.float32) for part in arrays]
    except UNFIT as error:
        raise UserError(f"{place}: `{name}` is not numbers of one shape ({error})") from None
    if len({part.shape[1:] for part in arrays}) > 1:
        raise UserError(f"{place}: `{name}` must be numbers of one shape in every split")
    counts = _all_counts(name, arrays, place)
    return Real(arrays[0].shape[1:], counts=counts), [Table({name: part}) for part in arrays]


def _all_counts(name: str, arrays: list[np.ndarray], place: str) -> bool:
    """Whether all numbers are whole and not negative. Raises UserError for what is not finite."""
    if strange := sum(int((~np.isfinite(array)).sum()) for array in arrays):
        raise UserError(
            f"{place}: {strange} number(s) of `{name}` are not finite. Where an observation is missing, write 0, and "
            "False in a mask `observed` for the models that read one, such as HMM"
        )
    return all(bool(((array >= 0) & (array == np.floor(array))).all()) for array in arrays)


def _ragged(parts: list[Column]) -> bool:
    return len({row.shape for part in _arrays(parts) if isinstance(part, list) for row in part}) > 1


def _arrays(parts: list[Column]) -> list[Any]:
    """The splits, those of objects as lists of arrays."""
    return [[as_array(row) for row in part] if part.dtype == object else part for part in parts]


def _build_sequences(name: str, parts: list[Column], place: str) -> Built:
    """Sequences (T, ...) that differ in T, padded with zeros."""
    try:
        rows = [[np.asarray(row, np.float32) for row in part] for part in parts]
    except UNFIT:
        rows = []
    every = [row for part in rows for row in part]
    if not every or any(not row.ndim or row.shape[1:] != every[0].shape[1:] for row in every):
        raise UserError(f"{place}: `{name}` is not numbers of one shape, nor sequences of such")
    if not all(map(len, every)):
        raise UserError(f"{place}: `{name}` has a sequence that is empty")
    counts = _all_counts(name, every, place)
    longest = max(map(len, every))
    sources = []
    for part in rows:
        padded = np.zeros((len(part), longest, *every[0].shape[1:]), np.float32)
        for row, sequence in zip(padded, part):
            row[: len(sequence)] = sequence
        sources.append(Table({name: padded, f"{name}_length": np.array([len(row) for row in part], np.int32)}))
    return Real(padded.shape[1:], ragged=True, counts=counts), sources


def build_mask(name: str, parts: list[Column], place: str) -> Built:
    """Truth of one shape; or lists of it, of which the shorter ones end in False."""
    rows = _arrays(parts)
    lists = [row for part in rows if isinstance(part, list) for row in part]
    if lists and all(row.ndim == 1 for row in lists):
        longest = max(map(len, lists))
        parts = [np.stack([np.pad(row, (0, longest - len(row))) for row in part]) for part in rows]
    if len({part.shape[1:] for part in parts}) > 1 or any(part.dtype.kind not in "biu" for part in parts):
        raise UserError(f"{place}: `{name}` must be bool, or 0 and 1, of one shape in every split")
    return Mask(parts[0].shape[1:]), [Table({name: part != 0}) for part in parts]


def build_tokens(name: str, parts: list[Column], place: str) -> Built:
    """Ids (N, T), or lists of unequal length; `tokens` are inputs and targets in one, (N, T + 1)."""
    ragged = any(part.dtype == object for part in parts)
    shifted = name == "tokens" and not ragged
    rows = _arrays(parts)
    flat = [np.concatenate([row.ravel() for row in part]) if isinstance(part, list) else part for part in rows]
    fits = [p.dtype.kind in "iu" and p.size and p.min() >= 0 and p.ndim == (1 if ragged else 2) for p in flat]
    fits += [row.ndim == 1 for part in rows if isinstance(part, list) for row in part]
    if not all(fits) or (not ragged and (len({p.shape[1:] for p in parts}) > 1 or parts[0].shape[1] < 1 + shifted)):
        wanted = "(N, T + 1)" if shifted else "(N, T)"
        raise UserError(f"{place}: {name} must be {wanted} integers from 0 on, of one length in all splits")
    largest = max(int(part.max()) for part in flat)
    if largest >= MOST_IDS:
        raise UserError(f"{place}: {name} has the id {largest}; a vocabulary of up to {MOST_IDS} ids is read")
    if not ragged:
        tokens = Tokens((parts[0].shape[1] - shifted,), largest + 1, shifted=shifted)
        return tokens, [Table({name: part.astype(np.int32)}) for part in parts]
    longest = max(len(row) for part in rows for row in part)
    sources = [Padded.of(name, list(part), longest, 0) for part in rows]
    return Tokens((longest,), largest + 1, ragged=True), sources


def build_text(
    name: str, parts: list[Column], tokenizer: Tokenizer, data: Data, place: str, notation: str = ""
) -> tuple[Field, list, int]:
    """Texts, each closed by the end of text and cut to --data.context tokens; and how many were cut.

    The field `tokens` is what a language model reads: it begins with the end of text too, and is cut to T + 1 ids, so
    that the first word is a target like any other.
    """
    end = tokenizer.end_of_text
    mark = np.array([] if end is None else [end], np.int32)
    shifted = name == "tokens"
    most, cut, sources = data.context + shifted, 0, []
    for part in parts:
        texts = [np.concatenate(([mark] * shifted) + [ids, mark]) for ids in tokenizer.encode_all(part.tolist())]
        cut += sum(len(text) > most for text in texts)
        sources.append(Padded.of(name, [text[:most] for text in texts], data.context, end or 0, shifted, end))
    if cut and data.strict:
        raise UserError(
            f"{place}: {cut} texts of `{name}` have more than --data.context {data.context} tokens: raise it, or leave "
            "--data.strict off to cut them"
        )
    kinds = {"shifted": shifted, "ragged": True, "end": end, "notation": notation}
    return Tokens((data.context,), tokenizer.vocabulary, **kinds), sources, cut


def optional(name: str, parts: list[Column], build: Callable[[list[Column]], Built], place: str) -> Built:
    """A field that some rows lack, built from the rows that have it; `parts` begin with the training split."""
    absent = [missing(part) for part in parts]
    if not any(lacks.any() for lacks in absent):
        return build(parts)
    if absent[0].all():
        raise UserError(f"{place}: no training example has `{name}`, and nothing can be learned of it: leave it out")
    present = [part[~lacks] for part, lacks in zip(parts, absent)]
    some = present[0][:1]
    present = [part if len(part) else some for part in present]  # a split without any needs its shape all the same
    if all(isinstance(value, np.ndarray) for part in present for value in part):
        present = [np.stack(part) for part in present]
    field, sources = build(present)
    rows = [np.where(lacks, -1, np.cumsum(~lacks) - 1) for lacks in absent]
    views = [Views({name: source}, {name: row_N}) for source, row_N in zip(sources, rows)]
    return dataclasses.replace(field, optional=True), views
