"""The line that tells how training goes."""

import io
import math
import types

import pytest

from genjax.training import progress as module
from genjax.training.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    now = types.SimpleNamespace(time=0.0)
    monkeypatch.setattr(module, "monotonic", lambda: now.time)
    return now


def test_speed_is_of_training_alone(clock):
    progress = Progress(100, 20, batch_size=8, stream=io.StringIO())
    assert math.isnan(progress.speed["steps_per_second"])
    progress.pause()  # compilation
    clock.time += 60
    progress.pause()  # twice is once
    progress.resume()
    for step in range(21, 31):
        clock.time += 0.25
        progress.update(step)
        progress.resume()  # while it runs: nothing
    progress.pause()  # evaluation
    clock.time += 100
    assert progress.speed == {
        "steps_per_second": pytest.approx(4.0),
        "examples_per_second": pytest.approx(32.0),
    }


def test_speed_forgets_what_is_long_past(clock):
    progress = Progress(10_000, 0, batch_size=1, stream=io.StringIO())
    for step in range(1, 101):
        clock.time += 1.0 if step <= 50 else 0.5
        progress.update(step)
    assert progress.speed["steps_per_second"] == pytest.approx(2.0)


def test_lines_in_a_pipe_are_few_and_whole(clock):
    stream = io.StringIO()
    progress = Progress(100, 0, batch_size=4, stream=stream)
    for step in range(1, 101):
        clock.time += 0.25
        metrics = {"elbo/loss": 1234.56789, "elbo/kl": 1.0, "validation/loss": 2.0} if step % 5 == 0 else None
        progress.update(step, metrics)
        if step == 50:
            progress.message("step 50  validation/loss 2")
    progress.close()
    assert stream.getvalue().splitlines() == [
        "step 5/100  elbo/loss 1235  4 steps/s  16 examples/s  00:23 left",
        "step 25/100  elbo/loss 1235  4 steps/s  16 examples/s  00:18 left",
        "step 45/100  elbo/loss 1235  4 steps/s  16 examples/s  00:13 left",
        "step 50  validation/loss 2",
        "step 65/100  elbo/loss 1235  4 steps/s  16 examples/s  00:08 left",
        "step 85/100  elbo/loss 1235  4 steps/s  16 examples/s  00:03 left",
        "step 100/100  elbo/loss 1235  4 steps/s  16 examples/s  00:00 left",
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_live_line_is_redrawn_and_not_torn_by_messages(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    progress = Progress(40, 0, batch_size=2, stream=stream)
    for step in range(1, 41):
        clock.time += 0.05
        progress.update(step, {"generator/loss": 0.5} if step % 10 == 0 else None)
        if step == 20:
            progress.message("checkpoint saved")
    progress.close()
    text = stream.getvalue()
    assert "\rcheckpoint saved\n" in text  # begins where the cleared line began, and ends its own
    assert text.count("\n") == 2  # the message's, and the one that leaves the last state of the line standing
    last = text.rstrip().split("\r")[-1]
    assert last.startswith("100%") and "step 40/40  generator/loss 0.5  20 steps/s  40 examples/s" in last


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_that_was_closed_ends_no_run(terminal):
    class Closed(io.StringIO):
        def isatty(self):
            return terminal

        def write(self, text):
            if self.closing:
                raise OSError(5, "Input/output error")
            return super().write(text)

        closing = False

    progress = Progress(2, 0, 4, stream=(stream := Closed()))
    stream.closing = True
    progress.update(2, {"elbo/loss": 1.0})
    progress.message("done")
    progress.close()


@pytest.mark.parametrize(("steps", "said"), [(10_000, ["training will take 41:30: use less"]), (4_000, [])])
def test_a_long_training_is_announced_once_it_is_known(clock, steps, said):
    progress = Progress(steps, 0, batch_size=1, hint="use less", stream=(stream := io.StringIO()))
    for step in range(1, 100):
        clock.time += 0.25
        progress.update(step)
    assert stream.getvalue().splitlines() == said


def test_a_slow_first_step_announces_nothing(clock):
    progress = Progress(500, 0, batch_size=1, hint="use less", stream=(stream := io.StringIO()))
    for step in range(1, 50):
        clock.time += 15 if step == 1 else 0.5
        progress.update(step)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("columns, words", [(120, "examples/s"), (80, "steps/s"), (70, "loss"), (48, "left")])
def test_a_narrow_terminal_has_a_bar_and_the_time_left(clock, monkeypatch, columns, words):
    terminal = Terminal()
    progress = Progress(2000, 0, batch_size=16, stream=terminal)
    progress._bar.dynamic_ncols = lambda stream: (columns - 1, 24)
    clock.time += 10
    progress.update(20, {"denoise/loss": 0.51234})
    line = terminal.getvalue().rpartition("\r")[2].removesuffix("\x1b[A")  # another bar stands above
    assert len(line) < columns and words in line and "step 20/2000" in line and line.endswith("16:30 left")
    bar = line.partition("|")[2].partition("|")[0]
    assert len(bar) >= 12
    progress.close()
