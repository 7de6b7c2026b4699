"""The run directory: config.json, environment.json, and which changes a resumed run may make."""

import dataclasses
import importlib.metadata
import json
import math
import platform
import subprocess
import sys
from pathlib import Path

import jax

from genjax import recipes
from genjax.engine.averages import sharpness
from genjax.engine.state import trained_entries
from genjax.errors import UsageError, UserError
from genjax.experiment import EntryOptim, Experiment
from genjax.metrics import check_names
from genjax.runs.checkpoint import FOLDER
from genjax.runs.log import write_atomic
from genjax.spec import DataSpec

CONFIG = "config.json"

# What may differ when a run is resumed: where it runs, what is shown, and how it is cut into pieces.
FREE = {
    "recipe": None,
    "mesh": None,
    "eval": None,
    "data": {"workers", "prefetch", "strict"},
    "train": {
        "steps",
        "log_every",
        "eval_every",
        "sample_every",
        "checkpoint_every",
        "keep",
        "grad_accumulation",
        "backend",
        "steps_per_call",
    },
}


def check(experiment: Experiment) -> None:
    """Raises UsageError for a number out of its range, and for a metric that is none, in any section but the model."""
    data, train, config = experiment.data, experiment.train, experiment.eval
    positive = {
        "--data.batch-size": data.batch_size,
        "--data.prefetch": data.prefetch,
        "--train.steps": train.steps,
        "--train.log-every": train.log_every,
        "--train.keep": train.keep,
        "--train.grad-accumulation": train.grad_accumulation,
        "--train.steps-per-call": train.steps_per_call,
        "--eval.examples": config.examples,
        "--eval.set-size": config.set_size,
        "--eval.grid": config.grid,
    }
    not_negative = {
        "--train.eval-every": train.eval_every,
        "--train.sample-every": train.sample_every,
        "--train.checkpoint-every": train.checkpoint_every,
    }
    for flag, value in positive.items():
        if value is not None and value < 1:
            raise UsageError(f"{flag} {value}: must be at least 1")
    for flag, value in not_negative.items():
        if value < 0:
            raise UsageError(f"{flag} {value}: must not be negative")
    if not 0 <= train.seed < 2**32:
        raise UsageError(f"--train.seed {train.seed}: must be in [0, 2^32)")
    if not 0.0 <= train.ema_decay < 1.0:
        raise UsageError(f"--train.ema-decay {train.ema_decay}: must be in [0, 1)")
    if len({sharpness(sigma) for sigma in train.ema_power}) < len(train.ema_power):
        raise UsageError(f"--train.ema-power {train.ema_power}: a value is given twice")
    check_names(config.metrics)
    for entry, optim in {"": experiment.optim, **experiment.optim.entries}.items():
        _check_optim(f"--optim{entry and f'.entries {entry}'}", optim)


def _check_optim(flag: str, optim: EntryOptim) -> None:
    for name in ("learning_rate", "final_learning_rate", "warmup_steps", "clip_norm", "weight_decay"):
        if not 0 <= getattr(optim, name) < math.inf:  # NaN neither
            raise UsageError(f"{flag}.{name.replace('_', '-')} {getattr(optim, name)}: must be a number from 0")
    for name in ("b1", "b2"):
        if not 0 <= getattr(optim, name) < 1:
            raise UsageError(f"{flag}.{name} {getattr(optim, name)}: must be in [0, 1)")
    if not 0 < optim.eps < math.inf:
        raise UsageError(f"{flag}.eps {optim.eps}: must be above 0")


def resolve(experiment: Experiment, spec: DataSpec) -> Experiment:
    """The experiment with every None of its model filled in from the data and the precision.

    Raises:
      UsageError: as `check`; the name of an entry that the model has not; set metrics where there are no images.
    """
    check(experiment)
    train, model = experiment.train, experiment.model
    if model.dtype is None:
        model = dataclasses.replace(model, dtype=train.precision)
    model = model.resolve(spec)
    entries = set(model.networks())
    named = {
        "--train.freeze": set(train.freeze),
        "--train.ema-entries": set(train.ema_entries),
        "--optim.entries": set(experiment.optim.entries),
    }
    for flag, names in named.items():
        if unknown := sorted(names - entries):
            raise UsageError(f"{flag} names {', '.join(unknown)}: the entries are {', '.join(sorted(entries))}")
    if experiment.eval.metrics and spec.image_shape is None:
        raise UsageError(f"--eval.metrics {' '.join(experiment.eval.metrics)}: compares images, and this data has none")
    experiment = dataclasses.replace(experiment, model=model)
    if not trained_entries(experiment):
        raise UsageError("--train.freeze leaves nothing to train")
    return experiment


def require_weights(experiment: Experiment) -> None:
    """Raises UsageError where an entry that no turn trains would stay as random as it starts."""
    model, sources = experiment.model, experiment.train.init_from
    named = {source.partition("=")[0] for source in sources}
    untrained = set(model.networks()) - {entry for turn in model.turns for entry in turn.trains} - named
    if untrained and all("=" in source for source in sources):  # one without ENTRY= may bring them all
        names = ", ".join(sorted(untrained))
        raise UsageError(f"{names}: frozen, and so must come trained: --train.init-from RUN (or ENTRY=RUN)")


def prepare(out: Path, config: dict) -> None:
    """Makes `out` the run directory of `config`, or checks that it is, before anything is trained.

    Raises:
      UserError: `out` is something else, cannot be written, or is a run of another configuration: the fields that
        differ are named.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"'{out}' is a file: choose another --out")
    has_checkpoints = any((out / FOLDER).glob("[0-9]*"))
    if (out / CONFIG).exists() and has_checkpoints:
        old = read_config(out)
        if differing := _differences(old, config):
            shown = "; ".join(differing[:6]) + (f"; and {len(differing) - 6} more" if len(differing) > 6 else "")
            raise UserError(f"'{out}' holds a run of another configuration ({shown}): choose another --out")
        if config["train"]["steps"] < old["train"]["steps"]:
            raise UserError(
                f"'{out}' is a run of {old['train']['steps']} steps: --train.steps can grow, not shrink"
                f" to {config['train']['steps']}"
            )
    elif out.exists() and any(out.iterdir()) and not (out / CONFIG).exists():
        raise UserError(f"'{out}' is not empty and not a run directory: choose another --out")
    text = json.dumps(config, indent=2)
    write_atomic(out / CONFIG, text.encode())


def read_config(out: Path) -> dict:
    """config.json of a run. Raises UserError where there is none or it is not JSON."""
    try:
        config = json.loads((out / CONFIG).read_text())
        if not isinstance(config, dict):
            raise ValueError("not a JSON object")
        return config
    except FileNotFoundError:
        raise UserError(f"'{out}' is not a run directory: it has no {CONFIG}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read '{out / CONFIG}': {error}") from error


def load(out: Path) -> tuple[Experiment, DataSpec]:
    """The resolved experiment of a run, and the description of its data."""
    return recipes.from_dict(read_config(out))


def environment() -> dict:
    """Versions, devices and commit: what a number has to be quoted with."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "genjax-suite")
    devices = jax.devices()
    return {
        "command": " ".join(sys.argv),
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
        "platform": devices[0].platform,
        "devices": [str(device) for device in devices],
        "device_kind": devices[0].device_kind,
        "processes": jax.process_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "commit": commit(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Of the checkout that genjax is run from, "-dirty" where genjax itself differs; None where it is installed."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    try:
        known = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=10)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "."], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return known.stdout.strip() + "-dirty" * (changed.returncode != 0) if known.returncode == 0 else None


def _differences(old: dict, new: dict) -> list[str]:
    new = json.loads(json.dumps(new))
    found = []
    for section in sorted(old.keys() | new.keys()):
        free = FREE.get(section, set())
        if free is None:
            continue
        a, b = old.get(section), new.get(section)
        if not (isinstance(a, dict) and isinstance(b, dict)):
            found += [f"{section}: {a} there, {b} here"] * (a != b)
            continue
        for field in sorted((a.keys() | b.keys()) - free):
            if a.get(field) != b.get(field):
                found.append(f"{section}.{field}: {a.get(field)} there, {b.get(field)} here")
    return found
