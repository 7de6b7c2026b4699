"""Checkpoints with Orbax: the only module that knows it. The functions read, and write nothing; `Checkpoints` saves.

Beside the state stand its checksums (`genjax.runs.checks`).
"""

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from genjax.engine.state import TrainState
from genjax.errors import UserError
from genjax.files import read_json
from genjax.plain import read
from genjax.runs import checks
from genjax.runs.best import best_step, pick
from genjax.runtime import distributed

__all__ = ["FOLDER", "Checkpoints", "find", "log", "restore", "scores", "steps"]

FOLDER = "checkpoints"
UNREADABLE = ".unreadable"  # the ending of checkpoints that were set aside; Orbax passes over them


def steps(run: Path) -> list[int]:
    """The steps that have a checkpoint, oldest first; torn ones too."""
    folder = run / FOLDER
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []


def find(run: Path, which: str, best: tuple[str, str]) -> int | None:
    """The step that "latest", "best" or a number names; None = the newest that loads.

    Args:
      best: (validation metric, "min" or "max").

    Raises:
      UserError: there is no such checkpoint.
    """
    there = steps(run)
    if not there:
        raise UserError(f"'{run}' has no checkpoints yet: train it first")
    if which == "latest":
        return None
    metric, direction = best
    if which == "best":
        scored = scores(run, metric)
        if not scored:
            raise UserError(f"no checkpoint in '{run / FOLDER}' has a measured {metric}: use latest")
        return best_step(scored, direction)
    if which.isdecimal() and int(which) in there:
        return int(which)
    raise UserError(f"there is no checkpoint '{which}': there are latest, best, {str(there)[1:-1]}")


def scores(run: Path, metric: str) -> dict[int, float]:
    """Step -> the validation metric of its checkpoint, of those that were measured."""
    found = {step: pick(_metrics(run, step) or {}, metric) for step in steps(run)}
    return {step: score for step, score in found.items() if score is not None}


def restore(
    run: Path, abstract_state: TrainState, report: Callable[[str], None], step: int | None = None
) -> TrainState | None:
    """The newest checkpoint that loads (or the one of `step`), in the shardings of `abstract_state`.

    One that is torn, or whose arrays are not what was saved, is reported and passed over; one that the trainer deletes
    meanwhile is not there. None where there is no checkpoint at all.

    Raises:
      UserError: there are checkpoints and none of them loads.
    """
    tried: set[int] = set()
    while True:
        there = steps(run) if step is None else [step]
        newest = max((s for s in there if s not in tried), default=None)
        candidate = json.loads(distributed.gather(json.dumps(newest))[0])  # all processes take the same
        if candidate is None:
            break
        tried.add(candidate)
        state, reason = _load(run, candidate, abstract_state)
        reason = next(filter(None, distributed.gather(reason)), "") or checks.damage(_place(run, candidate), state)
        if not reason:
            return state
        if step is None and any(distributed.gather("gone" * (not _place(run, candidate).exists()))):
            continue  # the run goes on, and keeps its newest only: there is a newer one
        report(f"the checkpoint of step {candidate} does not load ({reason})" + " and is passed over" * (step is None))
    if step is not None:
        raise UserError(f"the checkpoint of step {step} does not load: there are {str(steps(run))[1:-1]}")
    if tried or any((run / FOLDER).glob(f"*{UNREADABLE}*")):
        raise UserError(f"none of the checkpoints in '{run / FOLDER}' loads")
    return None


def log(run: Path, step: int) -> dict[str, list[float]]:
    """What was given to `Checkpoints.save` as the log of a checkpoint."""
    return checks.log(_place(run, step))


def _load(run: Path, step: int, abstract_state: TrainState) -> tuple[TrainState | None, str]:
    """(state, "") of a checkpoint that loads; (None, reason) of another."""
    try:
        if reason := _torn(run, step):
            return None, reason
        loaded: dict[str, Any] = ocp.load(_place(run, step).absolute(), _pure(abstract_state))
        return abstract_state.replace(**loaded), ""
    except (MemoryError, jax.errors.JaxRuntimeError):  # says nothing of the checkpoint
        raise
    except Exception as error:  # Orbax and TensorStore raise errors of a dozen kinds for a torn checkpoint
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return None, lines[0].partition(" See full TensorStore details")[0][:200]


def _torn(run: Path, step: int) -> str:
    """Why a checkpoint cannot even be listed; "" where it can."""
    odd = (path for path in _place(run, step).rglob("*") if not path.is_file() and not path.is_dir())
    if pipe := next(odd, None):  # who opens it waits for ever
        return f"{pipe.name} is not a regular file"
    return "its metrics cannot be read" if _metrics(run, step) is None else ""


def _context() -> ocp.Context:
    """How arrays are written: the replicas of several processes share the work, those of one have no work to share.

    One save in some hundred of one process with eight devices, each of which wrote its part, lacked parts.
    """
    context = ocp.Context()
    context.array.saving.use_replica_parallel = jax.process_count() > 1
    return context


def _place(run: Path, step: int) -> Path:
    return run / FOLDER / str(step)


def _metrics(run: Path, step: int) -> dict[str, float] | None:
    """The metrics that were saved with a checkpoint, {} without any; None where they cannot be read."""
    file = _place(run, step) / "metrics" / "metrics"
    if not file.exists():
        return {}
    try:
        return read(dict[str, float], read_json(file), "")
    except UserError:
        return None


class Checkpoints:
    """Saves the checkpoints of a run asynchronously, and keeps the newest `keep` and the best one."""

    def __init__(self, run: Path, keep: int, best: tuple[str, str]):
        """Sets torn checkpoints aside, which Orbax could not list. `best` as in `find`.

        Raises UserError where the folder cannot be written.
        """
        metric, direction = best
        policies = ocp.training.preservation_policies
        worst = np.inf if direction == "min" else -np.inf
        self._run, self._pending = run, None
        try:
            torn = [step for step in steps(run) if _torn(run, step)] if _leads() else []
            self._torn = self._set_aside(torn)
            self._orbax = ocp.training.Checkpointer(
                (run / FOLDER).absolute(),
                # Saves are decided by the loop, never skipped because another one is under way.
                save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
                preservation_policy=policies.AnyPreservationPolicy(
                    [
                        policies.LatestN(keep),
                        policies.BestN(
                            get_metric_fn=lambda metrics: worst if (x := pick(metrics or {}, metric)) is None else x,
                            reverse=direction == "min",
                            n=1,
                            keep_checkpoints_without_metrics=False,
                        ),
                    ]
                ),
                cleanup_tmp_directories=True,
            )
        except OSError as error:
            raise UserError(f"cannot write checkpoints to '{run / FOLDER}': {error.strerror or error}") from error

    @property
    def steps(self) -> list[int]:
        """The steps that have a checkpoint, oldest first."""
        return [checkpoint.step for checkpoint in self._orbax.checkpoints]

    def save(
        self,
        step: int,
        state: TrainState,
        config: dict,
        metrics: dict[str, float],
        *,
        log: Mapping[str, list[float]] = {},
        wait: bool,
    ) -> None:
        """Starts a save, after the one before it has ended; `wait` for this one as well.

        Args:
          metrics: of validation, which the best checkpoint is chosen by.
          log: what the function `log` gives back.

        Raises UserError where the disk is full or read-only; the checkpoints there stay as they are.
        """
        self.wait()
        if step in self.steps:
            return
        if jax.default_backend() == "cpu":
            # Orbax would read the very buffers that the next step is given to overwrite.
            state = jax.tree.map(jnp.copy, state)
        with _disk_errors(self._orbax.directory), _context():
            self._pending = self._orbax.save_checkpointables_async(
                step,
                {"state": _pure(state), checks.FOLDER: checks.Checks(state, log)},
                force=True,
                metrics=metrics or None,
                custom_metadata={"config": config},
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

    def restore(self, abstract_state: TrainState, report: Callable[[str], None]) -> TrainState | None:
        """The function `restore`; those set aside at the start are reported too."""
        for torn, name in self._torn.items():
            report(f"the checkpoint of step {torn} is torn: set aside as '{name}'")
        return restore(self._run, abstract_state, report)

    def set_aside_after(self, step: int) -> None:
        """Renames the checkpoints newer than `step`, those that did not load, so that theirs can be saved again."""
        if newer := [s for s in self.steps if s > step]:
            self._set_aside(newer)
            self._orbax.reload()

    def _set_aside(self, torn: Collection[int]) -> dict[int, str]:
        """STEP becomes STEP.unreadable: nothing is lost. One process does it for all, and returns the new names."""
        folder, renamed = self._run / FOLDER, {}
        for step in torn if _leads() else ():
            names = (f"{step}{UNREADABLE}{number or ''}" for number in itertools.count())
            renamed[step] = next(name for name in names if not (folder / name).exists())
            os.rename(folder / str(step), folder / renamed[step])
        distributed.barrier("checkpoints set aside")
        return renamed

    def close(self) -> None:
        self.wait()
        with _disk_errors(self._orbax.directory):  # Orbax tells of a failed save once more
            self._orbax.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if error is None:
            self.close()
        elif not isinstance(
            error, distributed.DeviceError | jax.errors.JaxRuntimeError
        ):  # who is lost is not waited for
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self.close()


def _leads() -> bool:
    return jax.process_index() == 0


def _pure(state: TrainState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


@contextlib.contextmanager
def _disk_errors(path):
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        text = str(error).strip().splitlines()
        if distributed.lost_process(str(error)):
            raise distributed.DeviceError(str(error)) from error
        if isinstance(error, jax.errors.JaxRuntimeError):
            raise
        reason = "No space left on device" if "No space left" in str(error) else text[-1][:300] if text else ""
        raise UserError(f"cannot write to '{path}': {reason or type(error).__name__}") from error
