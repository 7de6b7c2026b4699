"""The report page: a run directory told on one page that needs nothing but itself.

Charts are drawn by matplotlib as SVG inside the page; their ink is `currentColor`, so that they follow a
light or a dark screen. Everything that comes from the run is escaped, by jinja or by matplotlib.
"""

import base64
import io
import json
import math
import re
from importlib import resources
from pathlib import Path

import numpy as np

from genjax.errors import UserError
from genjax.files import write_atomic
from genjax.runs.metrics import read_metrics

__all__ = ["write_report"]

COLORS = ("#3b82d6", "#e07b39", "#38a169", "#b45fc4", "#c99a1e", "#d64d62", "#2aa3a3", "#8a7a6a")
INK = "#010203"  # stands for currentColor, which matplotlib does not know
POINTS = 600  # most points of a line: longer ones show the lowest and highest of each stretch
IMAGE_BYTES = 1_900_000  # of all embedded samples together: the page stays under 3 MB
SHOWN = 6  # moments of training that samples are shown of
TEXT = 6000  # characters shown of a text sample
NICE = [1, 2, 2.5, 5, 10]  # steps between ticks, times a power of ten
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
    curves, missing = _curves(records)
    engine = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    engine.filters["show"] = _show
    template = engine.from_string(resources.files("genjax.runs").joinpath("report.html.jinja").read_text("utf-8"))
    page = template.render(
        name=run.resolve().name,
        config=config,
        sections={key: list(_flat(value)) for key, value in config.items() if isinstance(value, dict)},
        environment=list(_flat(environment)),
        devices=_devices(environment),
        step=max((record["step"] for record in records), default=0),
        speeds={name: float(np.median(curves[name][1])) for name in SPEEDS if name in curves},
        compile_seconds=environment.get("compile_seconds"),
        validation=_validation(curves, best),
        best=best,
        charts=_charts(curves, missing),
        samples=_samples(run / "samples"),
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


def _flat(tree: dict, prefix: str = ""):
    """(dotted name, value) of every leaf: the names are those of the command line's overrides."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _show(value) -> str:
    if value is None or value == [] or value == {}:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return ", ".join(map(_show, value)) if isinstance(value, list) else str(value)


def _devices(environment: dict) -> str:
    devices = [str(device) for device in environment.get("devices") or []]
    kind = environment.get("device_kind") or environment.get("platform") or ", ".join(devices[:2])
    return f"{len(devices)} × {kind}" if len(devices) > 1 else str(kind or "")


def _curves(records: list[dict]) -> tuple[dict, dict]:
    """name -> (steps, values) of the finite values, and name -> how many values were not finite."""
    curves, missing = {}, {}
    for record in records:
        for name, value in record.items():
            if name == "step" or name.startswith("seconds/"):  # their sums stand in environment.json
                continue
            if isinstance(value, int | float) and math.isfinite(value):
                curves.setdefault(name, {})[record["step"]] = value  # a step written twice counts once
            else:
                missing[name] = missing.get(name, 0) + 1
    return {n: (np.array(list(c)), np.array(list(c.values()), float)) for n, c in curves.items()}, missing


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
            "svg": _line_chart(series, ylabel, until, **options) if series else "",
            "note": note,
        }

    training = [
        chart(f"{turn}/{metric}", {metric: name}, metric)
        for turn, metrics in groups.items()
        for metric, name in metrics.items()
    ]
    validated = [
        chart(f"validation/{m}", {m: name}, m, raw=True) for m, name in validation.items() if not m.endswith("count")
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


def _smooth(values: np.ndarray) -> np.ndarray:
    """A centred moving average: it does not lag behind, as an exponential one does."""
    window = np.hanning(2 * max(2, len(values) // 30) + 3)
    return np.convolve(values, window, "same") / np.convolve(np.ones_like(values), window, "same")


def _thin(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(values) <= POINTS:
        return steps, values
    stretches = np.array_split(np.arange(len(values)), POINTS // 2)
    keep = np.unique([i for s in stretches for i in (s[values[s].argmin()], s[values[s].argmax()])])
    return steps[keep], values[keep]


def _line_chart(series: dict, ylabel: str, until: int, *, log=False, raw=False, zero=False) -> str:
    """SVG of the lines {label: (steps, values)}; long ones, unless `raw`, are light under a smoothed line.

    The horizontal axis ends at step `until`; the vertical one begins at 0 with `zero`, and is logarithmic
    with `log`, or where a few values dwarf the rest, if the values allow it.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

    everything = np.concatenate([values for _, values in series.values()])
    low, high = everything.min(), everything.max()
    log = (log or (len(everything) > 2 and high > 100 * np.median(everything))) and low > 0 and high / low > 10
    style = {name: INK for name in ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")}
    style |= {"svg.fonttype": "none", "svg.hashsalt": "/".join(series) + ylabel, "text.parse_math": False}
    style |= {"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6}
    with mpl.rc_context(style):
        figure = Figure(figsize=(4.6, 2.7), layout="constrained")
        axes = figure.add_subplot()
        for (label, (steps, values)), color in zip(series.items(), COLORS * len(series)):
            smooth = len(values) >= 20 and not raw
            marker = "o" if len(values) < (60 if raw else 20) else None
            options = {"color": color, "marker": marker, "markersize": 3}
            axes.plot(*_thin(steps, values), lw=0.8 if smooth else 1.6, alpha=0.3 if smooth else 1, **options)
            if smooth:
                average = _smooth(np.log(values)) if log else _smooth(values)
                axes.plot(*_thin(steps, np.exp(average) if log else average), lw=1.7, color=color)
            axes.lines[-1].set_label(f"\u200b{label}")  # matplotlib hides labels that begin with an underscore
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(6, steps=NICE))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=NICE, integer=True))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlim(0, max(until, 1) * 1.02)
        if zero:
            axes.set_ylim(0, max(high * 1.1, 1e-9))
        axes.set_xlabel("step")
        axes.set_ylabel(f"{ylabel} (log scale)" if log else ylabel)
        axes.grid(color=INK, alpha=0.12, lw=0.6)
        if len(series) > 1:
            columns = 2 if sum(map(len, series)) < 25 * len(series) else 1
            figure.legend(loc="outside upper left", ncols=columns, frameon=False, fontsize=8)
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    return re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 role="img">', svg, count=1)


def _samples(folder: Path) -> list[dict]:
    """For every kind of sample, the moments shown: [{"name", "moments": [{"label", "image" or "text"}]}]."""
    kinds: dict[str, list] = {}
    for path in folder.glob("*") if folder.is_dir() else ():
        if match := re.fullmatch(r"(\d+|final)(?:-(.+))?\.(png|txt)", path.name):
            step, name, _ = match.groups()
            order = math.inf if step == "final" else int(step)
            kinds.setdefault(name or "", []).append((order, path))
    picked = {}
    for name, moments in sorted(kinds.items()):
        moments.sort()
        indices = np.unique(np.linspace(0, len(moments) - 1, SHOWN).round().astype(int))
        picked[name] = [moments[i] for i in indices]
    share = IMAGE_BYTES // max(1, sum(map(len, picked.values()))) * 3 // 4  # base64 takes 4 bytes for 3
    return [{"name": name, "moments": [_moment(*m, share) for m in moments]} for name, moments in picked.items()]


def _moment(order: float, path: Path, share: int) -> dict:
    label = "final" if order == math.inf else f"step {_show(order)}"
    if path.suffix == ".png":
        return {"label": label, "image": _data_uri(path, share)}
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "\N{REPLACEMENT CHARACTER}", path.read_text("utf-8", "replace"))
    return {"label": label, "text": text[:TEXT] + "\n…" * (len(text) > TEXT)}


def _data_uri(path: Path, limit: int) -> str:
    """The picture as it is; above `limit` bytes, smaller and as JPEG."""
    from PIL import Image

    data, kind = path.read_bytes(), "png"
    for side in (1024, 768, 512, 384, 256, 128):
        if len(data) <= limit:
            break
        try:
            image = Image.open(path).convert("RGB")
        except OSError:
            raise UserError(f"{path} is no readable picture: delete it") from None
        image.thumbnail((side, side))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        data, kind = buffer.getvalue(), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
