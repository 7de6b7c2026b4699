"""Plans recipes for TPU slices that are not there, and keeps them in one table: benchmarks/PLANS.md.

    python benchmarks/plans.py dcgan_cifar10@v5e:2x2 "pix2pix_facades@v5e:2x2 --data.batch-size 4"
    python benchmarks/plans.py                      # makes the table again from what is kept

Each argument is a recipe, its topology and what `genjax plan` takes besides. Every plan is a process of its own and
quick (`genjax plan --quick`), as convolutions take a quarter of an hour and more to compile otherwise. What was planned
before is replaced; plans.json keeps all fields.
"""

import datetime
import importlib.metadata
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
KEPT, TABLE = HERE / "plans.json", HERE / "PLANS.md"
HEAD = """# Plans for TPUs

Made by `benchmarks/plans.py` from `genjax plan RECIPE --topology TOPOLOGY --quick`: the real step, compiled for chips
that are not there, by XLA's least effort. Memory is what XLA allots on a chip, mostly more than with its full effort.
Times are rooflines, the longest of compute, HBM and bytes sent, that is bounds: nothing was run on a TPU. MFU counts
the model's own FLOPs, of attention the causal half.

Known to be weak: "bytes accessed" holds what stays on the chip, bytes sent are an upper estimate, and the optimizer is
counted once a micro-batch.

"""
COLUMNS = (
    *("recipe and options", "topology", "mesh", "batch / micro-batches", "memory of a chip"),
    *("a step takes at least", "MFU at most", "compile", "date, jax"),
)


def key(argument: str) -> str:
    """The recipe with its topology and options, as it is asked for."""
    if "@" not in argument:
        sys.exit(f"{argument!r}: a recipe and its topology are wanted, as in dcgan_cifar10@v5e:2x2")
    return " ".join(shlex.split(argument))


def planned(argument: str) -> dict | None:
    """The fields of `genjax plan --json`, with date and versions; None, and a line, where the plan fails."""
    target, *options = shlex.split(argument)
    recipe, topology = target.split("@", 1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.json"
        command = [sys.executable, "-m", "genjax.cli", "plan", recipe, "--topology", topology, "--quick"]
        process = subprocess.run([*command, "--json", str(file), *options])
        if process.returncode:
            print(f"{argument}: not planned", file=sys.stderr)
            return None
        fields = json.loads(file.read_text())
    versions = {name: importlib.metadata.version(name) for name in ("jax", "libtpu")}
    return fields | {"date": datetime.date.today().isoformat(), "versions": versions}


def row(name: str, plan: dict) -> str:
    recipe, _, options = name.partition(" ")
    memory, hbm = plan["memory_bytes"]["total"], plan["hbm_bytes"]
    used = "?" if memory is None else f"{memory / 2**30:.2f} GiB"
    bound, time, mfu = "-", "-", "-"
    if plan["roofline_ms"]:
        bound = max(plan["roofline_ms"], key=plan["roofline_ms"].get)
        time, mfu = f"{plan['estimated_step_ms']:.3g} ms ({bound})", f"{plan['estimated_mfu']:.1%}"
    cells = [
        f"`{recipe.partition('@')[0]}`" + (f" `{options}`" if options else ""),
        plan["topology"],
        " x ".join(map(str, plan["mesh"].values())),
        f"{plan['batch_size']} / {plan['grad_accumulation']}",
        f"{used} of {hbm / 2**30:.0f}: {'fits' if plan['fits'] else 'does not fit'}",
        time,
        mfu,
        f"{plan['compile_seconds']:.0f} s",
        f"{plan['date']}, {plan['versions']['jax']}",
    ]
    return "| " + " | ".join(cells) + " |"


def kept() -> dict[str, dict]:
    """What was planned, by recipe, topology and options."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def add(arguments: list[str]) -> dict[str, dict]:
    """Plans, keeps each as soon as it is there, and makes the table again; returns all that is kept."""
    for argument in arguments:
        if (fields := planned(key(argument))) is not None:
            KEPT.write_text(json.dumps(dict(sorted((kept() | {key(argument): fields}).items())), indent=1) + "\n")
    found = kept()
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    lines += [row(name, plan) for name, plan in sorted(found.items())]
    TABLE.write_text(HEAD + "\n".join(lines) + "\n")
    return found


if __name__ == "__main__":
    add(sys.argv[1:])
