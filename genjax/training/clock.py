"""Where the time of a training loop goes: to the steps themselves, or to what they had to wait for."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic

import jax

WAITS = ("data", "log")  # within training; all other parts interrupt it


class Clock:
    """Seconds of the wall by part of the loop.

    A part counts only while no train step runs: a batch that is prepared behind a step costs nothing. What the clock
    knows of the device is the time at which the step it was shown last had finished.

    Attributes:
      seconds: of each part so far; parts do not overlap.
      last: seconds of the last time each part was due.
    """

    def __init__(self):
        self.seconds: dict[str, float] = defaultdict(float)
        self.last: dict[str, float] = {}
        self._start = monotonic()
        self._watcher = ThreadPoolExecutor(1, "genjax-clock")
        self._finished: Future | None = None
        self._mark = (0.0, 0.0)

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Times what stands inside; parts do not nest."""
        start = monotonic()
        try:
            yield
        finally:
            end = monotonic()
            self.last[part] = max(0.0, end - max(start, self._idle_since(end)))
            self.seconds[part] += self.last[part]

    def watch(self, result: jax.Array) -> None:
        """Shows an array that the step dispatched last computes."""
        self._finished = self._watcher.submit(_time_of_completion, result)

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

    def _idle_since(self, now: float) -> float:
        """When the last step finished; `now` while it still runs."""
        if self._finished is None:
            return 0.0
        return self._finished.result() if self._finished.done() else now


def _time_of_completion(result: jax.Array) -> float:
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # whoever reads the result is told
        result.block_until_ready()
    return monotonic()
