"""The report page: a run directory told on one page that needs nothing but itself.

Charts are drawn by matplotlib as SVG inside the page; their ink is `currentColor`, so that they follow a
light or a dark screen. Everything that comes from the run is escaped, by jinja or by matplotlib.
"""

import json
from importlib import resources
from pathlib import Path

import numpy as np

from genjax.errors import UserError
from genjax.files import write_atomic
from genjax.runs.charts import ERROR, find_curves, intervals, line_chart
from genjax.runs.metrics import read_metrics
from genjax.runs.pages import flat, samples, show, style

__all__ = ["write_report"]

IMAGE_BYTES = 1_900_000  # of all embedded samples together: the page stays under 3 MB
SHOWN = 6  # moments of training that samples are shown of
SPEEDS = ("steps_per_second", "examples_per_second")


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
    engine = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    engine.filters["show"] = show
    template = engine.from_string(resources.files("genjax.runs").joinpath("report.html.jinja").read_text("utf-8"))
    page = template.render(
        name=run.resolve().name,
        config=config,
        sections={key: list(flat(value)) for key, value in config.items() if isinstance(value, dict)},
        environment=list(flat(environment)),
        devices=_devices(environment),
        step=max((record["step"] for record in records), default=0),
        speeds={name: float(np.median(curves[name][1])) for name in SPEEDS if name in curves},
        compile_seconds=environment.get("compile_seconds"),
        validation=_validation(curves, best),
        best=best,
        charts=_charts(curves, missing),
        samples=samples(run / "samples", SHOWN, IMAGE_BYTES),
        style=style(),
    )
    return write_atomic(run / "report.html", page.encode(errors="replace"))


def _read_json(path: Path) -> dict | None:
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged: expected a JSON object")
    return value


def _devices(environment: dict) -> str:
    devices = [str(device) for device in environment.get("devices") or []]
    kind = environment.get("device_kind") or environment.get("platform") or ", ".join(devices[:2])
    return f"{len(devices)} × {kind}" if len(devices) > 1 else str(kind or "")


def _validation(curves: dict, best: tuple[str, str]) -> dict:
    """The last value of every validation metric, and those of the step that `best` picks."""
    table = {n.removeprefix("validation/"): c for n, c in curves.items() if n.startswith("validation/")}
    metric, direction = best
    best_step = None
    if metric in table:
        steps, values = table[metric]
        best_step = int(steps[values.argmin() if direction == "min" else values.argmax()])
    rows = [
        {
            "name": name,
            "last": values[-1].item(),
            "best": dict(zip(steps.tolist(), values.tolist())).get(best_step),
        }
        for name, (steps, values) in table.items()
    ]
    return {
        "rows": rows,
        "best_step": best_step,
        "last_step": max((int(c[0][-1]) for c in table.values()), default=0),
    }


def _charts(curves: dict, missing: dict) -> dict[str, list[dict]]:
    """Section -> its charts, each {"title", "svg", "note"}: the turns, validation, the optimizers."""
    groups: dict[str, dict] = {}
    for name in sorted(curves | missing, key=lambda name: not name.endswith("/loss")):
        group, _, metric = name.rpartition("/") if not name.startswith("grad_norm/") else name.partition("/")
        groups.setdefault(group, {})[metric] = name
    gradients, rates, validation, alone = (groups.pop(g, {}) for g in ("grad_norm", "lr", "validation", ""))

    until = max((steps[-1] for steps, _ in curves.values()), default=1)

    def chart(title, names: dict, ylabel, **options):
        lost = sum(missing.get(name, 0) for name in names.values())
        series = {label: curves[name] for label, name in names.items() if name in curves}
        note = f"{lost} value{'s' * (lost > 1)} not finite" if lost else ""
        return {
            "title": title,
            "svg": line_chart(series, ylabel, until, **options) if series else "",
            "note": note,
        }

    training = [
        chart(f"{turn}/{metric}", {metric: name}, metric)
        for turn, metrics in groups.items()
        for metric, name in metrics.items()
    ]
    widths = intervals(curves)
    validated = [
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
    others += [chart(metric, {metric: name}, metric) for metric, name in alone.items()]
    sections = {"Training": training, "Validation": validated, "Optimization and speed": others}
    return {title: charts for title, charts in sections.items() if charts}
