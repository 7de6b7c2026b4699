"""Checkpoints with Orbax, and weights alone as safetensors. One thin module: nothing else knows Orbax."""

import contextlib
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from genjax.engine.state import TrainState
from genjax.errors import UserError
from genjax.runtime import distributed

FOLDER = "checkpoints"
WEIGHTS = "weights.safetensors"


class Checkpoints:
    """The checkpoints of a run: saved asynchronously, the newest `keep` and the best one kept."""

    def __init__(self, run: Path, keep: int, best: tuple[str, str], *, write: bool = True):
        """`best` = (validation metric, "min" or "max"); `write=False` leaves alone what a training run is writing.

        Raises UserError where the folder cannot be written.
        """
        metric, direction = self._best = best
        policies = ocp.training.preservation_policies
        worst = np.inf if direction == "min" else -np.inf
        try:
            self._torn = self._set_aside(run / FOLDER, lambda: _torn_steps(run / FOLDER))
            self._orbax = ocp.training.Checkpointer(
                (run / FOLDER).absolute(),
                # Saves are decided by the loop, never skipped because another one is under way.
                save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
                preservation_policy=policies.AnyPreservationPolicy(
                    [
                        policies.LatestN(keep),
                        policies.BestN(
                            get_metric_fn=lambda metrics: (metrics or {}).get(metric, worst),
                            reverse=direction == "min",
                            n=1,
                            keep_checkpoints_without_metrics=False,
                        ),
                    ]
                ),
                cleanup_tmp_directories=write,
            )
        except OSError as error:
            raise UserError(f"cannot write checkpoints to '{run / FOLDER}': {error.strerror or error}") from error
        self._pending = None

    @property
    def steps(self) -> list[int]:
        """The steps that have a checkpoint, oldest first."""
        return [checkpoint.step for checkpoint in self._orbax.checkpoints]

    def find(self, which: str) -> int | None:
        """The step that "latest", "best" or a number names; None = the newest that loads.

        Raises UserError where there is no such checkpoint.
        """
        if not self.steps:
            raise UserError(f"no checkpoints in '{self._orbax.directory}' yet: train first")
        if which == "latest":
            return None
        metric, direction = self._best
        if which == "best":
            scored = [(c.metrics[metric], c.step) for c in self._orbax.checkpoints if metric in (c.metrics or {})]
            if not scored:
                raise UserError(f"no checkpoint in '{self._orbax.directory}' has a measured {metric}: use latest")
            return (min if direction == "min" else max)(scored)[1]
        if which.isdecimal() and int(which) in self.steps:
            return int(which)
        raise UserError(f"there is no checkpoint '{which}': there are latest, best, {str(self.steps)[1:-1]}")

    def save(self, step: int, state: TrainState, config: dict, metrics: dict[str, float], *, wait: bool) -> None:
        """Starts a save, after the one before it has ended; `wait` for this one as well.

        Raises UserError where the disk is full or read-only; the checkpoints there stay as they are.
        """
        self.wait()
        if step in self.steps:
            return
        if jax.default_backend() == "cpu":
            # Orbax would read the very buffers that the next step is given to overwrite.
            state = jax.tree.map(jnp.copy, state)
        with _disk_errors(self._orbax.directory):
            self._pending = self._orbax.save_async(
                step, _pure(state), force=True, metrics=metrics or None, custom_metadata={"config": config}
            )
            if self._pending is None:
                raise UserError(f"the checkpoint of step {step} was not saved")
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until the save under way has ended. Raises UserError where it failed."""
        pending, self._pending = self._pending, None
        if pending is not None:
            with _disk_errors(self._orbax.directory):
                pending.result()

    def restore(
        self, abstract_state: TrainState, report: Callable[[str], None], step: int | None = None
    ) -> TrainState | None:
        """The newest checkpoint that loads (or the one of `step`), in the shardings of `abstract_state`.

        A torn or corrupt one is reported, and the one before it is tried. None where there is no checkpoint at all.

        Raises:
          UserError: there are checkpoints and none of them loads.
        """
        steps = self.steps if step is None else [step]
        for torn, name in self._torn.items():
            report(f"checkpoint of step {torn} is torn: set aside as '{name}'")
        for candidate in reversed(steps):
            try:
                return abstract_state.replace(**self._orbax.load(candidate, _pure(abstract_state)))
            except (MemoryError, jax.errors.JaxRuntimeError):  # says nothing of the checkpoint
                raise
            except Exception as error:  # Orbax and TensorStore raise errors of a dozen kinds for a torn checkpoint
                reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
                report(f"checkpoint of step {candidate} does not load ({reason})")
        if step is not None:
            raise UserError(f"the checkpoint of step {step} does not load: there are {str(self.steps)[1:-1]}")
        if steps or any(self._orbax.directory.glob("*.unreadable*")):
            raise UserError(f"none of the checkpoints in '{self._orbax.directory}' loads")
        return None

    def set_aside_after(self, step: int) -> None:
        """Renames the checkpoints newer than `step`, those that did not load, so that theirs can be saved again."""
        if newer := [s for s in self.steps if s > step]:
            self._set_aside(self._orbax.directory, lambda: newer)
            self._orbax.reload()

    def _set_aside(self, folder: Path, steps: Callable[[], list[int]]) -> dict[int, str]:
        """STEP becomes STEP.unreadable, which Orbax passes over: nothing is lost. One process does it for all.

        Returns the new names, in that process.
        """
        renamed = {}
        if jax.process_index() == 0:
            for step in steps():
                names = (f"{step}.unreadable{number or ''}" for number in itertools.count())
                free = next(name for name in names if not (folder / name).exists())
                os.rename(folder / str(step), folder / free)
                renamed[step] = free
        distributed.barrier("checkpoints set aside")
        return renamed

    def close(self) -> None:
        self.wait()
        with _disk_errors(self._orbax.directory):  # Orbax tells of a failed save once more
            self._orbax.close()


def _torn_steps(folder: Path) -> list[int]:
    """The checkpoints whose metrics cannot be read: Orbax reads all of them at once, and would list none."""
    torn = []
    for file in folder.glob("*/metrics/metrics"):
        step = file.parts[-3]
        try:
            json.loads(file.read_bytes())
        except ValueError:
            torn += [int(step)] if step.isdecimal() else []
    return torn


def export_safetensors(params: dict[str, Any], file: Path) -> None:
    """Writes weights alone, named `entry/module/.../name`, atomically.

    Raises UserError where the file cannot be written; one that was there stays.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    flat = flax.traverse_util.flatten_dict(jax.device_get(params), sep="/")
    temporary = file.with_name(file.name + ".tmp")
    try:
        with _disk_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file({name: np.asarray(value, order="C") for name, value in flat.items()}, temporary)
            os.replace(temporary, file)
    except SafetensorError as error:  # wraps the errors of the disk, and is no OSError
        raise UserError(f"cannot write to '{file}': {error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def load_safetensors(file: Path) -> dict[str, Any]:
    """The tree that `export_safetensors` wrote. Raises UserError where the file is missing or not of that kind."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        flat = load_file(file)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read weights from '{file}': {error}") from error
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def _pure(state: TrainState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


@contextlib.contextmanager
def _disk_errors(path):
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError) as error:
        text = str(error).strip().splitlines()
        raise UserError(f"cannot write to '{path}': {text[-1][:300] if text else type(error).__name__}") from error
