"""The memory and the disk there are, and one line for what would not fit, before anything is allocated."""

import os
import shutil
from pathlib import Path

from genjax.errors import UserError

__all__ = ["available", "free_on_disk", "readable", "require_room"]

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container
UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def available() -> int:
    """Bytes that this process can still get on the host: free or reclaimable, and within a container's limit."""
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # no Linux
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63
    for file in LIMITS:
        try:
            free = min(free, int(Path(file).read_text()))
        except (OSError, ValueError):  # none, or "max"
            continue
    return free


def free_on_disk(place: Path) -> int:
    """Bytes that are free where a file is, or will be."""
    return shutil.disk_usage(next(folder for folder in place.absolute().parents if folder.exists())).free


def require_room(size: int, what: str, cure: str = "", there: int | None = None) -> None:
    """Raises UserError where `size` bytes are more than `there` are; None = of the host's memory."""
    there = available() if there is None else there
    if size > there:
        raise UserError(f"{what} would take {readable(size)}, and there are {readable(there)}{cure and f': {cure}'}")


def readable(size: int) -> str:
    """`1.5 GB`, in powers of 1000; of what no unit is large enough for, that it is more."""
    if size > 1000 ** (len(UNITS) + 1):  # Python refuses to write, or to divide, the largest numbers
        return f"more than 1,000,000 {UNITS[-1]}"
    power = min((len(str(int(size))) - 1) // 3, len(UNITS) - 1)
    number = size / 1000**power
    return f"{number:.3g} {UNITS[power]}" if number < 1000 else f"{number:,.0f} {UNITS[power]}"
