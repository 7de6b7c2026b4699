"""Runs side by side on one page: their metrics, what differs in their configurations, curves, last samples."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from genjax.errors import UsageError
from genjax.files import write_atomic
from genjax.runs.charts import DETAILS, find_curves, intervals, line_chart
from genjax.runs.directory import read_config
from genjax.runs.evaluations import read_evaluation
from genjax.runs.metrics import read_metrics
from genjax.runs.pages import flat, samples, show, style

__all__ = ["differences", "write_comparison"]

IMAGE_BYTES = 2_500_000  # of all embedded samples together
IGNORED = ("format", "spec")  # of a configuration: they follow from the rest


def write_comparison(
    runs: Sequence[Path], file: Path, *, over: Sequence[Mapping[str, Any]] = (), best: tuple[str, str] = ("", "")
) -> Path:
    """Writes one page that needs nothing but itself, from the run directories alone.

    `over`: the rows of a sweep's summary, which then opens the page; `best`: the metric they are of, "min" or "max".

    Raises:
      UsageError: fewer than two runs, or one that is named twice. UserError: a folder that is no run directory.
    """
    import jinja2

    runs = [Path(run) for run in runs]
    if len(runs) < 2:
        raise UsageError("`genjax compare` needs two runs or more")
    if len({run.resolve() for run in runs}) < len(runs):
        raise UsageError("`genjax compare`: a run is named twice")
    names = _names(runs)
    configs = {name: read_config(run) for name, run in zip(names, runs)}
    curves = {name: find_curves(read_metrics(run))[0] for name, run in zip(names, runs)}
    engine = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    engine.filters["show"] = show
    template = engine.from_string(resources.files("genjax.runs").joinpath("compare.html.jinja").read_text("utf-8"))
    page = template.render(
        names=names,
        over=over,
        best=best,
        systems=[configs[name].get("system") for name in names],
        steps=[max((int(steps[-1]) for steps, _ in curves[name].values()), default=0) for name in names],
        metrics=_table(curves),
        evaluation=_evaluation({name: read_evaluation(run) for name, run in zip(names, runs)}),
        differences=differences(configs),
        charts=_charts(curves),
        samples={name: _last_samples(run, IMAGE_BYTES // len(runs)) for name, run in zip(names, runs)},
        style=style(),
    )
    return write_atomic(Path(file), page.encode(errors="replace"))


def differences(configs: dict[str, dict]) -> list[tuple[str, list]]:
    """(dotted field, its value in each run) wherever two runs differ; None where a run has no such field."""
    fields = [
        {key: value for key, value in flat(config) if key.split(".")[0] not in IGNORED} for config in configs.values()
    ]
    rows = []
    for key in dict.fromkeys(key for one in fields for key in one):
        values = [one.get(key) for one in fields]
        if any(value != values[0] for value in values):
            rows.append((key, values))
    return rows


def _names(runs: Sequence[Path]) -> list[str]:
    """The folders' names, with those above them where they would not tell the runs apart."""
    parts = [run.resolve().parts for run in runs]
    depth = 1
    while len({part[-depth:] for part in parts}) < len(parts):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]


def _table(curves: dict[str, dict]) -> list[dict]:
    """The last value of every validation metric in each run, with its 95% interval where there is a standard error."""
    wanted = dict.fromkeys(key for run in curves.values() for key in run if key.startswith("validation/"))
    rows = []
    for key in wanted:
        if key.endswith(DETAILS):
            continue
        cells = []
        for run in curves.values():
            value = float(run[key][1][-1]) if key in run else None
            width = intervals(run).get(key)
            ends = None if width is None else [value - float(width[-1]), value + float(width[-1])]
            cells.append({"value": value, "interval": ends})
        rows.append({"name": key.removeprefix("validation/"), "cells": cells})
    return sorted(rows, key=_missing)


def _evaluation(found: dict[str, dict]) -> list[dict]:
    """What `genjax eval` measured of the runs, with 95% intervals."""
    rows = []
    for key in dict.fromkeys(key for run in found.values() for key in run if not key.endswith(DETAILS)):
        cells = []
        for run in found.values():
            value, error = run.get(key, {}).get("value"), run.get(key, {}).get("error")
            cells.append({"value": value, "interval": error and [value - 1.96 * error, value + 1.96 * error]})
        floors = {run[key]["floor"] for run in found.values() if key in run and run[key].get("floor") is not None}
        rows.append({"name": key, "cells": cells, "floor": floors.pop() if len(floors) == 1 else None})
    return sorted(rows, key=_missing)


def _missing(row: dict) -> int:
    """How many runs lack it: what can be compared stands first."""
    return sum(cell["value"] is None for cell in row["cells"])


def _charts(curves: dict[str, dict]) -> list[dict]:
    """One chart for every metric that more than one run has: validation first, then the losses of turns.

    Single values are no curves: the table has them.
    """
    counts: dict[str, int] = {}
    for run in curves.values():
        for key in run:
            counts[key] = counts.get(key, 0) + 1
    shared = [key for key, count in counts.items() if count > 1 and not key.endswith(DETAILS)]
    charts = []
    for key in [*(k for k in shared if k.startswith("validation/")), *(k for k in shared if k.endswith("/loss"))]:
        series = {name: run[key] for name, run in curves.items() if key in run}
        if all(len(steps) == 1 for steps, _ in series.values()):
            continue
        until = max(int(steps[-1]) for steps, _ in series.values())
        bands = {name: widths[key] for name, run in curves.items() if key in (widths := intervals(run))}
        raw = key.startswith("validation/")
        svg = line_chart(series, key.rpartition("/")[2], until, raw=raw, bands=bands)
        charts.append({"title": key, "svg": svg})
    return charts


def _last_samples(run: Path, limit: int) -> dict | None:
    """The newest sheet of the run's plain samples, else of any."""
    kinds = samples(run / "samples", 1, limit)
    kinds.sort(key=lambda kind: (kind["name"] != "", kind["name"]))
    return kinds[0]["moments"][-1] if kinds else None
