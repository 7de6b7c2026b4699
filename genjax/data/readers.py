"""The registry of readers: a kind of data is one function, which a decorator makes known.

    @readers.register("tsv", suffix=(".tsv",))
    def tsv(data: Data, place: Path, tokenizer: Tokenizer | None) -> Dataset: ...

A reader gets the `Data` section of the recipe, the place to read (a path, or a name without its prefix), and the
tokenizer to use in place of one that is learned from the text; None to learn one.
"""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from genjax.errors import UsageError

__all__ = ["READERS", "Reader", "for_path", "for_source", "is_source", "register", "sources", "suffixes"]

Read = Callable[..., Any]  # a Dataset, which is not needed here


class Reader(NamedTuple):
    """A kind of data.

    Attributes:
      suffix: of the files that are of this kind, in lower case.
      prefix: of --data.source, such as "tfds:".
      folder: says whether a folder is of this kind.
      text: --data.source may name it beside the --data.path of any file that no other reader claims.
    """

    name: str
    read: Read
    suffix: tuple[str, ...] = ()
    prefix: str | None = None
    folder: Callable[[Path], bool] | None = None
    text: bool = False

    @property
    def source(self) -> str | None:
        """How --data.source names it; None where only a path does."""
        if self.prefix:
            return f"{self.prefix}NAME"
        return None if (self.suffix or self.folder) and not self.text else self.name


READERS: dict[str, Reader] = {}


def register(
    name: str,
    *,
    suffix: tuple[str, ...] = (),
    prefix: str | None = None,
    folder: Callable[[Path], bool] | None = None,
    text: bool = False,
) -> Callable[[Read], Read]:
    """Makes a reader known; the latest of a name counts. Without further arguments it is a source by that name."""

    def add(read: Read) -> Read:
        READERS[name] = Reader(name, read, suffix, prefix, folder, text)
        return read

    return add


def for_path(path: Path, source: str = "") -> Read | None:
    """The reader of a file or folder, or the one of texts that `source` names. None: no reader knows it."""
    for reader in reversed(READERS.values()):
        if path.is_dir() and reader.folder and reader.folder(path):
            return reader.read
        if not path.is_dir() and path.suffix.lower() in reader.suffix:
            return reader.read
    named = READERS.get(source)
    return named.read if named and named.text and not path.is_dir() else None


def for_source(source: str) -> tuple[Read, str]:
    """The reader of a source, and the place that it is to read. Raises UsageError, which names the nearest source."""
    for reader in READERS.values():
        if reader.prefix and source.startswith(reader.prefix) and source != reader.prefix:
            return reader.read, source.removeprefix(reader.prefix)
        if reader.source == source:
            return reader.read, source
    kinds = {source.partition(":")[0]: source for source in sources()}
    nearest = difflib.get_close_matches(source.partition(":")[0], kinds, n=1)
    hint = f"did you mean {kinds[nearest[0]]}? " if nearest else ""
    own = "; for your own data use --data.path" if Path(source).exists() else ""
    own = own or "; one that a recipe defines is known where --recipe FILE names it" * (not hint)
    raise UsageError(f"--data.source {source}: {hint}the sources are {', '.join(kinds.values())}{own}")


def sources() -> list[str]:
    """How --data.source may name data: names first, then prefixes."""
    return sorted((reader.source for reader in READERS.values() if reader.source), key=lambda s: (":" in s, s))


def suffixes() -> list[str]:
    return [suffix for reader in READERS.values() for suffix in reader.suffix]


def is_source(place: str) -> bool:
    """Whether it is the name of a source rather than a path, where either may stand."""
    return place in sources() or place.startswith(tuple(reader.prefix for reader in READERS.values() if reader.prefix))
