"""One line on the terminal: the step, the losses, the speed, the time that is left."""

import contextlib
import math
import sys
from collections import deque
from time import monotonic

from tqdm import tqdm

from genjax.errors import visible

__all__ = ["Progress"]

BAR = 20  # columns, with the percentage: what says less makes room for it
LONG = 20 * 60  # seconds of a training that is long
_GONE = contextlib.suppress(OSError)  # a terminal that was closed, or a log on a full disk, ends no run


class Progress:
    """A live line in a terminal; elsewhere a plain line with new metrics, at most one in five seconds.

    The clock runs from the construction on and stands still between `pause` and `resume`, so that speeds are
    those of training alone. Wait for the device before `pause`, else steps under way count as pause. Where training
    will take long, that is said once, with `hint`, when ten seconds or 20 steps have told the speed.
    """

    def __init__(self, total_steps: int, start_step: int, batch_size: float, *, hint: str = "", stream=None):
        self._stream = stream or sys.stderr
        self._total, self._step, self._batch_size = total_steps, start_step, batch_size
        self._losses, self._hint = "", hint
        self._elapsed, self._since = 0.0, monotonic()  # training seconds before `since`; None = paused
        self._marks = deque([(0.0, start_step)], maxlen=20)  # (training seconds, step)
        self._shown = -math.inf
        self._bar = None
        if self._stream.isatty():
            layout = "{percentage:3.0f}%|{bar}| {desc}"
            self._bar = tqdm(
                total=total_steps,
                initial=start_step,
                file=self._stream,
                bar_format=layout,
                dynamic_ncols=True,
            )

    def update(self, step: int, metrics: dict[str, float] | None = None) -> None:
        """`step` steps are done; the losses among `metrics` (TURN/loss) are shown until the next come."""
        self._step = step
        if metrics:
            losses = (n for n in metrics if n.endswith("/loss") and not n.startswith("validation/"))
            self._losses = "".join(f"  {name} {metrics[name]:.4g}" for name in losses)
        if self._clock() - self._marks[-1][0] >= 0.5:
            self._marks.append((self._clock(), step))
        if self._hint and len(self._marks) == self._marks.maxlen:
            seconds, self._hint, hint = (self._total - step) / self.speed["steps_per_second"], "", self._hint
            if seconds > LONG:
                self.message(f"training will take {tqdm.format_interval(seconds)}: {hint}")
        now, last = monotonic(), step >= self._total
        if self._bar is not None and (last or now - self._shown >= 0.1):
            self._shown, self._bar.n = now, step
            with _GONE:
                self._bar.set_description_str(self._line())  # draws
        elif self._bar is None and metrics and (last or now - self._shown >= 5):
            self._shown = now
            with _GONE:
                print(self._line(), file=self._stream, flush=True)

    def message(self, text: str) -> None:
        """Prints a line of its own, above the live one."""
        text = visible(text)
        with _GONE:
            if self._bar is not None:
                self._bar.write(text, file=self._stream)
            else:
                print(text, file=self._stream, flush=True)

    def pause(self) -> None:
        """Stops the clock: for compilation, evaluation, sampling and checkpoints."""
        self._elapsed, self._since = self._clock(), None

    def resume(self) -> None:
        if self._since is None:
            self._since = monotonic()

    @property
    def speed(self) -> dict[str, float]:
        """Over the last ten seconds of training (20 updates, if they are slow); NaN before the first step."""
        seconds, step = self._marks[0]
        seconds = self._clock() - seconds
        rate = (self._step - step) / seconds if self._step > step and seconds > 0 else math.nan
        return {"steps_per_second": rate, "examples_per_second": rate * self._batch_size}

    def close(self) -> None:
        if self._bar is not None:
            with _GONE:
                self._bar.close()

    def _clock(self) -> float:
        return self._elapsed + (0.0 if self._since is None else monotonic() - self._since)

    def _line(self) -> str:
        step, (rate, examples) = f"step {self._step}/{self._total}", self.speed.values()
        if math.isnan(rate):
            return step + self._losses
        left = tqdm.format_interval((self._total - self._step) / rate)
        parts = [self._losses, f"  {rate:.3g} steps/s", f"  {examples:,.0f} examples/s"]  # the last are left out first
        while parts and len(step + "".join(parts) + left) > self._room():
            parts.pop()
        return f"{step}{''.join(parts)}  {left} left"

    def _room(self) -> float:
        """Columns of the line beside its bar; a log has any number."""
        if self._bar is None:
            return math.inf
        return (self._bar.format_dict["ncols"] or math.inf) - BAR - len("   left")
