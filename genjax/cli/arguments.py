"""What commands share: their first argument, a recipe or a run, and the choice of a run's weights."""

import dataclasses
import difflib
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from genjax.errors import UsageError, UserError

if TYPE_CHECKING:
    from genjax.experiment import Experiment
    from genjax.runs.restore import OpenRun

__all__ = [
    "STARTED",
    "DataPlace",
    "Ranking",
    "RunArgs",
    "check_folder",
    "first_argument",
    "open_run",
    "progress",
    "recipe_argument",
    "run_argument",
]

Part = TypeVar("Part")

BEST_OF = 8
STARTED = time.perf_counter()


@dataclasses.dataclass(frozen=True)
class DataPlace:
    """Where the data of a run is."""

    path: str | None = None  # where the data is now, if it was moved; None = where the run has read it


@dataclasses.dataclass(kw_only=True)
class RunArgs:
    """Which of a run's weights are used, and what the run cannot say itself."""

    checkpoint: str = "latest"  # latest, best, or a step
    ema: str = "true"  # false = not averaged; or the sigma_rel of a power average, of runs with --train.ema-power
    average: int = 1  # the mean of this many of the newest checkpoints, instead of a moving average
    recipe: Path | None = None  # a recipe file that defines the run's system; it is executed
    data: DataPlace = DataPlace()


@dataclasses.dataclass(kw_only=True)
class Ranking:
    """Whether several samples are drawn for each one that is kept."""

    rerank: Path | None = None  # a run whose model scores samples, such as CrossModal's: the best of several is kept
    best_of: int = BEST_OF  # samples drawn for each that is kept, with --rerank

    def __post_init__(self):
        if self.best_of != BEST_OF and self.rerank is None:
            raise UsageError(f"--best-of {self.best_of}: --rerank RUN says whose score is the best")


def recipe_argument(command: str, argv: list[str]) -> tuple[str, "Experiment", list[str]]:
    """(recipe, its experiment, the remaining arguments)."""
    recipe, rest = first_argument(command, "RECIPE", argv)
    from genjax.recipes import load_experiment
    from genjax.runtime.compilation import enable_cache

    if command != "plan":  # it tells how long compiling takes
        enable_cache()
    return recipe, load_experiment(recipe), rest


def run_argument(command: str, argv: list[str]) -> tuple[Path, list[str]]:
    """(run directory, the remaining arguments). A file named by --recipe has been executed."""
    run, rest = first_argument(command, "RUN", argv)
    if not Path(run).is_dir():
        there = [str(config.parent) for config in Path("runs").glob("*/config.json")]
        near = difflib.get_close_matches(run, there, n=3, cutoff=0.5)
        hint = f": did you mean {' or '.join(near)}?" if near else ""
        raise UserError(f"run directory '{run}' does not exist{hint}")
    from genjax.runtime.compilation import enable_cache

    enable_cache()
    for word, following in itertools.zip_longest(rest, rest[1:]):
        flag, sign, file = word.partition("=")
        if flag == "--recipe" and (file := file if sign else following):
            from genjax.recipes import load_module, recipe_file

            load_module(recipe_file(file))
    return Path(run), rest


def first_argument(command: str, name: str, argv: list[str]) -> tuple[str, list[str]]:
    """(the first argument, the remaining ones). Raises UsageError where it is missing; `name` says what it is."""
    if not argv or argv[0].startswith("-"):
        raise UsageError(f"`genjax {command}` needs a {name}; see `genjax {command} --help`")
    return argv[0], argv[1:]


def open_run(run: Path, args: RunArgs, **changes) -> "OpenRun":
    """`genjax.runs.restore.open_run` of the weights and the data asked for."""
    from genjax.runs import restore

    ema = {"true": True, "false": False}.get(args.ema.lower())
    if ema is None:
        try:
            ema = float(args.ema)
        except ValueError:
            raise UsageError(f"--ema {args.ema}: take true, false or a sigma_rel such as 0.07") from None
    opened = restore.open_run(run, args.checkpoint, ema=ema, average=args.average, data_path=args.data.path, **changes)
    if args.checkpoint == "latest" and args.average == 1:
        _tell_of_better(run, opened)
    return opened


def _tell_of_better(run: Path, opened: "OpenRun") -> None:
    """Says where an older checkpoint was better on the validation split than the one that is used."""
    from genjax.runs.best import best_of, best_step
    from genjax.runs.checkpoint import scores

    metric, direction = best_of(opened.engine.experiment)
    used, scored = int(opened.state.step), scores(run, metric)
    if scored and (step := best_step(scored, direction)) != used:
        here = f" ({scored[used]:.4g})" if used in scored else ""
        print(
            f"genjax: step {used} is used{here}; by validation {metric} step {step} was better "
            f"({scored[step]:.4g}): --checkpoint best",
            file=sys.stderr,
        )


def progress(parts: Iterable[Part], samples: int, count: Callable[[Part], int]) -> Iterator[Part]:
    """The parts, with a line of how many samples are drawn and how long it will take, where it takes a while."""
    from tqdm import tqdm

    seldom = 0.5 if sys.stderr.isatty() else 30  # seconds
    with tqdm(total=samples, unit=" samples", delay=5, mininterval=seldom, file=sys.stderr) as bar:
        for part in parts:
            yield part
            bar.update(min(count(part), samples - bar.n))


def check_folder(file: Path | None) -> None:
    """Raises UserError before hours of work whose result could not be written."""
    if file and not file.absolute().parent.is_dir():
        raise UserError(f"--json {file}: there is no folder '{file.parent}'")
