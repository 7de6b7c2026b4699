"""Attacks on a run while it trains: ended between two writes, a full disk, a second trainer."""

import contextlib
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from attack.attacks import Trial, attack, copied
from attack.place import SIX_STEPS, call

from genjax.runs.lock import LOCK, RunLock

__all__: list[str] = []

WRITES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}  # Python's audit events


def _killed_at(event: int, run: Path, argv: list[str | Path]) -> None:
    """Runs a command, and ends this process without mercy before the `event`-th change to the files of a run."""
    seen = 0

    def count(name: str, args: tuple) -> None:
        nonlocal seen
        if name in WRITES and str(args[0]).startswith(str(run)) and (name != "open" or args[2] & os.O_ACCMODE):
            seen += 1
            if seen == event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    with contextlib.suppress(SystemExit):
        call(*argv)


@attack
def killed(chance: random.Random, sound: Path, here: Path) -> Trial:
    """A run that is killed once or twice, and resumed, ends with the weights of the one that was not."""
    run = here / "run"
    argv = [*SIX_STEPS, "--out", run]
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["genjax.training.loop", "attack.run_attacks"])
    for _ in range(chance.choice([1, 1, 2])):
        process = forks.Process(target=_killed_at, args=(chance.randrange(1, 80), run, argv))
        process.start()
        process.join(120)
        process.kill()
    return Trial(argv, same=((run / "weights.safetensors", sound / "six"),), must=True)


@attack
def full_disk(chance: random.Random, sound: Path, here: Path) -> Trial:
    """No file grows beyond a size, as on a full disk; with room again the run goes on, to the same weights."""
    run, most = here / "run", int(10 ** chance.uniform(0, 5))
    argv = [*SIX_STEPS, "--out", run]
    return Trial(argv, during=_limited(most), then=argv, same=((run / "weights.safetensors", sound / "six"),))


@contextlib.contextmanager
def _limited(most: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@attack
def second_trainer(chance: random.Random, sound: Path, here: Path) -> Trial:
    """A run that another one trains is left as it is; what a dead one has left behind keeps nobody out."""
    run = copied(sound / "vae", here)
    argv = [*SIX_STEPS, "--out", run]
    if chance.random() < 0.5:
        lock = RunLock(run)
        return Trial(argv, during=contextlib.closing(lock), whole=run, refused=True)
    dead = {"pid": chance.choice([2**22 + 1, 1, -1, "x"]), "host": "elsewhere", "boot": chance.choice(["", "other"])}
    left = chance.choice([json.dumps(dead).encode(), b"", b"{", chance.randbytes(99), b"[" * 10**5, b"null"])
    (run / LOCK).write_bytes(left)
    os.utime(run / LOCK, (time.time() - 3600,) * 2)
    return Trial(argv, must=True)
