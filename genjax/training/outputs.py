"""What a run shows beside its weights: samples, a report, its environment. None of it ends a run that trains."""

import json
import math
from datetime import datetime
from pathlib import Path
from time import monotonic

import jax

from genjax.data import Dataset
from genjax.engine.engine import Engine
from genjax.engine.state import TrainState
from genjax.files import write_atomic
from genjax.runs.best import best_of
from genjax.runs.environment import environment
from genjax.runs.pages import DATA
from genjax.runs.report import write_report
from genjax.runtime.memory_use import peak_memory
from genjax.training.clock import Clock
from genjax.training.previews import Previews
from genjax.training.progress import Progress

__all__ = ["REPORT_SECONDS", "Outputs"]

REPORT_SECONDS = 60  # at least, between two reports of a run: drawing one takes about a second


class Outputs:
    """Every process has one; the first writes. What fails is said in a line of the progress."""

    def __init__(self, engine: Engine, dataset: Dataset, out: Path, progress: Progress, clock: Clock):
        self.engine, self.dataset, self.out, self.progress, self.clock = engine, dataset, out, progress, clock
        self.lead = jax.process_index() == 0
        started = datetime.now().isoformat(" ", "minutes")
        self.environment = {"started": started, **environment()} if self.lead else {}
        self.reported = -math.inf
        self.previews = None
        try:
            self.previews = Previews(engine, dataset)
        except Exception as error:
            self._say("no samples are drawn during training", error)

    def samples(self, step: int, state: TrainState) -> None:
        """Draws the previews of a step on all processes, and only then writes them, on one: it may fail alone."""
        if self.previews is None:
            return
        try:
            drawn = self.previews.draw(state)
            if self.lead:
                self._write(step, drawn)
        except Exception as error:
            if isinstance(error, jax.errors.JaxRuntimeError) and jax.process_count() > 1:
                raise  # another process may be gone
            self._say(f"no samples of step {step}", error)

    def _write(self, step: int, drawn: dict) -> None:
        folder = self.out / "samples"
        if not list(folder.glob(f"{DATA}.*")):
            self.previews.write_real(folder)
        for file in self.previews.write(folder, step, drawn):
            self.progress.message(f"step {step}  samples  {file}{_beginning(file)}")

    def report_due(self) -> bool:
        return self.lead and monotonic() - self.reported > REPORT_SECONDS

    def report(self) -> None:
        """environment.json and report.html, as of now."""
        self.reported = monotonic()
        environment = self.environment | {"compile_seconds": round(self.clock.seconds["compile"], 2)}
        environment["seconds"] = {part: round(seconds, 6) for part, seconds in self.clock.parts().items()}
        environment["peak_memory_bytes"], environment["peak_memory_of"] = peak_memory()
        if self.dataset.skipped:
            environment["skipped_files"] = list(self.dataset.skipped)
        try:
            write_atomic(self.out / "environment.json", json.dumps(environment, indent=2).encode())
            write_report(self.out, best=best_of(self.engine.experiment))
        except Exception as error:
            self._say("report not written", error)

    def _say(self, what: str, error: Exception) -> None:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        self.progress.message(f"{what}: {reason}")


def _beginning(file: Path) -> str:
    """The first words of a sheet of text, without its rule."""
    if file.suffix != ".txt":
        return ""
    words = " ".join(file.read_text("utf-8", "replace")[:600].split("\n")[1:5]).split()
    return f'  "{" ".join(words)[:60]}..."'
