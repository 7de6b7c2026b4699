"""Where metrics go besides metrics.jsonl: TensorBoard and W&B. None of them can stop or fail a run."""

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from genjax.errors import UserError

__all__ = ["Aside", "Sink", "TensorBoard", "Wandb", "wandb_asked"]

WAITING, CLOSING = 1000, 30.0  # records that wait for a slow sink; seconds that the end of a run waits for it
FLUSH_SECONDS = 10.0


class Sink(Protocol):
    def write(self, step: int, values: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class Aside:
    """A sink on a thread of its own, which gives up at its first failure or when it is too slow, and says so once.

    The sink is made with the first record: tensorboardX imports PyTorch where that is installed, seconds of work that
    would delay the first step.
    """

    def __init__(self, name: str, make: Callable[[], Sink], say: Callable[[str], None]):
        self._name, self._say = name, say
        self._records: queue.Queue = queue.Queue(WAITING)
        self._over = False
        self._thread = threading.Thread(target=self._work, args=(make,), daemon=True, name=f"genjax-{name}")
        self._thread.start()

    def write(self, step: int, values: dict[str, float]) -> None:
        if self._over:
            return
        try:
            self._records.put_nowait((step, values))
        except queue.Full:
            self._give_up("it is too slow")

    def close(self) -> None:
        """Waits for what is under way, but not for ever."""
        with contextlib.suppress(queue.Full):
            self._records.put_nowait(None)
            self._thread.join(CLOSING)

    def _work(self, make: Callable[[], Sink]) -> None:
        try:
            sink = None
            while (record := self._records.get()) is not None and not self._over:
                sink = sink or make()
                sink.write(*record)
            if sink:
                sink.close()
        except Exception as error:
            self._give_up(str(error) or type(error).__name__)

    def _give_up(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._say(f"{self._name} gets no more metrics: {reason.splitlines()[0][:200]}")


class TensorBoard:
    """Events in a folder, written at once: tensorboardX's own thread would block a run when the disk is full."""

    def __init__(self, folder: Path, purge_step: int | None):
        """With `purge_step` TensorBoard hides what earlier files have of this step and later ones."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        folder.mkdir(parents=True, exist_ok=True)
        self._file, self._event = EventsWriter(str(folder / "events")), event_pb2.Event
        self._flushed = time.monotonic()
        if purge_step is not None:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._file.write_event(event_pb2.Event(wall_time=time.time(), step=purge_step, session_log=start))

    def write(self, step: int, values: dict[str, float]) -> None:
        from tensorboardX.summary import scalar

        for name, value in values.items():
            event = self._event(wall_time=time.time(), step=step, summary=scalar(name, value))
            self._file.write_event(event)
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._file.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        self._file.close()


class Wandb:
    """A run of Weights and Biases."""

    def __init__(self, out: Path):
        import wandb

        config = out / "config.json"
        config = json.loads(config.read_text()) if config.exists() else None
        self._run = wandb.init(dir=str(out), name=out.resolve().name, config=config)

    def write(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def close(self) -> None:
        self._run.finish()


def wandb_asked() -> bool:
    """Whether the environment asks for W&B: WANDB_PROJECT or WANDB_MODE is set (a key alone asks for nothing).

    Raises UserError where it does, and wandb is not installed.
    """
    if not (os.environ.get("WANDB_PROJECT") or os.environ.get("WANDB_MODE", "disabled") != "disabled"):
        return False
    try:
        import wandb  # noqa: F401
    except ImportError:
        raise UserError("WANDB_PROJECT or WANDB_MODE is set but wandb is missing: install it or unset them") from None
    return True
