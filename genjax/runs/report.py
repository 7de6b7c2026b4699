"""The report page: a run directory told on one page that needs nothing but itself.

Charts are drawn by matplotlib as SVG inside the page; their ink is `currentColor`, so that they follow a
light or a dark screen. Everything that comes from the run is escaped, by jinja or by matplotlib.
"""

from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np

from genjax.errors import UserError
from genjax.files import read_json, write_atomic
from genjax.memory import readable
from genjax.metrics.definitions import define, value_of
from genjax.metrics.diversity import collapse
from genjax.runs.best import pick
from genjax.runs.charts import DETAILS, ERROR, QUANTILES, find_curves, interval, intervals, line_chart
from genjax.runs.evaluations import FOLDER, NEAREST, read_evaluation
from genjax.runs.metrics import read_metrics
from genjax.runs.pages import DATA, data_uri, flat, samples, show, style

__all__ = ["write_report"]

IMAGE_BYTES = 1_900_000  # of all embedded samples together: the page stays under 3 MB
SHEET_BYTES = 300_000  # of a sheet of nearest neighbours
SHOWN = 6  # moments of training that samples are shown of
FEW = 9  # charts that share one section: three of them would leave most of the page empty
NOTES = {  # what the charts of a section tell
    "Curves": "Light: each record of training; dark: their running mean. Where validation gets worse while training "
    "still improves, the model learns by heart. Gradients, before they are clipped, that grow or leap announce a loss "
    "that is not finite.",
    "Training": "What each turn minimizes, and what it reports beside, over the batches of training. Light: each "
    "record; dark: their running mean. Where validation gets worse while training still improves, the model learns by "
    "heart.",
    "Validation": "The same weights on examples that training never sees.",
    "Optimization and speed": "Gradients before they are clipped, learning rates, and steps a second of training "
    "alone. Gradients that grow, or leap, announce a loss that is not finite.",
}
SPEEDS = ("steps_per_second", "examples_per_second")
WAITS = "data_wait_fraction"


def write_report(run: Path, *, best: tuple[str, str] = ("loss", "min")) -> Path:
    """Writes run/report.html, from the run directory alone, at any time of the run.

    `best` is the model's own: the validation metric that picks the best step, and "min" or "max". Raises
    UserError where `run` is no run directory, or one of its files is damaged.
    """
    import jinja2

    run = Path(run)
    config = _read_json(run / "config.json")
    if config is None:
        raise UserError(f"{run} has no config.json: name a run directory, made by `genjax train`")
    environment = _read_json(run / "environment.json") or {}
    records = read_metrics(run)
    curves, missing = find_curves(records)
    validation = _validation(curves, best)
    charts = _charts(curves, missing, validation["best"], validation["best_step"])
    engine = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    engine.filters["show"] = show
    template = engine.from_string(resources.files("genjax.runs").joinpath("report.html.jinja").read_text("utf-8"))
    page = template.render(
        name=run.resolve().name,
        config=config,
        sections={key: list(flat(value)) for key, value in config.items() if isinstance(value, dict)},
        environment=list(flat(environment)),
        environment_of=environment,
        devices=_devices(environment),
        step=max((record["step"] for record in records), default=0),
        speeds={name: float(np.median(curves[name][1])) for name in (*SPEEDS, "mfu", WAITS) if name in curves},
        started=environment.get("started"),
        memory=_memory(environment),
        compile_seconds=environment.get("compile_seconds"),
        validation=validation,
        collapse=collapse({n.removeprefix("validation/"): values[-1].item() for n, (_, values) in curves.items()}),
        best=best,
        charts=charts,
        notes=NOTES,
        evaluation=_evaluation(read_evaluation(run)),
        nearest=[data_uri(file, SHEET_BYTES) for file in sorted((run / FOLDER).glob(f"{NEAREST}-*.png"))],
        definitions=_definitions([*(name.removeprefix("validation/") for name in curves), *read_evaluation(run)]),
        real=next((data_uri(file, SHEET_BYTES) for file in (run / "samples").glob(f"{DATA}.png")), None),
        samples=samples(run / "samples", SHOWN, IMAGE_BYTES),
        style=style(),
    )
    return write_atomic(run / "report.html", page.encode(errors="replace"))


def _read_json(path: Path) -> dict | None:
    return read_json(path) if path.exists() else None


def _devices(environment: dict) -> str:
    found = environment.get("devices")
    devices = [str(device) for device in found] if isinstance(found, list) else []
    kind = environment.get("device_kind") or environment.get("platform") or ", ".join(devices[:2])
    return f"{len(devices)} × {kind}" if len(devices) > 1 else str(kind or "")


def _memory(environment: dict) -> str:
    size = environment.get("peak_memory_bytes")
    return readable(size) if isinstance(size, int) else ""


def _validation(curves: dict, best: tuple[str, str]) -> dict:
    """The last value of every validation metric, and those of the step that `best` picks."""
    table = {n.removeprefix("validation/"): c for n, c in curves.items() if n.startswith("validation/")}
    wanted, direction = best
    best_step, metric = None, pick({name: name for name in table}, wanted)
    if metric is not None:
        steps, values = table[metric]
        best_step = int(steps[values.argmin() if direction == "min" else values.argmax()])
    rows = [
        {
            "name": name,
            "last": values[-1].item(),
            "interval": interval(values[-1], table.get(name + ERROR)),
            "best": dict(zip(steps.tolist(), values.tolist())).get(best_step),
        }
        for name, (steps, values) in table.items()
        if not name.endswith(DETAILS)
    ]
    return {
        "rows": rows,
        "best": metric,
        "best_step": best_step,
        "last_step": max((int(c[0][-1]) for c in table.values()), default=0),
    }


def _evaluation(found: dict[str, dict]) -> dict:
    """The rows of `genjax eval`, and which columns any of them fills."""
    rows = []
    for name, row in found.items():
        if name.endswith(DETAILS):
            continue
        error, value = row.get("error"), row["value"]
        ends = None if error is None else [value - 1.96 * error, value + 1.96 * error]
        rows.append({**row, "name": name, "interval": ends, "count": len(row.get("seeds") or ())})
    columns = ("interval", "best", "floor", "how")
    return {"rows": rows, "columns": {key for key in columns for row in rows if row.get(key) not in (None, "")}}


def _definitions(names: list[str]) -> list[dict]:
    """What the reported numbers say, once for each value however many samples it is over."""
    found = {value_of(name): define(name) for name in names}
    return [{"name": value, **known._asdict()} for value, known in found.items() if known]


def _charts(curves: dict, missing: dict, best: str | None, best_step: int | None) -> dict[str, list[dict]]:
    """Section -> its charts, each {"title", "svg", "note"}: the turns, validation, the optimizers.

    A metric of one turn that is validated too shares its chart. One value is no curve: it stands as a number. The chart
    of the metric `best` marks its best step.
    """
    groups: dict[str, dict] = {}
    for name in sorted(curves | missing, key=lambda name: not name.endswith("/loss")):
        group, _, metric = name.rpartition("/") if not name.startswith("grad_norm/") else name.partition("/")
        groups.setdefault(group, {})[metric] = name
    gradients, rates, validation, alone = (groups.pop(g, {}) for g in ("grad_norm", "lr", "validation", ""))

    until = max((steps[-1] for steps, _ in curves.values()), default=1)

    def chart(title, names: dict, ylabel, **options):
        lost = sum(missing.get(name, 0) for name in names.values())
        series = {label: curves[name] for label, name in names.items() if name in curves}
        drawn = any(len(steps) > 1 for steps, _ in series.values())
        if any(name == f"validation/{best}" for name in names.values()):
            options["mark"] = best_step
        return {
            "title": title,
            "svg": line_chart(series, ylabel, until, **options) if drawn else "",
            "values": [] if drawn else [(label, v[-1].item(), int(s[-1])) for label, (s, v) in series.items()],
            "note": f"{lost} value{'s' * (lost > 1)} not finite" if lost else "",
            "means": (known.text if (known := define(value_of(ylabel))) else ""),
        }

    owners = Counter(metric for metrics in groups.values() for metric in metrics)
    shared = {metric: validation.pop(metric) for metric in list(validation) if owners[metric] == 1}
    training = [
        chart(f"{turn}/{metric}, training and validation", {"training": name, "validation": shared[metric]}, metric)
        if metric in shared
        else chart(f"{turn}/{metric}", {metric: name}, metric)
        for turn, metrics in groups.items()
        for metric, name in metrics.items()
    ]
    widths = intervals(curves)
    quantiles: dict[str, dict] = {}
    for m in [m for m in validation if m.endswith(QUANTILES)]:
        place, _, quantile = m.rpartition("_")
        quantiles.setdefault(place, {})[quantile] = validation.pop(m)
    validated = [chart(f"validation/{m} quantiles", names, m, raw=True) for m, names in sorted(quantiles.items())]
    validated += [
        chart(f"validation/{m}", {m: name}, m, raw=True, bands={m: widths[name]} if name in widths else {})
        for m, name in validation.items()
        if not m.endswith("count") and m.removesuffix(ERROR) not in validation.keys() - {m}
    ]
    others = []
    if gradients:
        others.append(chart("Gradient norm", gradients, "global norm", log=True))
    if rates:
        others.append(chart("Learning rate", rates, "learning rate", raw=True))
    if SPEEDS[0] in alone:
        others.append(chart("Speed", {"": alone.pop(SPEEDS[0])}, "steps/s", zero=True))
        alone.pop(SPEEDS[1], None)  # the same curve, times the batch size
    if "mfu" in alone:
        others.append(
            chart(
                "MFU: the share of the devices' peak that the model's FLOPs take",
                {"": alone.pop("mfu")},
                "MFU",
                zero=True,
            )
        )
    for name in ("peak_memory_bytes", WAITS):  # what says all as one number stands at the top of the page
        alone.pop(name, None)
    others += [chart(metric, {metric: name}, metric) for metric, name in alone.items()]
    sections = {"Training": training, "Validation": validated, "Optimization and speed": others}
    sections = {title: charts for title, charts in sections.items() if charts}
    if len(sections) > 1 and sum(map(len, sections.values())) <= FEW:
        return {"Curves": [chart for charts in sections.values() for chart in charts]}
    return sections
