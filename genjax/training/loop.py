"""The one loop: batches in, steps dispatched, metrics read one step late, and what is due at intervals."""

import contextlib
import json
import math
import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import jax
import numpy as np

from genjax import data, recipes
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState, averaged
from genjax.engine.step import due_turns
from genjax.errors import UserError
from genjax.evaluation.evaluate import evaluate
from genjax.evaluation.sampling import conditions, draw
from genjax.experiment import Experiment, Train
from genjax.runs import directory as runs
from genjax.runs import posthoc_ema
from genjax.runs.checkpoint import WEIGHTS, Checkpoints, export_safetensors
from genjax.runs.log import MetricsWriter, Progress, read_metrics, write_atomic
from genjax.runs.report import write_report
from genjax.runs.restore import initialize_from
from genjax.runs.sheets import save_samples
from genjax.runtime import distributed
from genjax.runtime.host_memory import keep_freed_memory
from genjax.training.clock import Clock

REPORT_SECONDS = 60  # at least, between two reports of a run: drawing one takes about a second


def train(experiment: Experiment, out: str | Path, *, recipe: str = "custom") -> dict[str, float]:
    """Trains an experiment in the run directory `out`, resuming it where it has checkpoints.

    Returns:
      The validation metrics of the last step.

    Raises:
      UserError: anything outside that is wrong; a loss or gradient that is not finite; SIGTERM or Ctrl-C, after the
        state was saved. The checkpoints that were there stay.
    """
    distributed.initialize(experiment.mesh)
    dataset = data.load(experiment.data)
    experiment = runs.resolve(experiment, dataset.spec)
    runs.require_weights(experiment)
    return run_loop(Engine(experiment, dataset.spec), dataset, Path(out), recipe=recipe)


def run_loop(engine: Engine, dataset: data.Dataset, out: Path, *, recipe: str = "custom") -> dict[str, float]:
    """`train`, once its data and its compiled functions are there."""
    experiment = engine.experiment
    if engine.platform == "cpu":
        keep_freed_memory()
    config = recipes.to_dict(experiment, recipe, dataset.spec)
    if jax.process_index() == 0:
        runs.prepare(out, config)
        if dataset.tokenizer is not None:
            dataset.tokenizer.save(out)
    distributed.barrier("run directory")
    checkpoints = Checkpoints(out, experiment.train.keep, experiment.model.best)
    with (
        distributed.device_errors(),
        contextlib.closing(checkpoints),
        _Session(engine, dataset, out, config, checkpoints) as session,
    ):
        return session.train()


class _Session:
    """One call of `train`: what the events of the loop share."""

    def __init__(self, engine: Engine, dataset: data.Dataset, out: Path, config: dict, checkpoints: Checkpoints):
        self.engine, self.dataset, self.out, self.config = engine, dataset, out, config
        self.experiment, self.checkpoints = engine.experiment, checkpoints
        self.lead = jax.process_index() == 0  # the process that writes logs and samples
        self.window: dict[str, list[float]] = {}  # metrics since the last record
        self.validation: dict[str, float] = {}
        self.saved, self.clock = 0, Clock()
        self.reported = -math.inf  # when the report was written last
        self.stop = None  # the signal that asked to stop

    def __enter__(self):
        self._handlers = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
        if jax.process_count() > 1:
            del self._handlers[signal.SIGTERM]  # JAX's coordination service brings it to all processes
        with contextlib.suppress(ValueError):  # only the main thread may; elsewhere the caller handles signals
            for number in self._handlers:
                signal.signal(number, self._request_stop)
        return self

    def __exit__(self, *error):
        with contextlib.suppress(ValueError):
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
        self.clock.close()
        for writer in ("writer", "progress"):
            if hasattr(self, writer):
                getattr(self, writer).close()

    def _request_stop(self, number, frame):
        if self.stop is not None and number == signal.SIGINT:
            raise KeyboardInterrupt  # a second Ctrl-C does not wait
        self.stop = signal.Signals(number)

    def train(self) -> dict[str, float]:
        train = self.experiment.train
        with self.clock("start"):
            state = self._start()
            previews = self._previews()
        start = self.saved
        if start >= train.steps:
            self.progress.message(f"'{self.out}' is already trained for {start} steps; --train.steps can be larger")
            return self._complete(start, state, previews)
        batches = self._batches(start)
        seen, pending, step = set(), [], start
        self.progress.resume()
        while step < train.steps:
            count = steps_of_call(step, train)
            dues = tuple(due_turns(self.experiment, s) for s in range(step, step + count))
            with self.clock("data" if seen else "start"):  # the first batch has the pipeline to start
                call = [next(batches) for _ in dues]
            with contextlib.nullcontext() if dues in seen else self._part("compile"):
                state, metrics = self.engine.step(state, call, dues)
            seen.add(dues)
            if metrics[-1]:
                self.clock.watch(next(iter(metrics[-1].values())))
            # Step n is dispatched: now read what step n - 1 has left.
            self._read(pending)
            pending = [(step + 1 + i, values) for i, values in enumerate(metrics)]
            step += count
            last = step == train.steps
            stopping = not last and distributed.agree_to_stop(self.stop is not None, step)
            events = {
                "evaluate": not stopping and (last or _due(step, train.eval_every)),
                "sample": not stopping and (last or _due(step, train.sample_every)),
                "checkpoint": stopping or last or _due(step, train.checkpoint_every),
            }
            if any(events.values()):
                self._read(pending)
                pending = []
                self._events(step, state, events, previews, wait=last or stopping)
            if stopping:
                name = self.stop.name if self.stop else "SIGTERM on one of the hosts"
                raise UserError(f"stopped by {name} at step {step}, saved: the same command resumes")
        if self.dataset.skipped:
            names = ", ".join(list(self.dataset.skipped)[:5])
            self.progress.message(f"skipped {len(self.dataset.skipped)} unreadable file(s): {names}")
        self._export(state)
        return self.validation

    def _complete(self, step: int, state: TrainState, previews: dict) -> dict[str, float]:
        """What a run leaves behind its last checkpoint, where it was stopped between the two."""
        if jax.process_count() > 1:
            return self.validation
        records = [record for record in read_metrics(self.out) if record["step"] == step]
        if not any("seconds/report" in record for record in records):  # the last thing that is written
            self._events(step, state, {"evaluate": True, "sample": True, "checkpoint": False}, previews, wait=True)
        else:
            prefix = "validation/"
            values = {name: value for record in records for name, value in record.items() if name.startswith(prefix)}
            self.validation = {name.removeprefix(prefix): value for name, value in values.items()}
        self._export(state)
        return self.validation

    def _export(self, state: TrainState) -> None:
        if jax.process_count() == 1:
            export_safetensors(averaged(state)[0], self.out / WEIGHTS)

    def _start(self) -> TrainState:
        """The newest checkpoint that loads, or the state before the first step."""
        messages = []
        state = self.checkpoints.restore(self.engine.abstract_state, messages.append)
        if state is None:
            state = self.engine.init()
            state = initialize_from(state, self.experiment.train.init_from, self.engine)
        else:
            self.saved = int(state.step)
            self.checkpoints.set_aside_after(self.saved)
        train = self.experiment.train
        self.progress = Progress(train.steps, self.saved, self.experiment.data.batch_size)
        self.progress.pause()
        for message in messages:
            self.progress.message(message)
        if self.lead:
            posthoc_ema.discard_after(self.out, self.saved)
            self.environment = runs.environment()
            self.writer = MetricsWriter(self.out, resume_step=self.saved)
        if self.saved:
            self.progress.message(f"resuming '{self.out}' at step {self.saved}")
        return state

    def _batches(self, start: int) -> Iterator[dict[str, jax.Array]]:
        """Batches on the device, `data.prefetch` of them ahead of the step that uses them."""
        config = self.experiment.data
        host = data.train_batches(
            self.dataset,
            config.batch_size,
            self.experiment.train.seed,
            start_step=start,
            rows=self.engine.rows,
            workers=config.workers,
        )
        # One thread takes the batches in order: the step does not wait for Python to hand them over.
        pool = ThreadPoolExecutor(1, "genjax-batches")

        def ask() -> Future[dict[str, jax.Array]]:
            return pool.submit(lambda: self.engine.put(next(host)))

        try:
            ready = deque(ask() for _ in range(config.prefetch))
            while True:
                batch = ready.popleft().result()
                ready.append(ask())
                yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _previews(self) -> dict:
        """Conditions and options of the samples drawn during training: the same ones each time."""
        model, dataset, num = self.engine.model, self.dataset, self.experiment.eval.grid
        return {
            name: conditions(model, options, self.engine.spec, dataset, dataset.tokenizer, num)
            for name, options in model.previews.items()
        }

    def _read(self, pending: list[tuple[int, dict[str, jax.Array]]]) -> None:
        """Waits for the metrics of steps, checks that they are finite, and logs their means since the last record."""
        for step, metrics in pending:
            self._read_step(step, metrics)

    def _read_step(self, step: int, metrics: dict[str, jax.Array]) -> None:
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise UserError(self._not_finite(step, name, value))
            self.window.setdefault(name, []).append(value)
        means = None
        if _due(step, self.experiment.train.log_every):
            means = {name: float(np.mean(values)) for name, values in self.window.items()}
            self.window = {}
            speed = {k: v for k, v in self.progress.speed.items() if math.isfinite(v)}
            speed["data_wait_fraction"] = self.clock.data_wait_fraction()
        if self.lead:
            with self.clock("log"):
                if means:
                    self.writer.write(step, means | speed)
                self.progress.update(step, means)

    def _not_finite(self, step: int, name: str, value: float) -> str:
        turn, what = name.removeprefix("grad_norm/").split("/", 1)
        if name.startswith("grad_norm/"):
            what = f"gradient of {what}"
        kept = f"the checkpoint of step {self.saved} is kept" if self.saved else "there is no checkpoint yet"
        return f"step {step}, turn {turn}: {what} is {value}; {kept}. Try a smaller learning rate or --optim.clip-norm"

    def _events(self, step: int, state: TrainState, events: dict[str, bool], previews: dict, wait: bool) -> None:
        measured = {}
        if events["evaluate"]:
            with self._part("evaluate"):
                measured = self.validation = evaluate(self.engine, state, self.dataset)
            if self.lead:
                self.writer.write(step, {f"validation/{name}": value for name, value in measured.items()})
                words = "  ".join(f"{name} {value:.4g}" for name, value in measured.items() if "count" not in name)
                self.progress.message(f"step {step}  validation  {words}")
        if events["checkpoint"]:
            finite = {name: value for name, value in measured.items() if math.isfinite(value)}
            with self._part("checkpoint"):
                posthoc_ema.save(self.out, step, state.ema.power)  # before the checkpoint: each one has its averages
                self.checkpoints.save(step, state, self.config, finite, wait=wait)
            self.saved = step
        if events["sample"]:
            with self._part("sample"):
                self._sample(step, state, previews)
        parts = [name for name in events if events[name]]
        if self.lead and (wait or monotonic() - self.reported > REPORT_SECONDS):
            with self._part("report"):
                self._describe()
            parts, self.reported = [*parts, "report"], monotonic()
        if self.lead:
            self.writer.write(step, {f"seconds/{part}": self.clock.last[part] for part in parts})

    def _sample(self, step: int, state: TrainState, previews: dict) -> None:
        for name, (given, options) in previews.items():
            outputs = draw(self.engine, state, self.experiment.eval.grid, seed=0, options=options, given=given)
            if self.lead:
                suffix = "" if name == "sample" else f"-{name}"
                save_samples(self.out / "samples" / f"{step}{suffix}", outputs, self.dataset.tokenizer)

    def _describe(self) -> None:
        """environment.json and report.html, as of now."""
        environment = self.environment | {"compile_seconds": round(self.clock.seconds["compile"], 2)}
        environment["seconds"] = {part: round(seconds, 6) for part, seconds in self.clock.parts().items()}
        if self.dataset.skipped:
            environment["skipped_files"] = list(self.dataset.skipped)
        try:
            write_atomic(self.out / "environment.json", json.dumps(environment, indent=2).encode())
            write_report(self.out, best=self.engine.model.best)
        except (OSError, UserError) as error:  # a page is no reason to lose a run
            self.progress.message(f"report not written: {error}")

    @contextlib.contextmanager
    def _part(self, name: str):
        """What interrupts training: its time is no part of the speed."""
        self.progress.pause()
        with self.clock(name):
            yield
        self.progress.resume()


def steps_of_call(step: int, train: Train) -> int:
    """How many steps the next call takes: up to `train.steps_per_call`, not past the next event."""
    left = [every - step % every for every in (train.eval_every, train.sample_every, train.checkpoint_every) if every]
    return min(train.steps_per_call, train.steps - step, *left)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
