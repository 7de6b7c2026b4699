"""The one loop: batches in, steps dispatched, metrics read one step late, and what is due at intervals."""

import contextlib
import json
import math
import os
import signal
from pathlib import Path

import jax
import numpy as np

from genjax import data, recipes
from genjax.engine.engine import Engine
from genjax.engine.feed import feed
from genjax.engine.state import TrainState
from genjax.engine.step import due_turns
from genjax.errors import UserError
from genjax.evaluation.evaluate import Evaluation
from genjax.experiment import Experiment
from genjax.metrics.diversity import collapse
from genjax.runs import checkpoint, posthoc_ema
from genjax.runs import directory as runs
from genjax.runs.best import best_of, pick
from genjax.runs.charts import DETAILS
from genjax.runs.check import check, resolve
from genjax.runs.checkpoint import Checkpoints
from genjax.runs.initialize import initialize_from, tokenizer_for
from genjax.runs.lock import RunLock
from genjax.runs.metrics import MetricsWriter, read_metrics
from genjax.runs.sources import require_weights
from genjax.runs.weights import WEIGHTS, export_weights
from genjax.runtime import distributed
from genjax.runtime.host_memory import keep_freed_memory
from genjax.runtime.signals import Stop
from genjax.training.banner import banner, shorter
from genjax.training.clock import Clock
from genjax.training.outputs import REPORT_SECONDS, Outputs
from genjax.training.progress import Progress
from genjax.training.schedule import due, samples_due, steps_of_call
from genjax.training.utilization import Utilization

__all__ = ["REPORT_SECONDS", "run_loop", "train"]


def train(experiment: Experiment, out: str | Path, *, recipe: str = "custom") -> dict[str, float]:
    """Trains an experiment in the run directory `out`, resuming it where it has checkpoints.

    Returns:
      The validation metrics of the last step.

    Raises:
      UserError: anything outside that is wrong; a loss or gradient that is not finite; SIGTERM, SIGHUP or Ctrl-C, after
        the state was saved. The checkpoints that were there stay.
    """
    out = Path(out)
    distributed.initialize(experiment.mesh)
    with distributed.device_errors():
        with distributed.together():
            check(experiment)
            settings = runs.settings(experiment, out)
        distributed.require_same(settings)
        with distributed.together():
            dataset = data.load(experiment.data, tokenizer=tokenizer_for(out, experiment.train.init_from))
            experiment = resolve(experiment, dataset.spec)
            require_weights(experiment)
            engine = Engine(experiment, dataset.spec)
            engine.require_shapes(dataset.shapes(experiment.data.batch_size))
        return run_loop(engine, dataset, out, recipe=recipe)


def run_loop(engine: Engine, dataset: data.Dataset, out: Path, *, recipe: str = "custom") -> dict[str, float]:
    """`train`, once its data and its compiled functions are there."""
    experiment = engine.experiment
    if engine.platform == "cpu":
        keep_freed_memory()
    with contextlib.ExitStack() as stack:
        stack.enter_context(distributed.device_errors())
        with distributed.together():
            recipes.check_round_trip(experiment, dataset.spec)
            config = recipes.to_dict(
                experiment, recipe, dataset.spec, dataset.tokenizer and dataset.tokenizer.fingerprint
            )
            warning = ""
            if jax.process_index() == 0:
                runs.require_fitting(out, config)
                stack.enter_context(RunLock(out))  # it may have begun to train another configuration just now:
                warning = runs.prepare(out, config)
                if dataset.tokenizer is not None:
                    dataset.tokenizer.save(out)
        checkpoints = stack.enter_context(Checkpoints(out, experiment.train.keep, best_of(experiment)))
        session = stack.enter_context(_Session(engine, dataset, out, config, checkpoints, warning))
        return session.train()


class _Session:
    """One call of `train`: what the events of the loop share."""

    def __init__(
        self, engine: Engine, dataset: data.Dataset, out: Path, config: dict, checkpoints: Checkpoints, warning: str
    ):
        self.engine, self.dataset, self.out, self.config = engine, dataset, out, config
        self.experiment, self.checkpoints, self.warning = engine.experiment, checkpoints, warning
        self.lead = jax.process_index() == 0  # the process that writes logs and samples
        self.window: dict[str, list[float]] = {}  # metrics since the last record
        self.validation: dict[str, float] = {}
        self.saved, self.clock = 0, Clock()
        forward = (lambda: os.kill(os.getpid(), signal.SIGTERM)) if jax.process_count() > 1 else None
        self.stop = Stop(forward)  # JAX's coordination service brings a SIGTERM to all processes

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.clock.close()
        for writer in ("writer", "progress"):
            if hasattr(self, writer):
                getattr(self, writer).close()

    def train(self) -> dict[str, float]:
        train = self.experiment.train
        with self.clock("start"):
            state, both = self._start(), (self.engine, self.dataset)
            self.evaluation, self.utilization = Evaluation(*both), Utilization(*both)
            self.outputs = Outputs(*both, self.out, self.progress, self.clock)
        start = self.saved
        if start:
            self._complete(start, state)
        if start >= train.steps:
            self.progress.message(f"'{self.out}' is already trained for {start} steps; --train.steps can be larger")
        else:
            state = self._steps(start, state)
        if jax.process_count() == 1:
            export_weights(self.engine.model, state, self.out / WEIGHTS, self.dataset.tokenizer)
        return self.validation

    def _steps(self, step: int, state: TrainState) -> TrainState:
        train, batches = self.experiment.train, feed(self.engine, self.dataset, step)
        seen, pending, calls = set(), [], 0
        self.progress.resume()
        with contextlib.ExitStack() as stack:
            while step < train.steps:
                count = steps_of_call(step, train)
                dues = tuple(due_turns(self.experiment, s) for s in range(step, step + count))
                with self.clock("data" if seen else "start"):  # the first batch has the pipeline to start
                    call = [next(batches) for _ in dues]
                program = dues, tuple(x.shape for batch in call for x in batch.values())  # compiled at its first use
                with contextlib.nullcontext() if program in seen else self._part("compile"):
                    state, metrics = self.engine.step(state, call, dues)
                if not seen:
                    stack.enter_context(self.stop)  # from now on there is something to save
                seen.add(program)
                if metrics[-1]:
                    self.clock.watch(next(iter(metrics[-1].values())))
                # Step n is dispatched: now read what step n - 1 has left.
                self._read(pending)
                pending = [(step + 1 + i, values) for i, values in enumerate(metrics)]
                step += count
                last = step == train.steps
                stopping = not last and distributed.agree_to_stop(self.stop.asked is not None, calls := calls + 1)
                events = {
                    "evaluate": not stopping and (last or due(step, train.eval_every)),
                    "sample": not stopping and (last or samples_due(step, train)),
                    "checkpoint": stopping or last or due(step, train.checkpoint_every),
                }
                if any(events.values()):
                    self._read(pending)
                    pending = []
                    self._events(step, state, events, wait=last or stopping)
                if stopping:
                    name = self.stop.asked.name if self.stop.asked else "SIGTERM on one of the hosts"
                    raise UserError(f"stopped by {name} at step {step}, saved: the same command resumes")
        if skipped := list(self.dataset.skipped):
            self.progress.message(f"skipped {len(skipped)} unreadable file(s): {', '.join(skipped[:5])}")
        return state

    def _complete(self, step: int, state: TrainState) -> None:
        """What was due at the step of the checkpoint, and is not there: the run was ended between the two."""
        records = [record for record in read_metrics(self.out) if record["step"] == step] if self.lead else []
        found = {name: value for record in records for name, value in record.items() if value is not None}
        found = json.loads(distributed.gather(json.dumps(found))[0])
        prefix, train = "validation/", self.experiment.train
        measured = {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
        last = step == train.steps
        events = {
            "evaluate": (last or due(step, train.eval_every)) and not measured,
            "sample": (last or samples_due(step, train)) and "seconds/sample" not in found,
            "checkpoint": False,
        }
        self.validation = measured
        if any(events.values()) or (last and "seconds/report" not in found):
            self._events(step, state, events, wait=True)

    def _start(self) -> TrainState:
        """The newest checkpoint that loads, or the state before the first step."""
        messages = [self.warning] if self.warning else []
        state = self.checkpoints.restore(self.engine.abstract_state, messages.append)
        if state is None:
            state = self.engine.init()
            state = initialize_from(state, self.experiment.train.init_from, self.engine, self.dataset.tokenizer)
        else:
            self.saved = int(state.step)
            self.window = checkpoint.log(self.out, self.saved)
            self.checkpoints.set_aside_after(self.saved)
        train = self.experiment.train
        rows = self.dataset.mean_rows(self.experiment.data.batch_size)
        self.progress = Progress(train.steps, self.saved, rows, hint=shorter(self.engine.spec))
        self.progress.pause()
        for message in (*banner(self.engine, self.dataset, self.out, self.saved), *messages):
            self.progress.message(message)
        with distributed.together():
            if self.lead:
                posthoc_ema.discard_after(self.out, self.saved)
                self.writer = MetricsWriter(self.out, resume_step=self.saved, say=self.progress.message)
        return state

    def _read(self, pending: list[tuple[int, dict[str, jax.Array]]]) -> None:
        """Waits for the metrics of a call, checks that they are finite, and logs their means since the last record."""
        for step, metrics in pending:
            self._read_step(step, metrics, done=pending[-1][0])

    def _read_step(self, step: int, metrics: dict[str, jax.Array], done: int) -> None:
        """`done` steps are done: all of a call end at once."""
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise UserError(self._not_finite(step, name, value))
            self.window.setdefault(name, []).append(value)
        means = None
        if due(step, self.experiment.train.log_every):
            means = {name: float(np.mean(values)) for name, values in self.window.items()}
            self.window = {}
        if self.lead:
            with self.clock("log"):
                self.progress.update(done, means)
                if means:
                    self.writer.write(step, means | self._speed())

    def _speed(self) -> dict[str, float]:
        speed = {name: value for name, value in self.progress.speed.items() if math.isfinite(value)}
        speed |= self.utilization(speed.get("steps_per_second"))
        return speed | {"data_wait_fraction": self.clock.data_wait_fraction()}

    def _not_finite(self, step: int, name: str, value: float) -> str:
        turn, what = name.removeprefix("grad_norm/").split("/", 1)
        if name.startswith("grad_norm/"):
            what = f"gradient of {what}"
        kept = f"the checkpoint of step {self.saved} is kept" if self.saved else "there is no checkpoint yet"
        return f"step {step}, turn {turn}: {what} is {value}; {kept}. Try a smaller learning rate or --optim.clip-norm"

    def _events(self, step: int, state: TrainState, events: dict[str, bool], wait: bool) -> None:
        measured, failure = {}, None
        if events["evaluate"]:
            try:
                with self._part("evaluate"):
                    measured = self.evaluation(state)
                if not self.validation and pick(measured, best := best_of(self.experiment)[0]) is None:
                    there, system = ", ".join(measured) or "nothing", type(self.experiment.model).__name__
                    self.progress.message(
                        f"no checkpoint will be the best: {system}.best names `{best}`, and evaluation gives {there}"
                    )
                self.validation = measured
            except Exception as error:  # first the weights are saved
                failure = error
            if self.lead and not failure:
                self.writer.write(step, {f"validation/{name}": value for name, value in measured.items()})
                words = "  ".join(f"{n} {value:.4g}" for n, value in measured.items() if not n.endswith(DETAILS))
                self.progress.message(f"step {step}  validation  {words}")
                if warning := collapse(measured):
                    self.progress.message(warning)
        if events["checkpoint"]:
            finite = {name: value for name, value in measured.items() if math.isfinite(value)}
            with self._part("checkpoint"):
                posthoc_ema.save(self.out, step, state.ema.power)  # before the checkpoint: each one has its averages
                log = {name: list(values) for name, values in self.window.items()}
                self.checkpoints.save(step, state, self.config, finite, log=log, wait=wait or failure is not None)
            self.saved = step
        if failure:
            raise failure
        if events["sample"]:
            with self._part("sample"):
                self.outputs.samples(step, state)
        parts = [name for name in events if events[name]]
        if self.lead and (wait or self.outputs.report_due()):
            with self._part("report"):
                self.outputs.report()
            parts.append("report")
        if self.lead:
            self.writer.write(step, {f"seconds/{part}": self.clock.last[part] for part in parts})

    @contextlib.contextmanager
    def _part(self, name: str):
        """What interrupts training: its time is no part of the speed."""
        self.progress.pause()
        with self.clock(name):
            yield
        self.progress.resume()
