"""What a run says while it trains: metric records on disk and one line of progress on the terminal."""

import contextlib
import json
import math
import os
import sys
from collections import deque
from pathlib import Path
from time import monotonic

from tqdm import tqdm

from genjax.errors import UserError

METRICS = "metrics.jsonl"


def write_atomic(path: Path, data: bytes) -> Path:
    """Writes the whole file or nothing: a reader never sees half of it. Raises UserError where it cannot."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(f"cannot write {path}: {error.strerror}; check the folder and the free space") from None
    return path


def read_metrics(out: Path) -> list[dict]:
    """The records of out/metrics.jsonl, in order; [] without the file. Values that were not finite are None.

    A torn last line, left by a killed run, is skipped; any other line that is no record raises UserError.
    """
    path = Path(out) / METRICS
    if not path.exists():
        return []
    lines = path.read_bytes().decode(errors="replace").split("\n")
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if not (isinstance(record, dict) and isinstance(record.get("step"), int)):
                raise ValueError("no step")
        except ValueError:
            if number == len(lines):  # a complete line ends in a newline, so an empty string comes last
                break
            raise UserError(f"{path}, line {number}, is not a metric record: delete that line") from None
        records.append(record)
    return records


class MetricsWriter:
    """Appends records to out/metrics.jsonl, to TensorBoard events in out/tensorboard/, and to W&B.

    W&B is asked for by the environment: WANDB_PROJECT or WANDB_MODE is set (a key alone asks for nothing).
    With `resume_step`, records of later steps are dropped first, so that a resumed run has each step once.
    """

    def __init__(self, out: Path, *, tensorboard: bool = True, resume_step: int | None = None):
        out = Path(out)
        path = out / METRICS
        if path.exists():
            kept = [r for r in read_metrics(out) if resume_step is None or r["step"] <= resume_step]
            write_atomic(path, "".join(json.dumps(record) + "\n" for record in kept).encode())
        out.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._wandb = _wandb_run(out)
        self._events = None
        if tensorboard:
            from tensorboardX import SummaryWriter

            purge = None if resume_step is None else resume_step + 1  # hides what came after, as above
            self._events = SummaryWriter(str(out / "tensorboard"), purge_step=purge, flush_secs=10)

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Adds one record. NaN and infinities become null: JSON has no word for them."""
        values = {name: float(value) for name, value in metrics.items()}
        record = {"step": int(step)} | {k: v if math.isfinite(v) else None for k, v in values.items()}
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()
        if self._events:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)
        if self._wandb:
            self._wandb.log(values, step=int(step))

    def close(self) -> None:
        self._file.close()
        if self._events:
            self._events.close()
        if self._wandb:
            self._wandb.finish()


def _wandb_run(out: Path):
    if not (os.environ.get("WANDB_PROJECT") or os.environ.get("WANDB_MODE", "disabled") != "disabled"):
        return None
    try:
        import wandb
    except ImportError:
        raise UserError("WANDB_PROJECT or WANDB_MODE is set but wandb is missing: install it or unset them") from None
    config = out / "config.json"
    config = json.loads(config.read_text()) if config.exists() else None
    return wandb.init(dir=str(out), name=out.resolve().name, config=config)


class Progress:
    """A live line in a terminal; elsewhere a plain line with new metrics, at most one in five seconds.

    The clock runs from the construction on and stands still between `pause` and `resume`, so that speeds are
    those of training alone. Wait for the device before `pause`, else steps under way count as pause.
    """

    def __init__(self, total_steps: int, start_step: int, batch_size: int, *, stream=None):
        self._stream = stream or sys.stderr
        self._total, self._step, self._batch_size = total_steps, start_step, batch_size
        self._losses = ""
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
        now, last = monotonic(), step >= self._total
        if self._bar is not None and (last or now - self._shown >= 0.1):
            self._shown, self._bar.n = now, step
            self._bar.set_description_str(self._line())  # draws
        elif self._bar is None and metrics and (last or now - self._shown >= 5):
            self._shown = now
            print(self._line(), file=self._stream, flush=True)

    def message(self, text: str) -> None:
        """Prints a line of its own, above the live one."""
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
            self._bar.close()

    def _clock(self) -> float:
        return self._elapsed + (0.0 if self._since is None else monotonic() - self._since)

    def _line(self) -> str:
        text = f"step {self._step}/{self._total}{self._losses}"
        rate, examples = self.speed.values()
        if math.isnan(rate):
            return text
        left = tqdm.format_interval((self._total - self._step) / rate)
        return f"{text}  {rate:.3g} steps/s  {examples:,.0f} examples/s  {left} left"
