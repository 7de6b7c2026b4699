"""How many cores other programs kept busy during a measurement, by what Linux tells in /proc."""

import contextlib
import os
import time
from pathlib import Path
from typing import NamedTuple

BUSY = (0, 1, 2, 5, 6, 7)  # of the times in a line of /proc/stat: all but idle and waiting; stolen ones count


class Times(NamedTuple):
    """Seconds: of the wall, of all work on the cores that this process may use, and of its own with its children's."""

    wall: float
    cores: float
    own: float


def now() -> Times | None:
    """None where the system has no /proc/stat (macOS)."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return None
    mine = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    times = [line.split()[1:] for line in lines if line.split()[0] in mine]
    ticks = sum(int(core[i]) for core in times for i in BUSY)
    return Times(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), _own_ticks() / os.sysconf("SC_CLK_TCK"))


def others(before: Times | None, after: Times | None) -> float | None:
    """The mean number of these cores that others kept busy between the two; None where that is not known."""
    if before is None or after is None:
        return None
    wall, cores, own = (b - a for a, b in zip(before, after))
    return max(0.0, (cores - own) / wall)


def _own_ticks() -> int:
    """Of this process and all below it: those that live, and those whose parent has seen their end."""
    parents, ticks = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = file.read_text().rpartition(")")[2].split()
            pid = int(file.parent.name)
            parents[pid], ticks[pid] = int(fields[1]), sum(map(int, fields[11:15]))  # proc(5): utime to cstime
    own, found = set(), {os.getpid()}
    while found:
        own |= found
        found = {pid for pid, parent in parents.items() if parent in own} - own
    return sum(ticks.get(pid, 0) for pid in own)
