"""Which kind of data a recipe means."""

import difflib
from pathlib import Path

from genjax.data import arrays, corpus, images, text
from genjax.data.dataset import Dataset
from genjax.data.tfds import tfds
from genjax.errors import UsageError, UserError
from genjax.experiment import Data

TFDS = "tfds:"
NAMED = {"digits": arrays.digits, "pydoc": text.pydoc}


def load(data: Data) -> Dataset:
    """The data set that `data` describes. --data.path decides alone, unless it is where TFDS prepared the source.

    A folder with a `corpus.json` is a corpus, another folder holds images; a `.npz` file holds images, tokens
    or latents, any other file is text. Raises UsageError for a source or a number that cannot be meant,
    UserError for data that is missing, damaged or too small.
    """
    _check(data)
    name = data.source.removeprefix(TFDS) if data.source.startswith(TFDS) else ""
    if name and (data.path is None or (Path(data.path).expanduser() / name.partition("/")[0]).is_dir()):
        return tfds(data, name)
    if data.path is not None:
        return _at(data, Path(data.path).expanduser())
    if data.source not in NAMED:
        raise UsageError(_unknown(data.source))
    return NAMED[data.source](data)


def _at(data: Data, path: Path) -> Dataset:
    try:
        if path.is_dir():
            return corpus.corpus(data, path) if (path / corpus.DESCRIPTION).exists() else images.folder(data, path)
        if not path.is_file():
            raise UserError(f"--data.path {path}: no such file or folder")
        return arrays.npz(data, path) if path.suffix.lower() == ".npz" else text.text_file(data, path)
    except OSError as error:
        raise UserError(f"--data.path {path}: cannot be read ({error})") from error


def _check(data: Data) -> None:
    if not 0 < data.validation < 1:
        raise UsageError(f"--data.validation {data.validation}: a share between 0 and 1, both excluded")
    for field, least in (("image_size", 1), ("context", 1), ("batch_size", 1), ("workers", 0)):
        value = getattr(data, field)
        if value is not None and value < least:
            raise UsageError(f"--data.{field.replace('_', '-')} {value}: must be at least {least}")


def _unknown(source: str) -> str:
    kinds = {**dict(zip(NAMED, NAMED)), "tfds": "tfds:NAME"}
    nearest = difflib.get_close_matches(source.partition(":")[0], kinds, n=1)
    hint = f"did you mean {kinds[nearest[0]]}? " if nearest else ""
    own = "; for your own data use --data.path" if Path(source).exists() else ""
    return f"--data.source {source}: {hint}the sources are {', '.join(kinds.values())}{own}"
