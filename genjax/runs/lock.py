"""One trainer a run directory: a lock that a crash leaves behind is stale, one of another host is respected.

The kernel holds the lock (flock) and lets it go when its process ends, however that happens. File systems over the
network may not carry it to other hosts: the file therefore says who holds it, and its time is renewed.
"""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from pathlib import Path

from genjax.errors import UserError
from genjax.files import lives

__all__ = ["LOCK", "RunLock"]

LOCK = ".lock"
BEAT, STALE = 10.0, 60.0  # seconds between renewals, and without one until a holder on another host counts as dead


class RunLock:
    """Held from the construction to `close`.

    Raises UserError where another trainer holds it, which is named, or where the folder cannot be written.
    """

    def __init__(self, run: Path):
        self._file = run / LOCK
        try:
            run.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._locked()
            os.truncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(_me()).encode(), 0)
        except OSError as error:
            raise UserError(f"cannot write '{self._file}': {error.strerror or error}") from error
        self._closed = threading.Event()
        threading.Thread(target=self._renew, daemon=True, name="genjax-lock").start()

    def close(self) -> None:
        """Lets the next one in."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._file.unlink()
        os.close(self._descriptor)

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def _locked(self) -> int:
        while True:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            try:
                self._take(descriptor)
                if os.path.samestat(os.fstat(descriptor), os.stat(self._file)):
                    return descriptor
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # the one who had it has just removed the file: this lock is of nothing

    def _take(self, descriptor: int) -> None:
        """Locks the file. Raises UserError where somebody else has it."""
        alone = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._held(_holder(descriptor)) from None
        except OSError:  # a file system without locks
            alone = False
        holder = _holder(descriptor)
        if not holder:
            return
        here = holder.get("boot") == _me()["boot"]
        if here and (alone or not _lives(holder)):
            return
        if here or self._now() - os.fstat(descriptor).st_mtime < STALE:
            raise self._held(holder)

    def _held(self, holder: dict) -> UserError:
        who = f"process {holder['pid']} on {holder['host']}" if {"pid", "host"} <= holder.keys() else "another process"
        return UserError(
            f"'{self._file.parent}' is being trained by {who}: wait for its end, or choose another --out. A trainer "
            f"that has died on another host is noticed after {STALE:.0f} seconds"
        )

    def _now(self) -> float:
        """The time of the file system, whose clock the times of its files are by."""
        probe = self._file.with_name(f"{LOCK}.{os.getpid()}.tmp")
        probe.write_bytes(b"")
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink()

    def _renew(self) -> None:
        while not self._closed.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(self._descriptor)


def _me() -> dict:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "boot": _boot(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _boot() -> str:
    """This kernel, since it was started: a host's name may be that of several containers."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """When a process began, in ticks: numbers of processes are used again. "" where it cannot be told."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _lives(holder: dict) -> bool:
    try:
        pid = max(int(holder["pid"]), 1)
    except (KeyError, ValueError, TypeError, OverflowError):
        return False
    return lives(pid) and _started(pid) in ("", holder.get("started"))


def _holder(descriptor: int) -> dict:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return holder if isinstance(holder, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}
