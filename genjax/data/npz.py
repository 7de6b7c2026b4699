""".npz files of named arrays, and the embedded digits."""

import contextlib
import importlib.util
import math
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from genjax.data import latents, readers
from genjax.data.builders import build_image, build_label, with_channel
from genjax.data.columns import columns_dataset, objects
from genjax.data.compose import Zip
from genjax.data.dataset import Dataset, hold_out
from genjax.data.kinds import Column
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.files import require_file
from genjax.memory import require_room
from genjax.spec import DataSpec

__all__ = ["digits", "handwritten", "npz", "opened"]

NAMES = {"image": "image", "images": "image", "x": "image", "label": "label", "labels": "label", "y": "label"}
NAMES |= {"tokens": "tokens"}
SPLITS = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}


@readers.register("digits")
def digits(data: Data, place: str, tokenizer: Tokenizer | None = None) -> Dataset:
    """Scikit-learn's embedded handwritten digits (UCI optical digits, its test set): 1797 grey images of 8x8.

    The pixels count 0..16 and become x / 8 - 1. The originals are ordered by writer and digit, so a fixed
    seeded shuffle comes before the split: 1,500 for training, 297 for validation, whatever --data.validation
    says.
    """
    image_NHWC, label_N = handwritten()
    held = hold_out(len(image_NHWC), 297 / 1797, "digits")
    image, images = build_image("image", [image_NHWC[ids] for ids in held], data, "digits")
    label, labels = build_label("label", [label_N[ids] for ids in held], (), "digits")
    sources = [Zip({"image": pictures, "label": classes}) for pictures, classes in zip(images, labels)]
    return Dataset(DataSpec({"image": image, "label": label}, *map(len, sources)), *sources)


def handwritten() -> tuple[np.ndarray, np.ndarray]:
    """Scikit-learn's digits, in its order: (N, 8, 8, 1) float32 in [-1, 1], and (N,) the digits.

    From its file, as `sklearn.datasets.load_digits` reads it, whose import takes longer than all else before a step.
    """
    package = importlib.util.find_spec("sklearn").origin
    table = np.loadtxt(Path(package).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return (table[:, :-1].reshape(-1, 8, 8, 1) / 8 - 1).astype(np.float32), table[:, -1].astype(int)


@readers.register("npz", suffix=(".npz",))
def npz(data: Data, place: Path, tokenizer: Tokenizer | None = None) -> Dataset:
    """A .npz file of named arrays, each with one row an example.

    `image` (or images, x), `label` (labels, y) and `tokens` are those fields; other arrays are fields by their own
    names. `train`, and `validation` (val, valid) or `test`, before or after a name say the split. NAME_length says how
    many ids of a row count, NAME_present which rows have one. Images are (N, H, W) or (N, H, W, C), labels (N,)
    integers or names, tokens (N, T + 1) integers, other integers (N, T) ids, floats numbers of any shape.

    A file made by `genjax encode` holds latents: see `genjax.data.latents`.
    """
    archive, odd = _read(place)
    if any("latent" in key for key in archive):
        return latents.dataset(data, archive, place)
    splits: dict[str, dict[str, Column]] = {"train": {}}
    for key, array in archive.items():
        split, name = _split(key)
        columns = splits.setdefault(split, {})
        columns[key if name in columns else name] = array
    if not splits["train"]:
        raise UserError(f"{place}: has no array for training; it has {', '.join(list(archive)[:9]) or 'nothing'}")
    unused, asked_for = [*odd], {entry.partition("=")[2].partition(":")[0] for entry in data.fields}
    if images := [columns["image"] for columns in splits.values() if "image" in columns]:
        with_channel(images, str(place))
    for split, columns in splits.items():
        counts = Counter(len(array) for array in columns.values() if array.ndim)
        first = next(
            (len(columns[name]) for name in ("image", "tokens") if name in columns and columns[name].ndim), None
        )
        count = first if first is not None else counts.most_common(1)[0][0] if counts else 0
        for name in [name for name, array in columns.items() if not array.ndim or len(array) != count]:
            array = columns.pop(name)
            if name in NAMES.values():
                raise UserError(f"{place}: {count} {_plural(columns)}, but {array.size} {name}s for them ({split})")
            if name in asked_for:
                rows = len(array) if array.ndim else "no"
                raise UserError(f"{place}: `{name}` has {rows} rows, where the others have {count} ({split})")
            unused.append(name)
        splits[split] = _with_companions(columns, place)
    for name in NAMES.values():
        lacks = [split for split, columns in splits.items() if name not in columns]
        if lacks and len(lacks) < len(splits):
            count = len(next(iter(splits[lacks[0]].values()), ()))
            raise UserError(f"{place}: {count} {_plural(splits[lacks[0]])}, but no {name}s for them ({lacks[0]})")
    kinds = {name: name for name in ("image", "label", "tokens")}
    return columns_dataset(data, str(place), splits, tokenizer, kinds=kinds, unused=unused)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """The file, to read arrays from while it is open. Raises UserError wherever that fails."""
    require_file(path)
    try:
        _require_room(path)
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except UserError:
        raise
    except Exception as error:  # a broken file can fail anywhere inside zip, zlib or the header's parser
        raise UserError(f"{path}: not a readable .npz file of plain arrays ({error})") from error


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of the file, and the names of members that no field can be made of."""
    with opened(path) as archive:
        read = {key: archive[key] for key in archive}
    arrays = {k: v for k, v in read.items() if isinstance(v, np.ndarray) and (v.dtype.kind in "biufSU" or _known(k))}
    odd = [key for key in read if key not in arrays]
    if bad := [key for key, array in arrays.items() if array.dtype.kind not in "biufSU"]:
        raise UserError(f"{path}: `{bad[0]}` has values of type {arrays[bad[0]].dtype}, which no field has")
    if not arrays:
        raise UserError(f"{path}: not a readable .npz file of plain arrays (it has {', '.join(odd) or 'nothing'})")
    return {key: _texts(array) for key, array in arrays.items()}, odd


def _require_room(path: Path) -> None:
    """Raises UserError where the arrays, as large as their headers say, do not fit into memory."""
    declared = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                if not member.filename.endswith(".npy"):
                    declared += member.file_size
                    continue
                version = np.lib.format.read_magic(file)
                header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                shape, _, dtype = header[version](file)
                declared += math.prod(shape) * dtype.itemsize
    require_room(declared, f"{path}: its arrays")


def _known(key: str) -> bool:
    return _split(key)[1] in NAMES.values()


def _split(key: str) -> tuple[str, str]:
    """The split and the field that the name of an array says."""
    for word, split in SPLITS.items():
        for name in (key.removeprefix(f"{word}_"), key.removesuffix(f"_{word}")):
            if name != key:
                return split, NAMES.get(name, name)
    return "train", NAMES.get(key, key)


def _texts(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    return array.astype(object) if array.dtype.kind == "U" else array


def _with_companions(columns: dict[str, Column], place: Path) -> dict[str, Column]:
    """NAME with NAME_length as lists of ids, NAME with NAME_present as rows with None among them."""
    columns = dict(columns)
    for name in list(columns):
        if (length_N := columns.get(f"{name}_length")) is not None and columns[name].ndim >= 2:
            width = columns[name].shape[1]
            fits = length_N.ndim == 1 and length_N.dtype.kind in "iu" and length_N.size
            if not fits or length_N.min() < 1 or length_N.max() > width:
                raise UserError(f"{place}: {name}_length must be integers from 1 to {width}, how many of a row count")
            columns[name] = objects([row[:n] for row, n in zip(columns[name], columns.pop(f"{name}_length"))])
        if (present_N := columns.get(f"{name}_present")) is not None and name in columns:
            if present_N.ndim != 1 or present_N.dtype.kind not in "biu":
                raise UserError(f"{place}: {name}_present must be one true or false for each example")
            del columns[f"{name}_present"]
            columns[name] = objects([row if here else None for row, here in zip(columns[name], present_N)])
    return columns


def _plural(columns: dict[str, Column]) -> str:
    return f"{'image' if 'image' in columns else next(iter(columns), 'row')}s"
