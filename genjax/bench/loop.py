"""What a training loop spends beside its steps: waits for data, logging, and what is due at intervals."""

import dataclasses
import json
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from genjax import data
from genjax.engine.engine import Engine
from genjax.experiment import Experiment, Train
from genjax.runs.metrics import read_metrics
from genjax.spec import DataSpec
from genjax.training.loop import REPORT_SECONDS, run_loop

__all__ = ["TimedEngine", "measure_loop", "shortened"]


class TimedEngine(Engine):
    """An engine that notes when its steps are called (`called`, seconds)."""

    def __init__(self, experiment: Experiment, spec: DataSpec):
        super().__init__(experiment, spec)
        self.called: list[float] = []

    def step(self, state, batches, dues):
        self.called.append(monotonic())
        return super().step(state, batches, dues)


def shortened(intervals: Train, steps: int, per_call: int) -> Train:
    """A run of `steps` steps without a pause, then what is due at intervals, one call more, and the same again."""
    every = {name: steps for name in ("eval_every", "sample_every", "checkpoint_every")}
    log_every = min(intervals.log_every, max(1, steps // 2))  # the waits are read from the log
    return dataclasses.replace(intervals, steps=steps + per_call, log_every=log_every, init_from=(), **every)


def measure_loop(engine: TimedEngine, dataset: data.Dataset, recipe: str, intervals: Train) -> dict[str, Any]:
    """The training loop itself, by its own clock, as it would go on for long at the recipe's intervals.

    Steps and waits for data are those of the second half, when what had been read before the first step is used up.
    What an evaluation and a set of samples take is what they took the second time, when they were compiled, and what
    the loop waits for a checkpoint is that of the first time, when it was written in the background.

    Args:
      engine: of a `shortened` experiment, two calls before the pause at least.
      intervals: the recipe's own.
    """
    engine.called.clear()
    with tempfile.TemporaryDirectory(prefix="genjax-bench-") as folder:
        out = Path(folder) / "run"
        run_loop(engine, dataset, out, recipe=recipe)
        seconds = json.loads((out / "environment.json").read_text())["seconds"]
        records = read_metrics(out)
    *called, _ = engine.called  # the last one comes after the pause
    pause, half = engine.experiment.train.eval_every, len(called) // 2
    training = (called[-1] - called[half - 1]) / (len(called) - half) * len(called) / pause  # a step
    waits = {r["step"]: r["data_wait_fraction"] for r in records if "data_wait_fraction" in r}
    waiting = float(np.mean([share for step, share in waits.items() if pause / 2 < step <= pause]))
    waited, logged = waiting * training, seconds.get("log", 0.0) / len(waits) / intervals.log_every
    parts = {"steps": max(0.0, training - waited - logged), "data": waited, "log": logged}
    every = {
        "evaluate": (intervals.eval_every,),
        "sample": (intervals.sample_every,),
        "checkpoint": (intervals.checkpoint_every,),
    }
    every["report"] = sum(every.values(), ())  # with each of them, but not more often than REPORT_SECONDS
    for part, steps in every.items():
        took = [r[f"seconds/{part}"] for r in records if f"seconds/{part}" in r][0 if part == "checkpoint" else -1]
        times = _times_due(steps, intervals.steps)
        if part == "report":
            times = min(times, 1 + training * intervals.steps / REPORT_SECONDS)
        parts[part] = took * times / intervals.steps
    return {
        "steps": engine.experiment.train.steps,
        "steps_per_second": 1 / training,
        "data_wait_fraction": waiting,
        "seconds": seconds,
        "shares": {part: per_step / sum(parts.values()) for part, per_step in parts.items()},
    }


def _times_due(intervals: tuple[int, ...], steps: int) -> int:
    """At how many steps of a run something is due that is due at any of these intervals (0 = never) and at the end."""
    return len({steps}.union(*(range(every, steps, every) for every in intervals if every)))
