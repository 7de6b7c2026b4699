"""The attacks: each damages a copy of a sound file, and says which commands are to withstand it."""

import json
import os
import random
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

from attack.damage import NASTY, damage_bytes, damage_json, damage_value
from attack.place import SIZES, TRAIN_TEXT, TRAIN_VAE

__all__ = ["ATTACKS", "Trial", "attack", "copied"]


class Trial(NamedTuple):
    """A command, and what it has to withstand.

    Attributes:
      same: (file, folder) where the file may hold only what one of the folder holds.
      whole: a place that the command may not touch.
      during: the command runs inside of it.
      then: a command that has to succeed afterwards; `must`: the command itself has to, `refused`: it may not.
    """

    argv: list[str | Path]
    same: tuple[tuple[Path, Path], ...] = ()
    whole: Path | None = None
    during: AbstractContextManager = nullcontext()
    then: list[str | Path] | None = None
    must: bool = False
    refused: bool = False


Attack = Callable[[random.Random, Path, Path], Trial]
ATTACKS: dict[str, Attack] = {}


def attack(function: Attack) -> Attack:
    """Registers (chance, sound files, empty folder) -> Trial under the name of the function."""
    ATTACKS[function.__name__] = function
    return function


def copied(place: Path, here: Path) -> Path:
    """A copy of a file or folder."""
    copy = here / place.name
    shutil.copytree(place, copy) if place.is_dir() else shutil.copy(place, copy)
    return copy


def _use(chance: random.Random, run: Path, here: Path) -> list[str | Path]:
    """A command that reads a run."""
    return chance.choice(
        [
            ["export", run, "--out", here / "w.safetensors"],
            ["export", run, "--out", here / "w.safetensors", "--ema", "false"],
            ["sample", run, "--num", "2", "--out", here / "x.npz"],
            ["eval", run],
            ["encode", run, "--out", here / "codes.npz"],
        ]
    )


@attack
def config(chance: random.Random, sound: Path, here: Path) -> Trial:
    run = copied(sound / chance.choice(["vae", "text"]), here)
    damage_json(chance, run / "config.json")
    if chance.random() < 0.2:
        kind = TRAIN_VAE if run.name == "vae" else TRAIN_TEXT
        return Trial([*kind, "--out", run])
    return Trial(_use(chance, run, here))


@attack
def run_files(chance: random.Random, sound: Path, here: Path) -> Trial:
    """What stands beside the configuration: metrics, environment, tokenizer, weights."""
    run = copied(sound / chance.choice(["vae", "text"]), here)
    files = [file for file in run.iterdir() if file.is_file() and file.name != "config.json"]
    file = chance.choice(sorted(files))
    if file.suffix == ".json":
        damage_json(chance, file)
    else:
        file.write_bytes(damage_bytes(chance, file.read_bytes()))
    data = ["--data.path", sound / "text.txt", "--data.tokenizer", "bpe:270"] if run.name == "text" else []
    kind = TRAIN_TEXT if run.name == "text" else TRAIN_VAE
    resume = [*kind, *data, "--out", run, "--train.steps", "3"]
    return Trial(resume if chance.random() < 0.4 else _use(chance, run, here))


@attack
def checkpoint(chance: random.Random, sound: Path, here: Path) -> Trial:
    """Weights that come back are those that were saved, of this checkpoint or of the one before."""
    run = copied(sound / "vae", here)
    files = sorted(file for file in (run / "checkpoints").rglob("*") if file.is_file())
    file = chance.choice(files)
    if chance.random() < 0.15:
        file.unlink()
    elif file.read_bytes()[:1] == b"{" and chance.random() < 0.6:
        damage_json(chance, file)
    else:
        file.write_bytes(damage_bytes(chance, file.read_bytes()))
    out = here / "w.safetensors"
    which = chance.choice([[], [], ["--checkpoint", "best"], ["--checkpoint", "2"]])
    return Trial(["export", run, "--out", out, "--ema", "false", *which], same=((out, sound / "exported"),))


@attack
def weights(chance: random.Random, sound: Path, here: Path) -> Trial:
    """A file of weights that another run starts from."""
    file = here / "w.safetensors"
    data = (sound / "vae" / "weights.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    if chance.random() < 0.5:
        header = json.loads(data[8 : 8 + size])
        header = damage_value(chance, header)
        if chance.random() < 0.3 and isinstance(header, dict) and len(header) > 1:
            name = chance.choice(list(header))
            news = ["a", "a/b", "../x", "", "/", "state:x", "encoder", "encoder//x", "\x1b[2J"]
            header[chance.choice(news)] = header.pop(name)
        if chance.random() < 0.3 and isinstance(header, dict):
            for entry in header.values():
                if isinstance(entry, dict) and "dtype" in entry:
                    entry["dtype"] = chance.choice(["F8_E4M3", "F8_E5M2", "BF16", "F16", "I64", "BOOL", "U8", "X"])
        text = json.dumps(header).encode(errors="replace")
        data = len(text).to_bytes(8, "little") + text + data[8 + size :]
    else:
        data = damage_bytes(chance, data)
    file.write_bytes(data)
    if chance.random() < 0.03:
        file.unlink()
        os.mkfifo(file)
    return Trial([*TRAIN_VAE, "--train.init-from", file, "--out", here / "run"])


@attack
def recipe(chance: random.Random, sound: Path, here: Path) -> Trial:
    file = copied(sound / "recipe.py", here)
    text = file.read_text()
    words = ["VAE", "(4,)", "2", "1.0", "bernoulli", '"digits"', "1e-3", '"adam"', "Data", "0", "experiment", "Train"]
    lines = ["raise SystemExit", "raise KeyboardInterrupt", "import nothing", "1 / 0", "def f(): return f()\nf()",
             "exit(0)", "raise BaseException('x')", "del experiment", "experiment = None", "x = (",
             "raise ValueError('\\x1b[2J')",
             "import genjax\nclass VAE(genjax.models.VAE): pass\ngenjax.register(VAE)"]  # fmt: skip
    kind = chance.random()
    if kind < 0.6:
        new = chance.choice(
            [repr(value) for value in NASTY if value == value] + ["float('nan')", "float('inf')", "object()"]
        )
        text = text.replace(chance.choice(words), new.replace("inf", "1e999"), 1)
    elif kind < 0.8:
        text += chance.choice(lines) + "\n"
    else:
        text = damage_bytes(chance, text.encode()).decode("latin-1")
    file.write_text(text, errors="replace")
    return Trial(["train", file, *SIZES, "--out", here / "run"])


@attack
def system(chance: random.Random, sound: Path, here: Path) -> Trial:
    """A recipe of any system, with values that its classes have to refuse."""
    from systems import SYSTEMS

    from genjax import recipes

    system = SYSTEMS[chance.choice([name for name in SYSTEMS if SYSTEMS[name].experiment.data.path is None])]
    saved = recipes.to_dict(system.experiment, "", system.spec)
    saved["train"]["steps"] = 1
    section = chance.choice(["model", "model", "model", "data", "optim", "train", "eval"])
    saved[section] = damage_value(chance, saved[section])
    (here / "config.json").write_text(json.dumps(saved), encoding="utf-8", errors="surrogateescape")
    file = here / "recipe.py"
    file.write_text(
        "import json\nfrom genjax.recipes import from_dict\n"
        f"experiment = from_dict(json.load(open({str(here / 'config.json')!r}, errors='replace')))[0]\n"
    )
    return Trial(["train", file, "--out", here / "run"])


@attack
def option(chance: random.Random, sound: Path, here: Path) -> Trial:
    """Options of `sample`, of which text comes from outside."""
    value = chance.choice([str(value) for value in NASTY if "\0" not in str(value)])
    flag = chance.choice(
        ["--prompt", "--max-new-tokens", "--temperature", "--top-k", "--top-p", "--num", "--seed", "--out"]
    )
    limit = [] if flag in ("--num", "--max-new-tokens") else ["--num", "2", "--max-new-tokens", "3"]
    out = [] if flag == "--out" else ["--out", here / "x.txt"]
    value = str(here / f"x{value[:9]}") if flag == "--out" else value
    return Trial(["sample", sound / "text", f"{flag}={value}", *limit, *out])


@attack
def number(chance: random.Random, sound: Path, here: Path) -> Trial:
    """A number of the recipe that is given on the command line."""
    flags = ["model.latent", "model.beta", "data.batch-size", "data.image-size", "data.workers", "data.prefetch",
             "data.validation", "optim.learning-rate", "optim.b1", "optim.eps", "optim.weight-decay", "train.seed",
             "train.log-every", "train.ema-decay", "train.grad-accumulation", "train.steps-per-call", "eval.examples",
             "eval.set-size", "eval.grid", "mesh.data", "mesh.fsdp", "mesh.tensor", "model.iwae-samples",
             "model.network.widths", "model.dtype", "train.precision", "train.ema-power", "data.channels"]  # fmt: skip
    value = chance.choice(["0", "-1", "1", "2", "3", "nan", "inf", "-inf", "1e308", "1e-300", str(10**5), str(10**9),
                           str(2**31), str(2**63), str(10**20), "x", "", "1.5", "None", "\x1b[2J"])  # fmt: skip
    return Trial([*TRAIN_VAE, f"--{chance.choice(flags)}={value}", "--out", here / "run"])


@attack
def foreign(chance: random.Random, sound: Path, here: Path) -> Trial:
    """A run of somebody else: with a recipe to execute, and links that lead out of it."""
    run, outside = copied(sound / chance.choice(["vae", "text"]), here), here / "outside"
    outside.mkdir()
    spy = outside / "spy.py"
    spy.write_text(f"open({str(here / 'executed')!r}, 'w')\n")
    saved = json.loads((run / "config.json").read_text())
    saved["recipe"] = str(spy)
    if chance.random() < 0.5:
        saved["system"] = chance.choice(["Mine", "\x1b[2J", "spy.Model", "os.system"])
    (run / "config.json").write_text(json.dumps(saved))
    shutil.copy(spy, run / "recipe.py")
    if chance.random() < 0.7:
        entry = chance.choice(sorted(path for path in run.iterdir() if path.name != "config.json"))
        entry.rename(outside / entry.name)
        entry.symlink_to(outside / entry.name)
    elif chance.random() < 0.5:
        entry = chance.choice(sorted(path for path in run.rglob("*") if path.is_file()))
        entry.unlink()
        os.mkfifo(entry)  # who opens it waits for ever
    kind = TRAIN_VAE if run.name == "vae" else TRAIN_TEXT
    data = ["--data.path", sound / "text.txt", "--data.tokenizer", "bpe:270"] if run.name == "text" else []
    plain = [["sample", run, "--num", "2"], ["export", run], ["encode", run], ["eval", run]]
    argv = chance.choice([*plain, [*kind, *data, "--out", run, "--train.steps", "3"]])
    return Trial(argv, whole=outside)
