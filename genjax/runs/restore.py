"""A trained run comes back, ready to be used. Nothing here writes into a run."""

import contextlib
import dataclasses
import math
import os
import sys
from pathlib import Path
from typing import NamedTuple

import jax

from genjax.data import Dataset, Tokenizer, load_tokenizer, readers, require_unchanged
from genjax.data import load as load_data
from genjax.engine.averages import EMA, Average
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState
from genjax.errors import UsageError, UserError, visible
from genjax.experiment import Data, Experiment, Mesh
from genjax.files import absolute, expanded
from genjax.orders import Mixture
from genjax.runs import checkpoint as checkpoints
from genjax.runs import posthoc_ema
from genjax.runs.best import best_of
from genjax.runs.check import check
from genjax.runs.checkpoint_mean import checkpoint_mean
from genjax.runs.directory import CONFIG, load, read_config
from genjax.runtime.mesh import mesh_shape

__all__ = ["TOKENIZER", "OpenRun", "open_run"]

TOKENIZER = "tokenizer.json"


class OpenRun(NamedTuple):
    """A trained run, ready to be sampled and measured on the devices at hand."""

    engine: Engine
    state: TrainState
    tokenizer: Tokenizer | None
    dataset: Dataset | None


def open_run(
    run: Path,
    checkpoint: str = "latest",
    *,
    ema: bool | float = True,
    average: int = 1,
    data: bool = False,
    data_path: str | None = None,
    model: dict | None = None,
    **sections,
) -> OpenRun:
    """Restores a run on the devices at hand: on its own mesh if that fits them, else on copies of the whole.

    Args:
      checkpoint: "latest", "best" or a step.
      ema: what `averaged` gives, and so what is sampled and evaluated: True = the run's average where it has one,
        False = the parameters as they were trained, a number = the power average of that sigma_rel.
      average: the newest checkpoints, up to that one, whose mean is taken (see `checkpoint_mean`); 1 = itself.
      data: whether the data set is needed as well.
      data_path: where the data is now; None = where the run has read it.
      model, **sections: fields of the model, and whole sections, that replace those of the run.

    Raises:
      UsageError: a sigma_rel that no power average has, or an impossible `average`.
      UserError: no run directory, no such checkpoint, none that loads, too few to average, or data
        that is not what the run was trained on.
    """
    experiment, spec = load(run)
    known = {field.name for field in dataclasses.fields(experiment.model)}
    if unknown := sorted(set(model or {}) - known):
        raise UsageError(f"{type(experiment.model).__name__} has no {', '.join(unknown)}")
    mesh, devices = _fitting_mesh(experiment)
    moved = {"path": absolute(data_path)} if data_path else {}
    replaced = {
        "model": dataclasses.replace(experiment.model, **(model or {})),
        "train": dataclasses.replace(experiment.train, backend="jit", grad_accumulation=1),
        "data": dataclasses.replace(experiment.data, **moved),
        "mesh": mesh,
    }
    experiment = dataclasses.replace(experiment, **(replaced | sections))
    check(experiment)
    step = checkpoints.find(run, checkpoint, best_of(experiment))
    engine = Engine(experiment, spec, devices)
    engine.require_room()
    state = checkpoints.restore(run, engine.abstract_state, _warn, step)
    if not isinstance(ema, bool):
        like = next(iter(engine.abstract_state.ema.power.values()), Average({}, {}))
        made = posthoc_ema.reconstruct(run, int(state.step), ema, like, _warn)
        state = state.replace(ema=EMA(*made, power={}))
    elif not ema:
        state = state.replace(ema=EMA({}, {}, {}))
    if average != 1:
        state = checkpoint_mean(run, state, average, engine.abstract_state, _warn)
    tokenizer = _tokenizer(run)
    if data:
        _require_own(run, experiment, data_path)
    dataset = load_data(experiment.data, tokenizer=tokenizer) if data else None
    if dataset is not None:
        require_unchanged(dataset, spec, tokenizer)
    return OpenRun(engine, state, tokenizer, dataset)


def _require_own(run: Path, experiment: Experiment, data_path: str | None) -> None:
    """Raises UserError where a run of another user names files to read: they may be any that this user can read."""
    own = experiment.data if data_path is None else dataclasses.replace(experiment.data, path=None)
    tasks = [task.data for task in experiment.eval.tasks.values() if task.data]
    named = [place for data in (own, *tasks) for place in _places(data)]
    if named and hasattr(os, "getuid") and (run / CONFIG).stat().st_uid != os.getuid():
        raise UserError(
            f"'{run}' is a run of another user, and names data to read, {named[0]}: say where the data is, "
            "--data.path PATH, or copy the run to make it yours"
        )


def _places(data: Data) -> list[str]:
    """The files and folders that a data section names."""
    others = data.order.others if isinstance(data.order, Mixture) else ()
    source, place = data.source.partition(":")[::2]
    places = [data.path, *(other for other in others if not readers.is_source(other))]
    return [*filter(None, places), *([place] if source == "hf" and expanded(place).is_dir() else [])]


def _tokenizer(run: Path) -> Tokenizer | None:
    """The run's tokenizer. Raises UserError where it is not there, or not the one that the run was trained with."""
    tokenizer = load_tokenizer(run) if (run / TOKENIZER).exists() else None
    found = tokenizer and tokenizer.fingerprint
    if read_config(run).get("tokenizer", found) != found:
        state = "another tokenizer than" if tokenizer else "missing: it is"
        raise UserError(f"'{run / TOKENIZER}' is {state} the one that the run was trained with")
    return tokenizer


def _fitting_mesh(experiment: Experiment) -> tuple[Mesh, list]:
    """The run's own mesh over all devices where they and the batch allow it; else as many replicas as do."""
    devices, batch = jax.devices(), experiment.data.batch_size
    with contextlib.suppress(UserError):
        data, fsdp, _ = mesh_shape(experiment.mesh, len(devices))
        if batch % (data * fsdp) == 0:
            return experiment.mesh, devices
    return Mesh(), devices[: math.gcd(batch, len(devices))]


def _warn(message: str) -> None:
    print(f"genjax: {visible(message)}", file=sys.stderr)
