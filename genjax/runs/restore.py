"""Trained weights come back: a whole run, or entries to start another one from."""

import contextlib
import dataclasses
import math
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import jax

from genjax.data import Dataset, load, load_tokenizer, require_unchanged
from genjax.engine.averages import EMA, Average
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState, averaged
from genjax.errors import UsageError, UserError
from genjax.experiment import Experiment, Mesh
from genjax.models.base import Model, Params
from genjax.runs import directory as runs
from genjax.runs import posthoc_ema
from genjax.runs.checkpoint import FOLDER, Checkpoints, load_safetensors
from genjax.runtime.mesh import mesh_shape


def initialize_from(state: TrainState, sources: tuple[str, ...], engine: Engine) -> TrainState:
    """The state with the entries named by `train.init_from` loaded, their averages too.

    Args:
      sources: "ENTRY=RUN", "ENTRY=FILE.safetensors" or, for all entries that the source has, without "ENTRY=".

    Raises:
      UsageError: an entry that the model has not; a source without "ENTRY=" that has none of the model's entries.
      UserError: a source that is missing, or whose arrays have other names or shapes.
    """
    params, model_state, ema = dict(state.params), dict(state.model_state), state.ema
    for source in sources:
        entry, place = _entry_and_place(source, params)
        loaded, loaded_state = load_weights(Path(place))
        names = [entry] if entry else [name for name in params if name in loaded]
        if not names:
            raise UsageError(
                f"--train.init-from {source}: it has {', '.join(loaded)}, and the entries here are {', '.join(params)}"
            )
        for name in names:
            params[name] = _fit(loaded.get(name, loaded if entry else {}), params[name], name, place)
            if name in model_state and name in loaded_state:
                model_state[name] = _fit(loaded_state[name], model_state[name], name, place)
                if name in ema.state:
                    ema.state[name] = jax.tree.map(lambda x: x.copy(), model_state[name])
            if name in ema.params:
                ema.params[name] = jax.tree.map(lambda x: x.copy(), params[name])
    state = state.replace(params=params, model_state=model_state, ema=ema)
    return jax.tree.map(lambda x, s: jax.device_put(x, s), state, engine.shardings)


def _entry_and_place(source: str, entries: Collection[str]) -> tuple[str, str]:
    """("", place) where the source names no entry; the place may itself have a "=" in it."""
    entry, equals, place = source.partition("=")
    if equals and entry in entries:
        return entry, place
    if not equals or Path(source).exists():
        return "", source
    raise UsageError(f"--train.init-from {source}: the entries are {', '.join(entries)}")


def load_weights(place: Path) -> tuple[dict, dict]:
    """(params, model state) of a run directory (its averages, where it has them) or of a safetensors file."""
    if place.suffix == ".safetensors":
        return load_safetensors(place), {}
    return averaged(open_run(place).state)


class OpenRun(NamedTuple):
    """A trained run, ready to be sampled and measured on the devices at hand."""

    engine: Engine
    state: TrainState
    tokenizer: Any
    dataset: Dataset | None


def open_run(
    run: Path,
    checkpoint: str = "latest",
    *,
    ema: bool | float = True,
    data: bool = False,
    model: dict | None = None,
    **sections,
) -> OpenRun:
    """Restores a run on the devices at hand: on its own mesh if that fits them, else on copies of the whole.

    Args:
      checkpoint: "latest", "best" or a step.
      ema: what `averaged` gives, and so what is sampled and evaluated: True = the run's average where it has one,
        False = the parameters as they were trained, a number = the power average of that sigma_rel.
      data: whether the data set is needed as well.
      model, **sections: fields of the model, and whole sections, that replace those of the run.

    Raises:
      UsageError: a sigma_rel that no power average has.
      UserError: no run directory, no such checkpoint, none that loads, or no power averages to make one from.
    """
    experiment, spec = runs.load(run)
    known = {field.name for field in dataclasses.fields(experiment.model)}
    if unknown := sorted(set(model or {}) - known):
        raise UsageError(f"{type(experiment.model).__name__} has no {', '.join(unknown)}")
    train = dataclasses.replace(experiment.train, backend="jit", grad_accumulation=1)
    replaced = {
        "model": dataclasses.replace(experiment.model, **(model or {})),
        "train": train,
    }
    mesh, devices = _fitting_mesh(experiment)
    experiment = dataclasses.replace(experiment, **(replaced | {"mesh": mesh} | sections))
    if not (run / FOLDER).is_dir():
        raise UserError(f"'{run}' has no checkpoints yet: train it first")
    runs.check(experiment)
    engine = Engine(experiment, spec, devices)
    with contextlib.closing(Checkpoints(run, train.keep, experiment.model.best, write=False)) as checkpoints:
        step = checkpoints.find(checkpoint)
        state = checkpoints.restore(engine.abstract_state, _warn, step)
    if not isinstance(ema, bool):
        like = next(iter(engine.abstract_state.ema.power.values()), Average({}, {}))
        average = posthoc_ema.reconstruct(run, int(state.step), ema, like, _warn)
        state = state.replace(ema=EMA(*average, power={}))
    elif not ema:
        state = state.replace(ema=EMA({}, {}, {}))
    tokenizer = load_tokenizer(run) if (run / "tokenizer.json").exists() else None
    dataset = load(experiment.data) if data else None
    if dataset is not None:
        require_unchanged(dataset, spec, tokenizer)
    return OpenRun(engine, state, tokenizer, dataset)


def restore(run: str | Path, ema: bool | float = True) -> tuple[Model, Params, Any]:
    """(model, params, model state) of a run's newest checkpoint.

    Args:
      ema: True = the moving average, where the run has one; False = the parameters of the last step; a number = the
        power average of that sigma_rel, if the run was trained with `train.ema_power`.

    Raises:
      UsageError: a sigma_rel that no power average has.
      UserError: no run directory, no checkpoint that loads, or no power averages to make one from.
    """
    opened = open_run(Path(run), ema=ema)
    return opened.engine.model, *averaged(opened.state)


def _fitting_mesh(experiment: Experiment) -> tuple[Mesh, list]:
    """The run's own mesh over all devices where they and the batch allow it; else as many replicas as do."""
    devices, batch = jax.devices(), experiment.data.batch_size
    with contextlib.suppress(UserError):
        data, fsdp, _ = mesh_shape(experiment.mesh, len(devices))
        if batch % (data * fsdp) == 0:
            return experiment.mesh, devices
    return Mesh(), devices[: math.gcd(batch, len(devices))]


def _warn(message: str) -> None:
    print(f"genjax: {message}", file=sys.stderr)


def _fit(loaded, expected, entry: str, place: str):
    """`loaded` in the types of `expected`, or a UserError that names the first array that does not fit."""
    got = {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_leaves_with_path(loaded)}
    wanted = {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_leaves_with_path(expected)}
    if extra := sorted(got.keys() - wanted.keys()):
        raise UserError(f"--train.init-from: '{place}' has {entry}{extra[0]}, which this model has no place for")
    for name, want in wanted.items():
        if name not in got:
            raise UserError(f"--train.init-from: '{place}' has no {entry}{name}")
        if got[name].shape != want.shape:
            raise UserError(
                f"--train.init-from: {entry}{name} has shape {got[name].shape} in '{place}', {want.shape} here"
            )
    return jax.tree_util.tree_map_with_path(
        lambda path, want: jax.numpy.asarray(got[jax.tree_util.keystr(path)], want.dtype), expected
    )
