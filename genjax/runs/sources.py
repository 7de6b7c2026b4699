"""What `train.init-from` says: which entries start from which others, of a run or of a file of weights.

RUN                 the entries of the same name; else, where the names here have a prefix, those named behind it
MINE=RUN            the entry MINE, or all entries MINE.NAME, from RUN's NAME
MINE=RUN:THEIRS     from RUN's entry THEIRS, or its entries THEIRS.NAME

RUN may be a run directory, a .safetensors file, hf:FOLDER, what transformers or diffusers have saved, or
features:EXTRACTOR[:FILE], the network of an extractor of features, named as `--features` does.
"""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from genjax.errors import UsageError
from genjax.experiment import Experiment
from genjax.files import absolute

__all__ = ["NOWHERE", "Source", "check_sources", "match", "parse", "require_weights"]

FOREIGN, FEATURES = "hf:", "features:"


NOWHERE = Path()


class Source(NamedTuple):
    """One of `train.init-from`, with an absolute path. `mine` and `theirs` are "" where they were not given."""

    mine: str
    path: Path
    theirs: str
    foreign: bool = False  # of another library
    features: bool = False  # of the extractor `theirs`; the path is that of its file, or of none

    def __str__(self) -> str:
        if self.features:
            file = f":{self.path}" * (self.path != NOWHERE)
            return f"{self.mine}{'=' * bool(self.mine)}{FEATURES}{self.theirs}{file}"
        place = f"{FOREIGN * self.foreign}{self.path}"
        return f"{self.mine}{'=' * bool(self.mine)}{place}{':' * bool(self.theirs)}{self.theirs}"

    def covers(self, entry: str) -> bool:
        """Whether `mine` names the entry, or its prefix."""
        return not self.mine or f"{entry}.".startswith(f"{self.mine}.")


def parse(source: str) -> Source:
    """A path may have "=" and ":" in it: one that exists is taken as it is."""
    mine, equals, place = source.partition("=")
    if not equals or Path(source).exists():
        mine, place = "", source
    if place.startswith(FEATURES):
        name, _, file = place.removeprefix(FEATURES).partition(":")
        return Source(mine, Path(absolute(file)) if file else NOWHERE, name, features=True)
    foreign = place.startswith(FOREIGN)
    place = place.removeprefix(FOREIGN)
    path, colon, theirs = place.rpartition(":")
    if not colon or "/" in theirs or Path(place).exists():
        path, theirs = place, ""
    return Source(mine, Path(absolute(path)), theirs, foreign)


def match(source: Source, mine: Collection[str], theirs: Collection[str]) -> dict[str, str]:
    """The names here that the source has something for -> its names.

    Raises:
      UsageError: no name here or there fits, or two names here fit the same one there.
    """
    found, said = {}, f"--train.init-from {source}"
    for name in filter(source.covers, mine):
        names = _behind(name)
        if source.theirs:
            rest = name.removeprefix(source.mine).removeprefix(".")
            names = [f"{source.theirs}.{rest}" if rest else source.theirs]
        if fitting := [their for their in names if their in theirs]:
            found[name] = fitting[0]
    if not source.mine and any(name == their for name, their in found.items()):
        found = {name: their for name, their in found.items() if name == their}
    if not found:
        raise UsageError(f"{said}: it has {', '.join(theirs)}, and the entries here are {', '.join(mine)}")
    taken: dict[str, str] = {}
    for name, their in found.items():
        if (other := taken.setdefault(their, name)) != name:
            raise UsageError(
                f"{said}: {their} would be both {other} and {name}: say {other.rpartition('.')[0] or other}="
                f"{source.path} or {name.rpartition('.')[0] or name}={source.path}"
            )
    return found


def _behind(name: str) -> list[str]:
    """`a.b.c` -> itself, then b.c and c."""
    parts = name.split(".")
    return [".".join(parts[i:]) for i in range(len(parts))]


def require_weights(experiment: Experiment) -> None:
    """Raises UsageError where an entry that no turn trains would stay as random as it starts."""
    model, sources = experiment.model, [parse(source) for source in experiment.train.init_from]
    trained = {entry for turn in model.turns for entry in turn.trains}
    untrained = [entry for entry in model.networks() if entry not in trained]
    if missing := sorted(entry for entry in untrained if not any(source.covers(entry) for source in sources)):
        prefix = missing[0].rpartition(".")[0]
        raise UsageError(
            f"{', '.join(missing)}: frozen, and so must come trained: --train.init-from {prefix or missing[0]}=RUN (or "
            "hf:FOLDER, or features:EXTRACTOR)"
        )


def check_sources(sources: tuple[str, ...], entries: Collection[str]) -> tuple[str, ...]:
    """The sources with absolute paths. Raises UsageError where one names an entry that is not among `entries`."""
    for source in map(parse, sources):
        if not any(map(source.covers, entries)):
            raise UsageError(f"--train.init-from {source.mine}=...: the entries are {', '.join(entries)}")
    return tuple(str(parse(source)) for source in sources)
