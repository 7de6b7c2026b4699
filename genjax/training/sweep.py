"""Several trainings of one recipe: every combination of settings with every seed, one after the other."""

import csv
import io
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from genjax.errors import UsageError, UserError
from genjax.files import write_atomic
from genjax.runs.best import pick
from genjax.runs.compare import write_comparison
from genjax.runs.directory import CONFIG
from genjax.runs.metrics import read_metrics
from genjax.runtime.signals import Stop

__all__ = ["Trial", "mine", "summary", "train_all", "trials", "write_results"]

PREFIX = "validation/"
MOST = 24  # runs that one page shows side by side


class Trial(NamedTuple):
    """One training: `settings` {flag: value}, among them the seed."""

    settings: dict[str, str]
    out: Path

    @property
    def argv(self) -> list[str]:
        """For `genjax train RECIPE`."""
        words = [word for flag, value in self.settings.items() for word in (flag, *value.split(","))]
        return [*words, "--out", str(self.out)]


SEED = "--train.seed"


def trials(over: Mapping[str, Sequence[str]], seeds: Sequence[int], out: Path) -> list[Trial]:
    """Every combination of the values of `over` {flag: values} with every seed, each in a folder of `out`.

    A value `32,64` is a list of two. Raises UsageError where two trainings would be one.
    """
    made = []
    for values in itertools.product(*over.values()):
        settings = dict(zip(over, values))
        words = [f"{flag.rpartition('.')[2]}={value}" for flag, value in settings.items()]
        for seed in seeds:
            name = "-".join([*words, f"seed={seed}"]).replace("/", "_")
            made.append(Trial(settings | {SEED: str(seed)}, out / name))
    if len({trial.out for trial in made}) < len(made):
        raise UsageError(f"{len(made)} trainings, and two of them have the same settings: name each value once")
    return made


def mine(everything: list[Trial], environ: Mapping[str, str] = os.environ) -> list[Trial]:
    """Those that this job of a SLURM array trains: every n-th, from its own place on; all of them elsewhere."""
    if "SLURM_ARRAY_TASK_ID" not in environ:
        return everything
    try:
        own, first, count = (int(environ[f"SLURM_ARRAY_TASK_{name}"]) for name in ("ID", "MIN", "COUNT"))
        step = int(environ.get("SLURM_ARRAY_TASK_STEP") or 1)
    except (KeyError, ValueError) as error:
        raise UserError(f"the environment: SLURM_ARRAY_TASK_ID without MIN and COUNT beside it ({error})") from None
    for name, value in (("STEP", step), ("COUNT", count)):
        if value < 1:
            raise UserError(f"the environment: SLURM_ARRAY_TASK_{name} is {value}, and must be at least 1")
    return everything[(own - first) // step :: count]


def train_all(recipe: str, chosen: list[Trial], rest: list[str]) -> list[Trial]:
    """Trains one after the other, each in a process of its own, and returns those that have failed.

    A run that has ended before is not trained again, and one that was interrupted goes on. Raises UserError after
    Ctrl-C or SIGTERM, once the run under way is saved.
    """
    failed = []
    for number, trial in enumerate(chosen, 1):
        print(f"genjax sweep: {number} of {len(chosen)}: {trial.out}", file=sys.stderr, flush=True)
        argv = [sys.executable, "-m", "genjax.cli", "train", recipe, *rest, *trial.argv]
        with Stop() as stop:
            child, told = subprocess.Popen(argv, stdout=subprocess.DEVNULL), False
            while (status := child.poll()) is None:
                if stop.asked and not told:
                    child.terminate()
                    told = True
                time.sleep(0.1)
        if stop.asked:
            raise UserError(f"stopped by {stop.asked.name} in {trial.out}: the same command goes on")
        if status:
            failed.append(trial)
    return failed


def summary(everything: list[Trial], best: tuple[str, str]) -> list[dict]:
    """A row a combination: its settings, and of `best` over its seeds the mean and the 95% interval (Student's t).

    The value of a run is that of its last evaluation. The best row says so.
    """
    groups: dict[tuple, list[float | None]] = {}
    for trial in everything:
        key = tuple((flag, value) for flag, value in trial.settings.items() if flag != SEED)
        groups.setdefault(key, []).append(pick(_last(trial.out), best[0]))
    rows = []
    for key, found in groups.items():
        values = np.array([value for value in found if value is not None])
        half = None
        if len(values) > 1:
            half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
        mean = float(values.mean()) if len(values) else None
        rows.append({"settings": dict(key), "mean": mean, "half": half, "runs": len(values), "best": False})
    if measured := [row for row in rows if row["mean"] is not None]:
        choose = min if best[1] == "min" else max
        choose(measured, key=lambda row: row["mean"])["best"] = True
    return rows


def write_results(everything: list[Trial], best: tuple[str, str], out: Path) -> list[Path]:
    """sweep.csv, a row a run with all its validation metrics, and sweep.html, the runs side by side."""
    records = [(trial, _last(trial.out)) for trial in everything]
    names = list(dict.fromkeys(name for _, values in records for name in values))
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow(["run", *(flag.removeprefix("--") for flag in everything[0].settings), *names])
    for trial, values in records:
        writer.writerow([trial.out.name, *trial.settings.values(), *(values.get(name, "") for name in names)])
    files = [write_atomic(out / "sweep.csv", sheet.getvalue().encode())]
    trained = [trial.out for trial, values in records if values]
    if 2 <= len(trained) <= MOST:
        files.append(write_comparison(trained, out / "sweep.html", over=summary(everything, best), best=best))
    return files


def _last(run: Path) -> dict[str, float]:
    """The validation metrics of a run's last evaluation; {} before the first."""
    if not (run / CONFIG).is_file():
        return {}
    last = {}
    for record in read_metrics(run):
        found = {name.removeprefix(PREFIX): value for name, value in record.items() if name.startswith(PREFIX)}
        last = {name: value for name, value in found.items() if value is not None} or last
    return last
