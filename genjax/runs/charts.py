"""Curves of metrics, and charts of them as SVG: matplotlib's, whose ink is `currentColor`."""

import html
import io
import math
import re
from collections.abc import Mapping

import numpy as np

__all__ = ["DETAILS", "ERROR", "QUANTILES", "find_curves", "interval", "intervals", "line_chart"]

COLORS = ("#3b82d6", "#e07b39", "#38a169", "#b45fc4", "#c99a1e", "#d64d62", "#2aa3a3", "#8a7a6a")
INK = "#010203"  # stands for currentColor, which matplotlib does not know
HOVERED = 60  # points of a line that say their values under the pointer
POINTS = 600  # most points of a line: longer ones show the lowest and highest of each stretch
ERROR = "_se"  # the end of a metric's name whose value is a standard error
QUANTILES = ("_p10", "_p50", "_p90")  # ends of the names of values that share a chart
DETAILS = ("count", ERROR, *QUANTILES)  # ends of the names of values that stand in charts alone: in no table or line
NICE = [1, 2, 2.5, 5, 10]  # steps between ticks, times a power of ten


def find_curves(records: list[dict]) -> tuple[dict, dict]:
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


def intervals(curves: dict) -> dict[str, np.ndarray]:
    """name -> half the width of its 95% interval at every step, where a standard error stands beside it."""
    pairs = {name: curves.get(name + ERROR) for name in curves}
    fitting = {n: e for n, e in pairs.items() if e is not None and np.array_equal(e[0], curves[n][0])}
    return {name: 1.96 * errors for name, (_, errors) in fitting.items()}


def interval(value: float, errors: tuple | None) -> list[float] | None:
    """The 95% interval of the last value of a curve; None without a curve of its standard errors."""
    return None if errors is None else [float(value - 1.96 * errors[1][-1]), float(value + 1.96 * errors[1][-1])]


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


def line_chart(
    series: dict,
    ylabel: str,
    until: int,
    *,
    log: bool = False,
    raw: bool = False,
    zero: bool = False,
    bands: Mapping = {},
    mark: int | None = None,
) -> str:
    """SVG of the lines {label: (steps, values)}; long ones, unless `raw`, are light under a smoothed line.

    The horizontal axis ends at step `until`; the vertical one begins at 0 with `zero`, and is logarithmic
    with `log`, or where a few values dwarf the rest, if the values allow it. `bands` {label: half widths} are shaded.
    `mark`: a step with a vertical line, the best one.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

    everything = np.concatenate([values for _, values in series.values()])
    low, high = everything.min(), everything.max()
    log = (log or (len(everything) > 2 and high > 5 * np.median(everything))) and low > 0 and high / low > 10
    style = {name: INK for name in ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")}
    style |= {"svg.fonttype": "none", "svg.hashsalt": "/".join(series) + ylabel, "text.parse_math": False}
    style |= {"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6}
    with mpl.rc_context(style):
        figure = Figure(figsize=(4.6, 2.7), layout="constrained", dpi=72)  # of SVG: a pixel is a unit
        axes = figure.add_subplot()
        for (label, (steps, values)), color in zip(series.items(), COLORS * len(series)):
            smooth = len(values) >= 20 and not raw
            marker = "o" if len(values) < (60 if raw else 20) else None
            options = {"color": color, "marker": marker, "markersize": 3}
            axes.plot(*_thin(steps, values), lw=0.8 if smooth else 1.6, alpha=0.3 if smooth else 1, **options)
            if smooth:
                average = _smooth(np.log(values)) if log else _smooth(values)
                axes.plot(*_thin(steps, np.exp(average) if log else average), lw=1.7, color=color)
            if label in bands:
                axes.fill_between(steps, values - bands[label], values + bands[label], color=color, alpha=0.15, lw=0)
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
        if mark is not None:
            axes.axvline(mark, color=INK, alpha=0.6, lw=0.8, ls="--")
            axes.annotate("best", (mark, 1), (2, -2), ("data", "axes fraction"), "offset points", va="top", fontsize=8)
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor").replace("</svg>", f"{_hover(axes, series)}</svg>")
    return re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 role="img">', svg, count=1)


def _hover(axes, series: dict) -> str:
    """Circles that are not seen, over points of the lines: a browser shows their titles under the pointer."""
    height, circles = axes.figure.bbox.height, []
    for label, (steps, values) in series.items():
        for i in np.unique(np.linspace(0, len(steps) - 1, HOVERED).round().astype(int)):
            x, y = axes.transData.transform((steps[i], values[i]))
            words = html.escape(f"{label}: {values[i]:.5g} at step {steps[i]:,}".removeprefix(": "))
            circles.append(f'<circle cx="{x:.1f}" cy="{height - y:.1f}" r="5"><title>{words}</title></circle>')
    return f'<g fill="transparent">{"".join(circles)}</g>'
