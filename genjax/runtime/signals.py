"""Ctrl-C, SIGTERM and SIGHUP: while there is nothing to save they end a process at once; then they ask it to stop.

Python runs its handlers between two steps of the interpreter, so never while XLA compiles, and code that is imported
swallows a KeyboardInterrupt or makes another error of it. The command line therefore has a thread that the kernel
wakes: it ends the process. Files are written whole or not at all, so that nothing is torn.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable

__all__ = ["Stop", "end_at_once", "leave"]

ORDERLY = 20.0  # seconds in which a process may end in order, with the others that it was started with

_stop: "Stop | None" = None  # what the signals of this process ask to stop
_watched = False  # whether there is the thread


def end_at_once() -> None:
    """From now on Ctrl-C ends the process whatever it does, but while a `Stop` is open; for the main thread."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a job in the background of a shell
        return
    global _watched
    _watched = True
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, lambda *_: None)
    threading.Thread(target=_watch, args=(read,), daemon=True, name="genjax-signals").start()


def leave(status: int, seconds: float = 0.0) -> None:
    """Ends the process with an exit status, at once or after `seconds`, whichever threads still run."""
    if seconds:
        timer = threading.Timer(seconds, leave, (status,))
        timer.daemon = True
        timer.start()
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(status)


class Stop:
    """A context in which the signals only ask to stop; a second Ctrl-C does not wait.

    Args:
      forward: called at a Ctrl-C or a SIGHUP, where other processes have to hear of them; SIGTERM is then left to who
        brings it to all.

    Attributes:
      asked: the signal that came, or None.
    """

    def __init__(self, forward: Callable[[], None] | None = None):
        self.asked: signal.Signals | None = None
        self._forward, self._handlers = forward, {}
        self.interrupts = 0

    def __enter__(self) -> "Stop":
        global _stop
        numbers = (signal.SIGINT, signal.SIGHUP) if self._forward else (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
        if threading.current_thread() is threading.main_thread():  # elsewhere the caller handles signals
            for number in numbers:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                    self._handlers[number] = signal.signal(number, self._ask)
            _stop = self
        return self

    def __exit__(self, *error) -> None:
        global _stop
        _stop = None
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame) -> None:
        if self.asked is not None and number == signal.SIGINT:
            if _watched:
                return
            raise KeyboardInterrupt
        self.asked = signal.Signals(number)
        if number == signal.SIGINT:
            _say("stopping after this step; Ctrl-C again ends at once, without saving")
        if self._forward:
            self._forward()


def _watch(read: int) -> None:
    while True:
        for number in os.read(read, 64):
            if number != signal.SIGINT:
                continue
            if _stop is not None:
                _stop.interrupts += 1
            if _stop is None or _stop.interrupts > 1:
                _say("interrupted")
                leave(1)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"genjax: {line}\n".encode())  # not print, which may be in the middle of another line
