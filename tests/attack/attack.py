"""Attacks every file that comes from outside, and runs while they train; counts the commands that do not withstand it.

    python tests/attack/attack.py --trials 2000 [--seed 0] [--only NAME] [--first N]

A trial fails where a command ends in anything but status 0, or one line and the status 1 or 2; where it hangs, or takes
too much memory; where it ends well with other weights than were saved; where it executes, or writes, what is not its
own; where it prints control characters; where a run does not go on after a kill or a full disk. Trial N of a seed is
always the same. Exits with 1 where a trial has failed.
"""

import argparse
import collections
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

TESTS = Path(__file__).parents[1]
LIMIT = 240  # seconds of a trial, on a machine that does other things too
ROOM = 12 * 2**30  # bytes of address space that a worker may take
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Hang(BaseException):
    """A trial has taken too long."""


def trial(number: int, seed: int, sound: Path, only: str | None) -> tuple[str, str]:
    """(the name of the attack, why it has failed; "" where it has not)."""
    from attack import data_attacks, run_attacks  # noqa: F401  (they register themselves)
    from attack.attacks import ATTACKS

    chance = random.Random(f"{seed}-{number}")
    name = only or sorted(ATTACKS)[number % len(ATTACKS)]
    here = Path(tempfile.mkdtemp(prefix="attack-"))
    try:
        done = ATTACKS[name](chance, sound, here)
        before = _contents(done.whole)
        with done.during:
            status, said, why = _judged(done.argv)
            after = _contents(done.whole)
        if why:
            return name, why
        shown = f"{_shown(done.argv)}\n{said}"
        if (here / "executed").exists():
            return name, f"has executed a foreign recipe: {shown}"
        if after != before:
            return name, f"has written where it may not: {shown}"
        if (done.must and status) or (done.refused and not status):
            return name, f"status {status}, against all hope: {shown}"
        if done.then is not None:
            status, said, why = _judged(done.then)
            if why or status:
                return name, why or f"status {status} afterwards: {shown}\n{said}"
        for made, true in done.same if status == 0 else ():
            if not any(_equal(made, file) for file in true.glob("*.safetensors")):
                return name, f"status 0 with other weights: {shown}"
        return name, ""
    finally:
        shutil.rmtree(here, ignore_errors=True)


def _judged(argv: list) -> tuple[int, str, str]:
    """(status, what was printed, why the command has failed; "" where it has not)."""
    from attack.place import call

    signal.alarm(LIMIT)
    try:
        status, said = call(*argv)
    except Hang:
        return 1, "", f"hangs: {_shown(argv)}\n{traceback.format_exc()}"
    except BaseException:
        return 1, "", f"ends in a traceback: {_shown(argv)}\n{traceback.format_exc()}"
    finally:
        signal.alarm(0)
    lines = [line for line in said.splitlines() if line.startswith("genjax: ")]
    if status not in (0, 1, 2) or (status and not lines) or "Traceback" in said:
        return status, said, f"status {status}: {_shown(argv)}\n{said}"
    if CONTROL.search(said.replace("\r", "")):
        return status, said, f"prints control characters: {_shown(argv)}\n{said!r}"
    return status, said, ""


def _shown(argv: list) -> str:
    return " ".join(map(repr, map(str, argv)))


def _equal(file: Path, other: Path) -> bool:
    """Whether two files of weights hold the same arrays, bit for bit."""
    from safetensors.numpy import load_file

    one, two = load_file(file), load_file(other)
    return one.keys() == two.keys() and all(array.tobytes() == two[name].tobytes() for name, array in one.items())


def _contents(folder: Path | None) -> dict[str, bytes]:
    files = [] if folder is None else sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file): file.read_bytes() for file in files}


def work(first: int, last: int, seed: int, sound: Path, only: str | None) -> None:
    """Trials in this process, a line each."""
    sys.path[0] = str(TESTS)  # in the place of this folder, where `attack` is this file
    from attack.place import call, make

    def stop(number, frame):
        raise Hang

    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    signal.signal(signal.SIGALRM, stop)
    make(sound)
    if not (exported := sound / "exported").exists():  # the weights of every checkpoint
        exported.mkdir()
        for step in ("1", "2"):
            argv = ["export", sound / "vae", "--ema", "false", "--checkpoint", step]
            assert call(*argv, "--out", exported / f"{step}.safetensors")[0] == 0
    report = os.fdopen(os.dup(1), "w")
    for number in range(first, last):
        report.write(f"start {number}\n")
        report.flush()
        name, why = trial(number, seed, sound, only)
        report.write(f"end {number} {name} {why.encode('unicode_escape').decode()}\n")
        report.flush()
    os._exit(0)  # threads of failed saves may still wait for the disk


def run(trials: int, seed: int, only: str | None = None, first: int = 0) -> list[str]:
    """A text for each failure. A process that dies has failed; another one goes on with the next trial."""
    failures, next_one, counts = [], first, collections.Counter()
    with tempfile.TemporaryDirectory(prefix="attacked-") as folder:
        environ = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
        environ |= {"JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", f"{folder}/cache")}
        environ |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1", "TMPDIR": folder}
        while next_one < first + trials:
            begun, last = next_one, min(first + trials, next_one + 150)  # a fresh process: compiled programs add up
            command = [sys.executable, __file__, "--worker", f"{folder}/sound", "--first", str(next_one)]
            command += ["--trials", str(last - next_one), "--seed", str(seed), *(["--only", only] if only else [])]
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ
            )
            started, watch = None, threading.Timer(LIMIT, process.kill)
            for line in process.stdout:
                watch.cancel()
                watch = threading.Timer(LIMIT + 60, process.kill)  # of what no alarm wakes up
                watch.start()
                word, number, *rest = line.rstrip("\n").split(" ", 3)
                if word == "start":
                    started = int(number)
                elif word == "end":
                    next_one, started = int(number) + 1, None
                    counts[rest[0]] += 1
                    if len(rest) > 1 and rest[1]:
                        text = rest[1].encode().decode("unicode_escape")
                        failures.append(f"trial {number}, {rest[0]}: {text}")
                        print(failures[-1], flush=True)
                    if next_one % 50 == 0:
                        print(f"{next_one - first} trials, {len(failures)} failures", file=sys.stderr, flush=True)
            watch.cancel()
            process.wait()
            if started is not None:
                failures.append(f"trial {started}: the process has ended with {process.returncode}")
                print(failures[-1], flush=True)
                next_one = started + 1
            elif next_one == begun:
                raise RuntimeError("the sound files cannot be made")
    print(f"{next_one - first} trials, {len(failures)} failures: {dict(sorted(counts.items()))}", flush=True)
    return failures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.first, options.first + options.trials, options.seed, options.worker, options.only)
    else:
        sys.exit(bool(run(options.trials, options.seed, options.only, options.first)))
