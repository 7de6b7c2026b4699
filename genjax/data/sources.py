"""Which kind of data a recipe means, and in which order it is read."""

import dataclasses
import math
from pathlib import Path

from genjax.data import (  # noqa: F401  (they register themselves)
    captions,
    codes,
    corpus,
    earthquakes,
    folders,
    hf,
    languages,
    lines,
    npz,
    parallel,
    phrases,
    printed,
    pysource,
    quiz,
    readers,
    symbols,
    tables,
    text,
    tfds,
)
from genjax.data.arrange import arrange
from genjax.data.dataset import Dataset
from genjax.data.tokenizers import Tokenizer
from genjax.errors import UsageError, UserError
from genjax.experiment import Data
from genjax.files import expanded
from genjax.orders import Mixture

__all__ = ["load"]

TFDS = "tfds:"
MOST = {"workers": 512, "prefetch": 512}  # threads, and batches on the device


def load(data: Data, tokenizer: Tokenizer | None = None) -> Dataset:
    """The data set that `data` describes. --data.path decides alone, unless it is where TFDS prepared the source.

    A reader of `genjax.data.readers` reads it: by the suffix of a file, by what is in a folder (images, where no reader
    says otherwise), or by the name of a source. A file of another suffix is text.

    Args:
      tokenizer: of the run that this one resumes or starts from. Without it one is made as --data.tokenizer says.

    Raises:
      UsageError: a source, a number, a column or an order that cannot be meant.
      UserError: data that is missing, damaged or too small.
    """
    _check(data)
    dataset = _read(data, tokenizer)
    others = []
    if isinstance(data.order, Mixture):
        others = [_read(_further(data, place), dataset.tokenizer) for place in data.order.others]
    return arrange(dataset, data, others)


def _read(data: Data, tokenizer: Tokenizer | None) -> Dataset:
    name = data.source.removeprefix(TFDS) if data.source.startswith(TFDS) else ""
    prepared = name and data.path and (expanded(data.path) / name.partition("/")[0]).is_dir()
    if data.path is not None and not prepared:
        return _at(data, expanded(data.path), tokenizer)
    read, place = readers.for_source(data.source)
    return read(data, place, tokenizer)


def _at(data: Data, path: Path, tokenizer: Tokenizer | None) -> Dataset:
    try:
        if not path.is_dir() and not path.is_file():
            raise UserError(f"--data.path {path}: no such file or folder: say where your data is by --data.path")
        read = readers.for_path(path, data.source) or (folders.folder if path.is_dir() else text.text_file)
        return read(data, path, tokenizer)
    except OSError as error:
        raise UserError(f"--data.path {path}: cannot be read ({error})") from error


def _further(data: Data, place: str) -> Data:
    """The data of a mixture that `place` names, a source or a path, with the settings of `data`."""
    found = {"source": place, "path": None} if readers.is_source(place) else {"path": place}
    return dataclasses.replace(data, **found)


def _check(data: Data) -> None:
    if not 0 < data.validation < 1:
        raise UsageError(f"--data.validation {data.validation}: a share between 0 and 1, both excluded")
    for field, least in (("image_size", 1), ("context", 1), ("batch_size", 1), ("workers", 0), ("prefetch", 1)):
        value, most = getattr(data, field), MOST.get(field, math.inf)
        if value is not None and not least <= value <= most:
            bounds = f"from {least} to {most}" if field in MOST else f"at least {least}"
            raise UsageError(f"--data.{field.replace('_', '-')} {value}: must be {bounds}")
