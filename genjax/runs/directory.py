"""The run directory: config.json, a copy of the recipe, and which changes a resumed run may make."""

import json
import os
from pathlib import Path

from genjax import recipes
from genjax.errors import UserError
from genjax.experiment import Experiment
from genjax.files import absolute, is_temporary, read_json, write_atomic
from genjax.plain import dump
from genjax.runs import checkpoint
from genjax.runs.lock import LOCK
from genjax.spec import DataSpec

__all__ = ["CONFIG", "RECIPE", "load", "prepare", "read_config", "require_fitting", "require_inside", "settings"]

CONFIG = recipes.CONFIG
RECIPE = "recipe.py"  # to be read, and run by nobody but who names it with --recipe

# What may differ when a run is resumed: where it runs, what is shown, and how it is cut into pieces.
FREE = {
    "recipe": None,
    "mesh": None,
    "eval": None,
    "data": {"workers", "prefetch", "strict"},
    "optim": {"schedule_steps"},
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


def require_fitting(out: Path, config: dict) -> dict | None:
    """The configuration of the run that `out` holds, None where it holds none with a checkpoint. Writes nothing.

    Raises:
      UserError: `out` is something else, or a run of another configuration: the fields that differ are named.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"'{out}' is a file: choose another --out")
    if (out / CONFIG).exists() and checkpoint.steps(out):
        old, broken = _completed(out)
        if differing := _differences(old, config):
            shown = "; ".join(differing[:6]) + (f"; and {len(differing) - 6} more" if len(differing) > 6 else "")
            raise UserError(f"'{out}' holds a run of another configuration ({shown}): choose another --out")
        if broken:
            raise broken
        if config["train"]["steps"] < old["train"]["steps"]:
            raise UserError(
                f"'{out}' is a run of {old['train']['steps']} steps: --train.steps can grow, not shrink"
                f" to {config['train']['steps']}"
            )
        return old
    if not (out / CONFIG).exists() and out.exists() and any(map(_foreign, out.iterdir())):
        raise UserError(f"'{out}' is not empty and not a run directory: choose another --out")
    return None


def _foreign(file: Path) -> bool:
    """Whether something else than a run that was killed at once has left the file."""
    return not file.name.startswith(LOCK) and not is_temporary(file)


def prepare(out: Path, config: dict) -> str:
    """Makes `out` the run directory of `config`, before anything is trained.

    Returns:
      A warning, where the learning rate goes another way from here on than it would have; else "".

    Raises:
      UserError: as `require_fitting`; the folder cannot be written.
    """
    old = require_fitting(out, config)
    require_inside(out)
    warning = _rate_jumps(old, config) if old else ""
    write_atomic(out / CONFIG, json.dumps(config, indent=2).encode())
    _copy_recipe(config["recipe"], out)
    return warning


def _copy_recipe(name: str, out: Path) -> None:
    """The recipe's file, if there is one. A run that goes on by its config.json keeps the copy that it has."""
    file = Path(name) if name.endswith(".py") else recipes.recipe_files().get(name)
    if file and file.is_file() and (recipes.has_run(file) or not (out / RECIPE).exists()):
        write_atomic(out / RECIPE, file.read_bytes())


def settings(experiment: Experiment, out: Path) -> dict[str, object]:
    """What all processes of a run have to be given alike, by dotted names."""
    sections = dump(Experiment, experiment, "")
    sections["mesh"] |= {"coordinator": None, "process_id": None}
    fields = {f"{name}.{field}": value for name, part in sections.items() for field, value in part.items()}
    return fields | {"out": absolute(out)}


def _rate_jumps(old: dict, new: dict) -> str:
    """What there is to say of a schedule of the learning rate whose end has moved; "" where none has."""
    before, now = (config["optim"].get("schedule_steps") or config["train"]["steps"] for config in (old, new))
    settings = [new["optim"], *new["optim"].get("entries", {}).values()]
    moving = [optim["schedule"] for optim in settings if optim["schedule"] != "constant"]
    if now == before or not moving:
        return ""
    return (
        f"the learning rate jumps: its {moving[0]} schedule ended at step {before} and ends at step {now} now; "
        f"--optim.schedule-steps {before} keeps it"
    )


def read_config(out: Path) -> dict:
    """config.json of a run. Raises UserError where there is none or it is not JSON."""
    if not os.path.lexists(out / CONFIG):
        raise UserError(f"'{out}' is not a run directory: it has no {CONFIG}")
    return read_json(out / CONFIG)


def require_inside(out: Path) -> None:
    """Raises UserError where an entry of a run directory is a link: genjax would write, or delete, elsewhere."""
    if link := next((entry for entry in sorted(out.glob("*")) if entry.is_symlink()), None):
        raise UserError(
            f"'{link}' is a link, and what a run writes stays inside of it: move '{link.resolve()}' here, or make the "
            "whole run directory a link"
        )


def load(out: Path) -> tuple[Experiment, DataSpec]:
    """The resolved experiment of a run, and the description of its data.

    Raises UserError as `read_config` and `genjax.recipes.from_dict`.
    """
    return recipes.from_dict(read_config(out), out / CONFIG)


def _completed(out: Path) -> tuple[dict, UserError | None]:
    """A run's configuration, with the defaults of fields that it is older than; where it is none, as it is, and why.

    Raises UserError as `read_config` and `genjax.recipes.require_format`.
    """
    old = read_config(out)
    recipes.require_format(old, out / CONFIG)
    try:
        experiment, spec = recipes.from_dict(old, out / CONFIG)
    except UserError as error:
        return old, error
    return old | recipes.to_dict(experiment, old["recipe"], spec, old.get("tokenizer")), None


def _differences(old: dict, new: dict) -> list[str]:
    """What differs and may not, as `section.field: VALUE there, VALUE here`."""
    found, old = [], {"tokenizer": new.get("tokenizer")} | old  # runs of early days do not name it
    for section in sorted(old.keys() | new.keys()):
        free = FREE.get(section, set())
        if free is None:
            continue
        a, b = old.get(section), new.get(section)
        if not (isinstance(a, dict) and isinstance(b, dict)):
            found += [f"{section}: {a} there, {b} here"] * (a != b)
            continue
        for field in sorted((a.keys() | b.keys()) - free):
            if a.get(field) != b.get(field) and not _moved(section, field, a.get(field)):
                found.append(f"{section}.{field}: {a.get(field)} there, {b.get(field)} here")
    return found


def _moved(section: str, field: str, path: str | None) -> bool:
    """Whether the data that a run was trained on is no longer there; `spec` says whether the new data is like it."""
    return (section, field) == ("data", "path") and path is not None and not Path(path).exists()
