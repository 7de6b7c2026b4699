"""Measures recipes, and us beside our peers, and keeps the numbers as a record of this machine and day.

    python benchmarks/run.py                          the small recipes whose data is built in
    python benchmarks/run.py --recipes vae_mnist      others
    python benchmarks/run.py --peers [vae gan ...]    pairs, in turns in one run (needs the extra `peers`)

Then `python benchmarks/report.py` makes the table, the plots and NORMAL.md. Idle machines make good records; how busy
others kept the machine is kept with each number. What fails is told in one line, and the exit status is then 1.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import load
import records
import report
from peers import pairs

from genjax.errors import UserError
from genjax.runtime.compilation import enable_cache
from genjax.runtime.host_memory import keep_freed_memory, use_huge_pages

ENVIRONMENT = dict(os.environ)  # of the recipes, which have the GPU's memory for themselves
RECIPES = ("vae_digits", "gan_digits", "gpt_pydoc", "ddpm_digits")
PAIRS = {  # name -> module of `peers`, function of the precision
    "vae": ("vae", "pair"),
    "vae_keras": ("vae", "keras"),
    "multiview": ("multiview", "pair"),  # multivae is no part of the extra `peers`
    "vqvae": ("vqvae", "pair"),
    "dalle": ("dalle", "pair"),
    "dalle_pictures": ("dalle", "pictures"),
    "gan": ("gan", "pair"),
    "infogan": ("infogan", "pair"),
    "vaegan": ("vaegan", "pair"),
    "cyclegan": ("cyclegan", "pair"),
    "pix2pix": ("pix2pix", "pair"),
    "stylegan2": ("stylegan2", "pair"),
    "stylegan2_images": ("stylegan2", "sampling"),
    "r3gan": ("r3gan", "pair"),
    "gpt_small": ("gpt", "small"),
    "gpt_medium": ("gpt", "medium"),
    "translation": ("translation", "pair"),
    "beams": ("translation", "beams"),
    "generate": ("generation", "many"),
    "generate_one": ("generation", "one"),
    "lstm": ("lstm", "lstm"),
    "gru": ("lstm", "gru"),
    "bert": ("bert", "pair"),
    "unet": ("unet", "training"),
    "ddim": ("unet", "ddim"),
    "heun": ("unet", "heun"),
    "dpmpp_2m": ("unet", "dpmpp_2m"),
    "hmm_long": ("hmm", "long"),
    "hmm_many": ("hmm", "many"),
    "hmm_long_dynamax": ("hmm", "long_dynamax"),  # dynamax is no part of the extra `peers`
    "hmm_many_dynamax": ("hmm", "many_dynamax"),
    "data": ("data", "pair"),
    "photos": ("data", "photos"),
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
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # on a GPU, PyTorch needs memory too
    machine = records.hardware()
    try:
        records.begun(args.out, machine)  # before anything is measured that a damaged file could not take
    except UserError as error:
        sys.exit(str(error))
    print(records.label(machine))
    if (busy := os.getloadavg()[0]) > records.BUSY:
        print(f"The machine is busy (load {busy:.1f}): times are too long, and ratios flatter genjax (see NORMAL.md).")

    failed, measured = 0, {part: {} for part in records.PARTS}
    for part, chosen, measure in (
        ("recipes", recipes, lambda name: recipe(name, args.steps)),
        ("peers", names, lambda name: pair(name, args.precision)),
    ):
        for name in chosen:
            begin, waiting, before = time.perf_counter(), os.getloadavg()[0], load.now()
            try:
                entry = measure(name)
                others = load.others(before, load.now())
                entry |= records.provenance(["benchmarks/run.py", *argv], waiting, others)
                key = records.key(Path(name).stem, entry)
                measured[part][key] = entry  # shown at the end, even if it cannot be written
                records.write(args.out, machine, part, {key: entry})  # each at once: the next may fail
            except Exception as error:  # of whatever kind: the others are measured all the same
                print(f"{name}: {reason(error)}", file=sys.stderr, flush=True)
                failed += 1
                continue
            print(f"{report.line(part, key, entry)}  [{time.perf_counter() - begin:.0f} s in all]", flush=True)
    if measured["recipes"]:
        print("\n" + report.recipes_table(measured))
    if measured["peers"]:
        print("\n" + report.peers_table(measured))
    return min(failed, 1)


def reason(error: Exception) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())[:500]
    if isinstance(error, UserError):
        return text
    hint = "; pip install 'genjax-suite[peers]'" if isinstance(error, ImportError) else ""
    return f"{type(error).__name__}: {text}{hint}"


def recipe(name: str, steps: int) -> dict:
    """What `genjax bench --json` tells, run as users run it: start-up and memory are those of one recipe alone."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        options = ["--steps", str(steps), "--json", str(file)]
        command = [sys.executable, "-m", "genjax.cli", "bench", name, *options]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise UserError(lines[-1].removeprefix("genjax: "))
        return json.loads(file.read_text())


def pair(name: str, precision: str) -> dict:
    """One pair, measured in turns; in a process of its own, as earlier pairs slow down later ones."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        return alone.submit(measured_pair, name, precision).result()


def measured_pair(name: str, precision: str) -> dict:
    import jax  # not for the program, which starts itself again

    enable_cache()  # of compiled programs, as `genjax train` has it and PyTorch by itself
    module, function = PAIRS[name]
    built = getattr(importlib.import_module(f"peers.{module}"), function)(precision)
    if jax.default_backend() == "cpu":
        keep_freed_memory()  # as `genjax train` does; it serves both sides
    threads = {"torch_threads": sys.modules["torch"].get_num_threads()} if "torch" in sys.modules else {}
    return pairs.compare(built)._asdict() | threads


if __name__ == "__main__":
    use_huge_pages()  # as the command `genjax` does
    sys.exit(main(sys.argv[1:]))
