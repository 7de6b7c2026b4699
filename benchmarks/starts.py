"""How long a recipe takes to its first step, with JAX's compilation cache empty and full.

    python benchmarks/starts.py [--out benchmarks/starts.md]
    python benchmarks/starts.py vae_digits hmm_letters ...

Without names, every recipe whose data is built in; with names, these, and the table is only printed. Each start is
`genjax train` in a process of its own, stopped when it tells of the first step: importing, reading data, building,
compiling and the step. Seconds of the clock, and of the CPU, which other programs disturb less.
"""

import argparse
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import records

from genjax import recipes
from genjax.errors import UserError

LONGEST = 300  # seconds


class Start(NamedTuple):
    wall: float
    cpu: float


def embedded() -> list[str]:
    """Recipes whose data is built in."""
    data = {name: recipes.load_experiment(name).data for name in recipes.recipe_files()}
    return [name for name, of in data.items() if of.path is None and of.source.partition(":")[0] not in ("tfds", "hf")]


def start(recipe: str, cache: Path) -> Start | None:
    """None where the program ends, or says nothing, before its first step."""
    environ = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "genjax.cli", "train", recipe, "--out", f"{folder}/run"]
        command += ["--train.steps", "1000", "--train.log-every", "1"]
        begin = time.perf_counter()
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        signal.signal(signal.SIGALRM, lambda *_: process.kill())
        signal.alarm(LONGEST)
        try:
            for line in process.stdout:
                if line.startswith("step "):
                    return Start(time.perf_counter() - begin, cpu_seconds(process.pid))
        finally:
            signal.alarm(0)
            process.kill()
            process.wait()
    return None


def cpu_seconds(pid: int) -> float:
    """Of all threads of a process, and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def row(recipe: str) -> str:
    """Cold, then warm; some recipes start from another one's run and do not start alone."""
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = start(recipe, Path(cache)), start(recipe, Path(cache))
    if cold is None or warm is None:
        return f"| `{recipe}` | does not start alone: it wants another recipe's run | | | |"
    cells = [f"{seconds:.1f}" for pair in (cold, warm) for seconds in pair]
    return f"| `{recipe}` | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE")
    parser.add_argument("--out", type=Path, help="a file for the table; starts.md without names")
    args = parser.parse_args()
    try:
        for name in args.recipes:
            recipes.load_experiment(name)
    except UserError as error:
        sys.exit(str(error))
    out = args.out or (None if args.recipes else Path(__file__).parent / "starts.md")
    lines = [
        f"# Starts ({datetime.date.today().isoformat()}, {records.label(records.hardware())})",
        "",
        f"`benchmarks/starts.py`, load {os.getloadavg()[0]:.1f} before. Seconds from the command to the first step,",
        "with JAX's compilation cache empty and full.",
        "",
        "| recipe | empty: clock | CPU | full: clock | CPU |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for recipe in args.recipes or embedded():
        lines.append(row(recipe))
        print(lines[-1], flush=True)
        if out:
            out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
