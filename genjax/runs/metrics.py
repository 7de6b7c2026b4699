"""The metrics of a run: records in metrics.jsonl, which TensorBoard and W&B get too."""

import contextlib
import errno
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

from genjax.errors import UserError
from genjax.files import require_file, write_atomic
from genjax.runs.sinks import Aside, TensorBoard, Wandb, wandb_asked

__all__ = ["METRICS", "MetricsWriter", "read_metrics"]

METRICS = "metrics.jsonl"


def read_metrics(out: Path) -> list[dict]:
    """The records of out/metrics.jsonl, in order; [] without the file. Values that were not finite are None.

    A torn last line, left by a killed run, is skipped; any other line that is no record raises UserError.
    """
    path = Path(out) / METRICS
    if not path.exists():
        return []
    require_file(path)
    lines = path.read_bytes().decode(errors="replace").split("\n")
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if not (isinstance(record, dict) and type(record.get("step")) is int and all(map(_fits, record.values()))):
                raise ValueError("no step, or a value that is no number")
        except (ValueError, RecursionError):
            if number == len(lines):  # a complete line ends in a newline, so an empty string comes last
                break
            raise UserError(f"{path}, line {number}, is not a metric record: delete that line") from None
        records.append(record)
    return records


def _fits(value: object) -> bool:
    return value is None or (type(value) in (int, float) and abs(value) <= sys.float_info.max)


class MetricsWriter:
    """Appends records to out/metrics.jsonl, to TensorBoard events in out/tensorboard/, and to W&B if it is asked for.

    With `resume_step`, records of later steps are dropped first, so that a resumed run has each step once.

    Args:
      say: told, in one line, of TensorBoard or W&B when they fail; the run goes on.

    Raises:
      UserError: metrics.jsonl cannot be written, here and in `write`; W&B is asked for and not installed.
    """

    def __init__(
        self,
        out: Path,
        *,
        tensorboard: bool = True,
        resume_step: int | None = None,
        say: Callable[[str], None] = lambda line: print(f"genjax: {line}", file=sys.stderr),
    ):
        out = Path(out)
        self._path, self._sinks = out / METRICS, []
        if self._path.exists():
            kept = [r for r in read_metrics(out) if resume_step is None or r["step"] <= resume_step]
            write_atomic(self._path, "".join(json.dumps(record) + "\n" for record in kept).encode())
        with self._disk():
            out.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)
        if wandb_asked():
            self._sinks.append(Aside("W&B", lambda: Wandb(out), say))
        if tensorboard:
            purge = None if resume_step is None else resume_step + 1  # hides what came after, as above
            self._sinks.append(Aside("TensorBoard", lambda: TensorBoard(out / "tensorboard", purge), say))

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Adds one record. NaN and infinities become null: JSON has no word for them."""
        values = {name: float(value) for name, value in metrics.items()}
        record = {"step": int(step)} | {k: v if math.isfinite(v) else None for k, v in values.items()}
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        with self._disk():
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for sink in self._sinks:
            sink.write(int(step), values)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        for sink in self._sinks:
            sink.close()

    @contextlib.contextmanager
    def _disk(self):
        try:
            yield
        except OSError as error:
            raise UserError(f"cannot write to '{self._path}': {error.strerror}; check the free space") from None
