"""How cost grows: time and memory against one size at a time, the exponent of each, and a plot.

    python benchmarks/scaling.py [--only gpt data] [--out benchmarks/scaling]

Writes scaling.json, scaling.md and scaling.png there. Each point is a process of its own, see probes.py: CPU time,
which other programs disturb less than the clock, and memory. The exponent is the slope of log(cost) over log(size)
between the last two points. The networks' arrays there exceed the caches; where they cease to fit, a step's cost jumps
once. A cost that grows faster than it should, by more than 0.25, is marked.
"""

import argparse
import datetime
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import records

MARGIN = 0.25
MARK = "GROWS TOO FAST"


class Axis(NamedTuple):
    """A size that grows, and the exponents that its cost should have at most."""

    group: str
    name: str
    sizes: tuple[int, ...]
    time: float
    memory: float


AXES = (
    Axis("gpt", "batch", (8, 16, 32, 64), 1, 1),
    Axis("gpt", "context", (128, 256, 512, 1024), 2, 2),
    Axis("gpt", "layers", (4, 8, 16, 32), 1, 1),
    Axis("gpt", "width", (64, 128, 256, 512), 2, 2),
    Axis("unet", "batch", (16, 32, 64, 128), 1, 1),
    Axis("unet", "side", (8, 16, 32, 64), 4, 4),  # attention in the middle sees all pairs of positions
    Axis("unet", "channels", (16, 32, 64, 128), 2, 2),
    Axis("dit", "layers", (4, 8, 16, 32), 1, 1),
    Axis("dit", "side", (8, 16, 32, 64), 4, 4),
    Axis("hmm", "length", (1024, 2048, 4096, 8192), 1, 1),
    Axis("hmm", "states", (16, 32, 64, 128), 2, 2),
    Axis("evaluation", "samples", (1000, 2000, 4000, 8000), 1, 1),
    Axis("data", "files", (1_000, 10_000, 100_000, 1_000_000), 1, 1),
    Axis("data", "tokens", (10**7, 10**8, 10**9, 10**10), 0, 0),
    Axis("runs", "checkpoints", (4, 16, 64, 256), 1, 0),
)


def exponent(sizes: list[int], costs: list[float]) -> float:
    """The slope of the last two points in logarithms; 0 where there is no cost, or it falls to nothing."""
    (a, b), (x, y) = sizes[-2:], costs[-2:]
    return math.log(y / x) / math.log(b / a) if min(x, y) > 0 else 0.0


def measured(axis: Axis) -> dict | None:
    """The points of an axis, as far as they could be measured; None with less than two."""
    points = []
    for size in axis.sizes:
        command = [sys.executable, str(Path(__file__).parent / "probes.py"), axis.group, axis.name, str(size)]
        process = subprocess.run(command, capture_output=True, text=True)
        if process.returncode:
            # one that is killed for its memory says nothing
            said = process.stderr.strip().splitlines() or [f"exit status {process.returncode}"]
            print(f"{key(axis)} {size}: {said[-1]}", file=sys.stderr)
            break
        points.append({"size": size, **json.loads(process.stdout.splitlines()[-1])})
        print(
            f"{axis.group} {axis.name} {size}: {points[-1]['seconds']:.4g} s, {points[-1]['mib']:.4g} MiB", flush=True
        )
    return {"points": points} if len(points) > 1 else None


def grown(axis: Axis, entry: dict) -> dict[str, tuple[float, float, bool]]:
    """For time and memory (exponent, what it should be at most, whether it is more)."""
    sizes = [point["size"] for point in entry["points"]]
    found = {"time": ("seconds", axis.time), "memory": ("mib", axis.memory)}
    slopes = {name: exponent(sizes, [point[field] for point in entry["points"]]) for name, (field, _) in found.items()}
    return {name: (slopes[name], most, slopes[name] > most + MARGIN) for name, (_, most) in found.items()}


def row(axis: Axis, entry: dict) -> str:
    points, slopes = entry["points"], grown(axis, entry)
    cells = [f"{axis.group}: {axis.name}", " ".join(f"{point['size']:,}" for point in points)]
    for name, field in (("time", "seconds"), ("memory", "mib")):
        slope, most, too_fast = slopes[name]
        cells += [" ".join(f"{point[field]:.3g}" for point in points)]
        cells += [f"{slope:.2f} (at most {most:g})" + f" {MARK}" * too_fast]
    return "| " + " | ".join(cells) + " |"


def table(result: dict) -> str:
    about = result["provenance"]
    head = [
        f"# How cost grows ({result['date']}, {result['machine']})",
        "",
        f"`{about['command']}`, jax {about['versions']['jax']}, commit {about['commit']}. The exponent is that between",
        "the last two sizes; what is counted, and how, stands in scaling.py and probes.py.",
        "",
        "| what grows | sizes | CPU seconds | exponent | MiB | exponent |",
        "|---|---|---|---|---|---|",
    ]
    rows = [row(axis, result["axes"][key(axis)]) for axis in AXES if key(axis) in result["axes"]]
    return "\n".join([*head, *rows]) + "\n"


def plot(result: dict, path: Path) -> None:
    """A panel for each axis: time and memory as multiples of the smallest size's."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    axes = [axis for axis in AXES if key(axis) in result["axes"]]
    columns = min(4, len(axes))
    rows = math.ceil(len(axes) / columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(3.2 * columns, 2.8 * rows), layout="constrained", squeeze=False
    )
    for panel in panels.flat[len(axes) :]:
        panel.remove()
    for axis, panel in zip(axes, panels.flat):
        entry = result["axes"][key(axis)]
        sizes = [point["size"] for point in entry["points"]]
        slopes = grown(axis, entry)
        for name, field in (("time", "seconds"), ("memory", "mib")):
            costs = [point[field] for point in entry["points"]]
            first = next((cost for cost in costs if cost > 0), 1.0)
            shown = [max(cost / first, 0.1) for cost in costs]
            panel.loglog(sizes, shown, marker="o", label=f"{name}, {slopes[name][0]:.2f} of {slopes[name][1]:g}")
        panel.set_title(f"{axis.group}: {axis.name}", fontsize=10)
        panel.set_xticks(sizes, [f"{size:g}" for size in sizes], fontsize=8)
        panel.minorticks_off()
        panel.legend(fontsize=8, frameon=False)
    figure.suptitle("How cost grows: multiples of the smallest size's; exponent at the end, of the greatest allowed")
    figure.savefig(path, dpi=110)


def key(axis: Axis) -> str:
    return f"{axis.group} {axis.name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], choices=list(dict.fromkeys(axis.group for axis in AXES)))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "scaling")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "scaling.json"
    result = json.loads(file.read_text()) if file.exists() else {"axes": {}}
    for axis in AXES:
        if args.only and axis.group not in args.only:
            continue
        if entry := measured(axis):
            result["axes"][key(axis)] = entry
        result |= {
            "date": datetime.date.today().isoformat(),
            "machine": records.label(records.hardware()),
            "provenance": records.provenance(["benchmarks/scaling.py"], os.getloadavg()[0], None),
        }
        file.write_text(json.dumps(result, indent=1) + "\n")
    (args.out / "scaling.md").write_text(table(result))
    if result["axes"]:
        plot(result, args.out / "scaling.png")
    else:
        print("no plot: no axis could be measured", file=sys.stderr)
    print(table(result))


if __name__ == "__main__":
    main()
