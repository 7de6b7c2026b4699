"""Data sets of Hugging Face, and folders in their formats, through the library `datasets`."""

from pathlib import Path
from typing import Any

import numpy as np

from genjax.data import readers
from genjax.data.columns import Columns, columns_dataset, objects
from genjax.data.dataset import Dataset
from genjax.data.images import Files
from genjax.data.kinds import Column
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UserError
from genjax.experiment import Data
from genjax.files import expanded

__all__ = ["hf"]

SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "dev": "validation", "test": "test"}


@readers.register("hf", prefix="hf:", suffix=(".parquet",))
def hf(data: Data, place: str | Path, tokenizer: Tokenizer | None = None) -> Dataset:
    """`hf:NAME`, `hf:NAME:CONFIG`, or `hf:FOLDER` of parquet, arrow, JSON or CSV files; each column is a field.

    Columns of images are decoded when they are asked for; all else is read into memory. Columns of class labels keep
    their names. Splits are those of the data set; see `genjax.data.columns` for one that is missing.

    Raises UserError where the library is not installed, or cannot read the data set.
    """
    try:
        import datasets
    except ImportError as error:
        raise UserError('hf: needs the library `datasets`: pip install "genjax-suite[hf]"') from error
    name = f"hf:{place}"
    try:
        read = _read(datasets, place)
    except Exception as error:  # of many kinds: the network, the hub, pyarrow
        raise UserError(
            f"{name}: cannot be read ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
        ) from None
    parts = dict(read) if isinstance(read, dict) else {"train": read}
    splits: dict[str, Columns] = {}
    names, unused = {}, [f"split {split}" for split in parts if split not in SPLITS]
    for split, part in parts.items():
        if split not in SPLITS or not len(part):
            continue
        columns = {}
        for column, feature in part.features.items():
            if isinstance(feature, datasets.Translation):
                texts = {name: [row[name] for row in part[column]] for name in feature.languages}
                columns |= {name: objects(text) for name, text in texts.items()}
                continue
            if (found := _column(datasets, part, column, feature, name, split)) is None:
                unused.append(column)
            else:
                columns[column] = found
            if isinstance(feature, datasets.ClassLabel):
                names[column] = tuple(feature.names)
        splits.setdefault(SPLITS[split], columns)
    if "train" not in splits:
        raise UserError(f"{name}: has no split named train, only {', '.join(parts)}")
    kinds = dict.fromkeys(names, "label")
    unused = list(dict.fromkeys(unused))
    return columns_dataset(data, name, splits, tokenizer, kinds=kinds, names=names, unused=unused)


def _read(datasets: Any, place: str | Path) -> Any:
    path = expanded(place)
    if path.is_file():
        return datasets.load_dataset("parquet", data_files=str(path))
    if path.is_dir():
        saved = any((path / name).is_file() for name in ("dataset_dict.json", "state.json"))
        return datasets.load_from_disk(str(path)) if saved else datasets.load_dataset(str(path))
    name, _, config = str(place).partition(":")
    return datasets.load_dataset(name, config or None)


def _column(datasets: Any, part: Any, column: str, feature: Any, name: str, split: str) -> Column | None:
    """The values of a column; None where no field can be made of them."""
    if isinstance(feature, datasets.Image):
        encoded = part.select_columns([column]).cast_column(column, datasets.Image(decode=False))

        def at(i: int) -> Path | bytes:
            image = encoded[i][column]
            return image["bytes"] if image["bytes"] is not None else Path(image["path"])

        return Files(at, lambda i: f"{name} {split}[{i}]", np.arange(len(encoded)))
    values = part[column][:]
    if isinstance(feature, datasets.ClassLabel):
        return np.array(values, np.int64) if None not in values else objects(values)
    if isinstance(feature, datasets.Value):
        if feature.dtype in ("string", "large_string"):
            return objects(values)
        if feature.dtype.startswith(("int", "uint", "float", "bool")):
            return objects(values) if None in values else np.array(values)
        return None
    try:
        return np.array(values)
    except ValueError:  # lists of unequal length
        return objects(values)
