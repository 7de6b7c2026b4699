"""Measures recipes, and us beside our peers, and keeps the numbers as a record of this machine and day.

    python benchmarks/run.py                          the small recipes whose data is built in
    python benchmarks/run.py --recipes vae_mnist      others
    python benchmarks/run.py --peers [vae gan ...]    pairs, in turns in one run (needs the extra `peers`)

Then `python benchmarks/report.py` makes the table, the plots and NORMAL.md. Idle machines make good records; the
number of processes that wanted to run is kept with each number.
"""

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # on a GPU, PyTorch needs memory too

import records
import report
from peers import pairs

import genjax
from genjax.errors import UserError

RECIPES = ("vae_digits", "gan_digits", "gpt_pydoc", "ddpm_digits")
PAIRS = {  # name -> module of `peers`, function of the precision
    "vae": ("vae", "pair"),
    "vae_keras": ("vae", "keras"),
    "gan": ("gan", "pair"),
    "gpt_small": ("gpt", "small"),
    "gpt_medium": ("gpt", "medium"),
    "unet": ("unet", "training"),
    "ddim": ("unet", "sampling"),
    "data": ("data", "pair"),
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", metavar="NAME", default=[])
    parser.add_argument("--peers", nargs="*", metavar="PAIR", choices=PAIRS, help=f"of {', '.join(PAIRS)}; none: all")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the pairs")
    parser.add_argument("--steps", type=int, default=50, help="timed, a recipe")
    parser.add_argument("--out", type=Path, default=records.FOLDER, help="the folder of records")
    args = parser.parse_args(argv)
    recipes = args.recipes or (RECIPES if args.peers is None else ())
    names = list(PAIRS) if args.peers == [] else args.peers or []
    machine = records.hardware()
    if machine["accelerator"] is None:
        from genjax.parallel.host_memory import keep_freed_memory

        keep_freed_memory()  # as `genjax train` does; it serves both sides
    print(records.label(machine))
    if (load := os.getloadavg()[0]) > records.BUSY:
        print(f"The machine is busy (load {load:.1f}): times are too long, and ratios flatter genjax (see NORMAL.md).")

    failed, measured = 0, {part: {} for part in records.PARTS}
    for part, chosen, measure in (
        ("recipes", recipes, lambda name: recipe(name, args.steps)),
        ("peers", names, lambda name: pair(name, args.precision)),
    ):
        for name in chosen:
            begin = time.perf_counter()
            try:
                entry = measure(name) | records.provenance(f"python benchmarks/run.py --{part} {Path(name).stem}", load)
            except (UserError, ImportError) as error:
                hint = "; pip install 'genjax-suite[peers]'" if isinstance(error, ImportError) else ""
                print(f"{name}: {error}{hint}", file=sys.stderr)
                failed += 1
                continue
            measured[part][Path(name).stem] = entry
            records.write(args.out, machine, part, {Path(name).stem: entry})  # each at once: the next may fail
            seconds = time.perf_counter() - begin
            print(f"{report.line(part, Path(name).stem, entry)}  [{seconds:.0f} s in all]", flush=True)
    if measured["recipes"]:
        print("\n" + report.recipes_table(measured))
    if measured["peers"]:
        print("\n" + report.peers_table(measured))
    return min(failed, 1)


def recipe(name: str, steps: int) -> dict:
    """What `genjax bench --json` tells."""
    from genjax.bench.timing import measure

    return measure(Path(name).stem, genjax.load_experiment(name), steps=steps)


def pair(name: str, precision: str) -> dict:
    """One pair, measured in turns."""
    module, function = PAIRS[name]
    built = getattr(importlib.import_module(f"peers.{module}"), function)(precision)
    return pairs.compare(built)._asdict()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
