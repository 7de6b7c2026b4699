"""Kills training runs with SIGKILL at random moments, resumes them, and counts how many end bit-identical.

    python tests/kill_and_resume.py --kills 20

Each trial is a run of its own: killed once, resumed, compared in every array of its train state (parameters,
optimizer, averages, statistics) with the uninterrupted run. Prints a line a system, and exits with 1 on any difference.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CODES = "--model.first-stage.network.widths 4 8 --model.first-stage.quantizer.size 16".split()  # of vqvae_digits below
RUNS = {
    "vae_digits": ["--model.network.widths", "8", "16", "--train.ema-decay", "0.99"],
    "gan_digits": ["--model.network.generator-width", "8", "--model.network.discriminator-width", "8"],
    "cyclegan_digits": ["--model.generator.width", "4", "--model.discriminator.width", "8", "--model.pool", "20"],
    "pix2pix_digits": ["--model.generator.width", "4", "--model.discriminator.width", "8"],
    "stylegan2_digits": (
        "--model.network.channels 64 --model.network.style 8 --model.path-weight 2 --model.path-every 2 "
        "--model.mixing 0.5"
    ).split(),
    "r3gan_digits": ["--model.network.widths", "8", "8", "--model.network.groups", "2", "2"],
    "biggan_digits": (
        "--model.network.generator-widths 8 8 8 --model.network.discriminator-widths 8 8 8 --train.ema-decay 0.9"
    ).split(),
    "gpt_pydoc": ["--model.layers", "2", "--model.heads", "2", "--model.width", "32", "--model.dropout", "0.1"],
    "lstm_pydoc": ["--model.width", "32", "--model.embedding", "16", "--data.context", "16"],
    "translate_phrases": "--model.layers 1 --model.heads 2 --model.width 32 --model.hidden 64".split(),
    "vqvae_digits": ["--model.network.widths", "4", "8", "--model.quantizer.size", "16"],
    "kl_digits": ["--model.network.widths", "4", "8"],
    "vqgan_digits": (
        "--model.network.widths 4 8 --model.quantizer.size 16 --model.adversarial.start 5 "
        "--model.adversarial.discriminator.width 8"
    ).split(),
    "latent_digits": (
        "--model.network.layers 1 --model.network.width 32 --model.space.first-stage.network.widths 4 8"
    ).split(),
    "dalle_digits": ["--model.layers", "1", "--model.width", "32", *CODES],
    "maskgit_digits": ["--model.layers", "1", "--model.width", "32", *CODES],
    "crossmodal_digits": ["--model.layers", "1", "--model.width", "32", *CODES],
    "multiview_digits": ["--model.network.widths", "32", "--model.widths", "32"],
    "text2image_digits": ["--model.network.layers", "1", "--model.network.width", "32"],
    "hmm_letters": ["--model.states", "3", "--data.context", "31"],
}
FIRST_STAGES = {  # recipe -> the recipe of its first stage, which is trained once and lies beside its runs
    "latent_digits": "kl_digits",
    "dalle_digits": "vqvae_digits",
    "maskgit_digits": "vqvae_digits",
    "crossmodal_digits": "vqvae_digits",
}
STEPS = 60
COMMON = (
    f"--data.batch-size 16 --train.steps {STEPS} --train.checkpoint-every 7 --train.eval-every 0 "
    "--train.sample-every 0 --train.log-every 1 --eval.examples 16 --eval.set-size 16 --eval.grid 4"
).split()


def start(recipe: str, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "genjax.cli", "train", recipe, "--out", str(out), *COMMON, *RUNS[recipe]]
    if recipe in FIRST_STAGES:
        command += ["--train.init-from", f"first_stage={out.parent / FIRST_STAGES[recipe]}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(recipe: str, out: Path) -> None:
    process = start(recipe, out)
    error = process.communicate()[1]
    if process.returncode:
        sys.exit(f"{recipe}: the run ended with status {process.returncode}: {error}")


def kill_at(recipe: str, out: Path, step: int) -> int:
    """Kills a fresh run as soon as its metrics show `step`, and returns the last step they show then."""
    process, metrics = start(recipe, out), out / "metrics.jsonl"
    while process.poll() is None:
        if metrics.exists() and last_step(metrics) >= step:
            time.sleep(random.random() * 0.02)  # somewhere inside a step or a save
            process.send_signal(signal.SIGKILL)
        time.sleep(0.001)
    process.stderr.close()
    if process.returncode != -signal.SIGKILL:
        sys.exit(f"{recipe}: the run ended with status {process.returncode} before it was killed")
    return last_step(metrics)


def last_step(metrics: Path) -> int:
    """The step of the last whole line."""
    lines = metrics.read_bytes().split(b"\n")[:-1]
    return json.loads(lines[-1])["step"] if lines else 0


def state(out: Path):
    import jax

    from genjax.runs.restore import open_run

    return jax.device_get(open_run(out).state)


def identical(a, b) -> bool:
    import jax
    import numpy as np

    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b))
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="for each system")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--systems", nargs="+", default=list(RUNS), choices=list(RUNS))
    args = parser.parse_args()
    random.seed(args.seed)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{folder}/cache")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        for recipe in args.systems:
            whole = Path(folder) / recipe
            if recipe in FIRST_STAGES:
                finish(FIRST_STAGES[recipe], Path(folder) / FIRST_STAGES[recipe])
            finish(recipe, whole)
            expected, same, steps = state(whole), 0, []
            for trial in range(args.kills):
                out, step = Path(folder) / f"{recipe}-{trial}", random.randint(1, STEPS - 5)
                steps.append(kill_at(recipe, out, step))
                finish(recipe, out)
                same += identical(state(out), expected)
                shutil.rmtree(out)
            failures += args.kills - same
            print(f"{recipe}: {same} of {args.kills} bit-identical after kill -9 at steps {sorted(steps)}", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
