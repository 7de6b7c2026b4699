"""Makes the table, a plot a machine, and the page NORMAL.md from the records.

    python benchmarks/report.py [--records DIR] [--out DIR]

A number is marked as a regression when it is more than 15% worse than in the last earlier record of the same hardware
and the same sizes: the median step time of a recipe, or the ratio of a pair. Less is noise on the machines these
records come from.
"""

import argparse
import sys
from pathlib import Path

import records

from genjax.errors import UserError

THRESHOLD = 0.15
MARK = f"SLOWER by more than {THRESHOLD:.0%}"
ALIKE = {  # fields in which two entries must agree to be compared
    "recipes": (
        *("batch_size", "grad_accumulation", "precision", "parameters", "synthetic_data"),
        *("backend", "mesh", "num_devices", "steps_per_call"),
    ),
    "peers": ("shapes", "theirs"),
}


def cost(part: str, entry: dict) -> float:
    """What should not grow: the time of a step, or their speed as a share of ours."""
    return entry["step_ms"]["median"] if part == "recipes" else 1 / entry["ratio"]


def history(found: list[dict], machine: str, part: str, name: str) -> list[tuple[str, dict]]:
    """(date, entry) of one recipe or pair on one machine, oldest first."""
    return [(r["date"], r[part][name]) for r in found if records.label(r["hardware"]) == machine and name in r[part]]


def change(found: list[dict], machine: str, part: str, name: str) -> float | None:
    """How much worse (positive) the last record is than the last one before it of the same sizes; None without one."""
    *earlier, last = [entry for _, entry in history(found, machine, part, name)]
    alike = [entry for entry in earlier if all(entry.get(field) == last.get(field) for field in ALIKE[part])]
    return cost(part, last) / cost(part, alike[-1]) - 1 if alike else None


def regressions(found: list[dict]) -> list[str]:
    """One line for each recipe and pair that became worse by more than the threshold."""
    lines = []
    for machine in machines(found):
        for part in records.PARTS:
            for name in names(found, machine, part):
                worse = change(found, machine, part, name)
                if worse is not None and worse > THRESHOLD:
                    lines.append(f"{MARK}: {name} on {machine}: {worse:+.0%} against the record before")
    return lines


def machines(found: list[dict]) -> list[str]:
    return list(dict.fromkeys(records.label(r["hardware"]) for r in found))


def names(found: list[dict], machine: str, part: str) -> list[str]:
    return list(dict.fromkeys(n for r in found if records.label(r["hardware"]) == machine for n in r[part]))


def latest(found: list[dict], machine: str) -> dict:
    """The newest entry of each recipe and pair of a machine, with its date."""
    return {
        part: {
            name: {**entry, "date": date}
            for name in names(found, machine, part)
            for date, entry in history(found, machine, part, name)[-1:]
        }
        for part in records.PARTS
    }


def line(part: str, name: str, entry: dict) -> str:
    """One entry in words, for the terminal."""
    if part == "recipes":
        step = entry["step_ms"]
        return f"{name}: {step['median']:.4g} ms a step ({step['p10']:.4g} to {step['p90']:.4g})"
    ours, theirs = entry["ours_per_second"], entry["theirs_per_second"]
    return f"{name}: {ours:.4g} {entry['unit']}/s, {entry['theirs']} {theirs:.4g}: ratio {entry['ratio']:.2f}"


def table(rows: list[list[str]]) -> str:
    """Markdown; the first row is the head."""
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def recipes_table(entries: dict, worse: dict[str, float | None] | None = None) -> str:
    rows = [["recipe", "date", "batch", "step ms: median (p10 to p90)", "a second", "compile s", "since last record"]]
    for name, e in entries["recipes"].items():
        step, tokens = e["step_ms"], e.get("tokens_per_second")
        speed = f"{tokens:.4g} tokens" if tokens else f"{e['examples_per_second']:.4g} examples"
        times = f"{step['median']:.4g} ({step['p10']:.4g} to {step['p90']:.4g})"
        compile_seconds = f"{e['compile_seconds']:.3g}"
        since = _since((worse or {}).get(name))
        rows.append([f"`{name}`", e.get("date", ""), str(e["batch_size"]), times, speed, compile_seconds, since])
    return table(rows)


def peers_table(entries: dict, worse: dict[str, float | None] | None = None) -> str:
    rows = [
        [
            "pair",
            "date",
            "genjax / s",
            "peer / s",
            "ratio (range of rounds)",
            "load before; cores others used",
            "since last record",
            "sizes",
        ]
    ]
    for name, e in entries["peers"].items():
        ratio = f"**{e['ratio']:.2f}** ({e['ratio_min']:.2f} to {e['ratio_max']:.2f})"
        ours = f"{e['ours_per_second']:.4g} {e['unit']}"
        theirs = f"{e['theirs_per_second']:.4g} ({e['theirs']})"
        since = _since((worse or {}).get(name))
        others = "" if e.get("others") is None else f"; {e['others']}"
        load = f"{e['load']}{others}" + " **busy**" * records.busy(e)
        rows.append([name, e.get("date", ""), ours, theirs, ratio, load, since, e["shapes"]])
    return table(rows)


def _since(worse: float | None) -> str:
    if worse is None:
        return ""
    return f"{worse:+.0%} time" + (f", **{MARK}**" if worse > THRESHOLD else "")


def page(found: list[dict]) -> str:
    """NORMAL.md."""
    text = [
        "# Is my speed normal?",
        "",
        "Written by `python benchmarks/report.py` from the records. Measure yours with `genjax bench RECIPE`, or with",
        "`python benchmarks/run.py` for all of these at once, and find the machine that is nearest to yours. Steps",
        "that take twice as long on like hardware are worth a look: is something else running (`top`), is the data",
        "slow (`data_wait_fraction` of `genjax bench`), are the versions old? Times scale with cores and clock. Ratios",
        "to the peers were measured in turns in one run. Do not quote those that are marked as busy: PyTorch's threads",
        "wait for one another, so that other programs slow it down more than they do JAX.",
    ]
    for machine in machines(found):
        now = latest(found, machine)
        worse = {p: {n: change(found, machine, p, n) for n in now[p]} for p in records.PARTS}
        text += ["", f"## {machine}", "", f"![ratios to the peers, and step times by date]({picture(found, machine)})"]
        if now["recipes"]:
            text += ["", recipes_table(now, worse["recipes"])]
        if now["peers"]:
            text += ["", "Above 1, genjax is faster.", "", peers_table(now, worse["peers"])]
        versions = [e["versions"] for part in records.PARTS for e in now[part].values()][-1:]
        for v in versions:
            text += ["", "Versions: " + ", ".join(f"{k} {x}" for k, x in v.items() if x) + "."]
    return "\n".join(text) + "\n"


def picture(found: list[dict], machine: str) -> str:
    """The file of a machine's plot, beside the page."""
    hardware = next(r["hardware"] for r in found if records.label(r["hardware"]) == machine)
    return f"{records.slug(hardware)}.png"


def plot(found: list[dict], machine: str, path: Path) -> None:
    """Left: the pairs' newest ratios, with the range of the rounds. Right: step times over the records."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    pairs = latest(found, machine)["peers"]
    size = (11, max(4, 1 + 0.24 * len(pairs)))
    figure, (left, right) = plt.subplots(1, 2, figsize=size, layout="constrained")
    for row, e in enumerate(pairs.values()):
        left.barh(row, e["ratio"] - 1, left=1, color="tab:blue" if e["ratio"] >= 1 else "tab:orange", height=0.6)
        left.plot([e["ratio_min"], e["ratio_max"]], [row, row], color="black", linewidth=1)
        left.annotate(
            f"{e['ratio']:.2f}",
            (max(1, e["ratio_max"]), row),
            (4, 0),
            textcoords="offset points",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    left.set_yticks(range(len(pairs)), pairs)
    left.invert_yaxis()
    left.axvline(1, color="black", linestyle="--", linewidth=1)
    left.set_xscale("log", base=2)
    left.xaxis.set_major_formatter("{x:g}")
    left.margins(x=0.2)
    left.set_xlabel("speed of genjax / speed of the peer (line: range of the rounds)")
    for name in names(found, machine, "recipes"):
        dates, entries = zip(*history(found, machine, "recipes", name))
        right.plot(dates, [cost("recipes", e) for e in entries], marker="o", label=name)
    right.set_yscale("log")
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter("{x:g}")
    right.set_ylabel("median step, ms")
    right.tick_params(axis="x", rotation=30)
    if right.lines:
        right.legend(fontsize="small")
    figure.suptitle(machine)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=records.FOLDER)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where NORMAL.md and the plots go")
    args = parser.parse_args(argv)
    try:
        found = records.read(args.records)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    text = page(found)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "NORMAL.md").write_text(text)
    for machine in machines(found):
        plot(found, machine, args.out / picture(found, machine))
    print(text)
    print("\n".join(regressions(found)) or f"No regression of more than {THRESHOLD:.0%} against the record before.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
