"""Where the time of a training loop goes: to the steps themselves, or to what they had to wait for."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic

import jax

__all__ = ["Clock"]

WAITS = ("data", "log")  # within training; all other parts interrupt it


class Clock:
    """Seconds of the wall by part of the loop.

    A part counts only while no train step runs: a batch that is prepared behind a step costs nothing. Of the device the
    clock knows whether the step it was shown last has finished, which it asks at both ends of a part, and mostly when:
    a thread waits for it, but can tell the time only once the interpreter is free.

    Attributes:
      seconds: of each part so far; parts do not overlap.
      last: seconds of the last time each part was due.
    """

    def __init__(self):
        self.seconds: dict[str, float] = defaultdict(float)
        self.last: dict[str, float] = {}
        self._start = monotonic()
        self._watcher = ThreadPoolExecutor(1, "genjax-clock")
        self._result: jax.Array | None = None
        self._finished: Future[float] | None = None
        self._mark = (0.0, 0.0)

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Times what stands inside; parts do not nest."""
        idle, start = self._idle(), monotonic()
        try:
            yield
        finally:
            end = monotonic()
            self.last[part] = end - (start if idle else self._idle_since(start, end))
            self.seconds[part] += self.last[part]

    def watch(self, result: jax.Array) -> None:
        """Shows an array that the step dispatched last computes."""
        self._result, self._finished = result, self._watcher.submit(_time_of_completion, result)

    @property
    def training(self) -> float:
        """Seconds so far of steps and of what they wait for."""
        return monotonic() - self._start - sum(s for part, s in self.seconds.items() if part not in WAITS)

    def parts(self) -> dict[str, float]:
        """Seconds of every part, "steps" being what is left: together the time since the clock was made."""
        waits = sum(self.seconds.get(part, 0.0) for part in WAITS)
        return {"steps": self.training - waits, **self.seconds}

    def data_wait_fraction(self) -> float:
        """Share of training spent waiting for data, since this was asked last."""
        waited, training = self.seconds.get("data", 0.0), self.training
        (waited_before, training_before), self._mark = self._mark, (waited, training)
        return (waited - waited_before) / max(training - training_before, 1e-9)

    def close(self) -> None:
        self._watcher.shutdown(wait=False)

    def _idle(self) -> bool:
        return self._result is None or self._result.is_ready()

    def _idle_since(self, start: float, end: float) -> float:
        """When the step that ran at `start` finished; `end` while it still runs."""
        if not self._idle():
            return end
        if self._finished.done():
            return min(max(start, self._finished.result()), end)
        return (start + end) / 2  # Python code kept the watcher from telling: in the middle, one errs least


def _time_of_completion(result: jax.Array) -> float:
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # whoever reads the result is told
        result.block_until_ready()
    return monotonic()
