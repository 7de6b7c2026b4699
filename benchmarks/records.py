"""What a measurement is quoted with, and where it is kept: one JSON file for a machine and a day.

    {"format": 1, "date": "2026-11-22", "hardware": {...},
     "recipes": {NAME: {<fields of `genjax bench --json`>, "commit", "command", "versions", "load"}},
     "peers":   {PAIR: {<fields of pairs.Result>,          "commit", "command", "versions", "load"}}}

A second run on the same day adds to the file or replaces what it measured again. Neither host names nor paths of the
user are kept.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from pathlib import Path

from genjax.errors import UserError

FORMAT = 1
FOLDER = Path(__file__).parent / "records"
PACKAGES = ("genjax-suite", "jax", "jaxlib", "flax", "optax", "numpy", "torch", "transformers", "diffusers", "pillow")
PARTS = ("recipes", "peers")
BUSY = 0.7  # processes that want to run before anything is measured, above which a ratio should not be quoted


def hardware() -> dict:
    """CPU model, cores this process may use, memory in GiB, and the accelerators JAX finds (None without)."""
    import jax

    devices = [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "accelerator": f"{len(devices)} x {devices[0]}" if devices else None,
    }


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def label(hardware: dict) -> str:
    """The machine in words; records with the same words are compared."""
    parts = [hardware["accelerator"], hardware["cpu"], f"{hardware['cores']} cores", f"{hardware['memory_gib']} GiB"]
    return ", ".join(filter(None, parts))


def slug(hardware: dict) -> str:
    """The same as a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", label(hardware).lower()).strip("-")


def provenance(command: str, load: float) -> dict:
    """Commit, command, versions, and the load before the measurements: processes that wanted to run."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {"commit": _commit(), "command": command, "versions": versions, "load": round(load, 1)}


def write(folder: Path, machine: dict, part: str, results: dict[str, dict], date: str | None = None) -> Path:
    """Adds `results` (name -> entry) to a part of today's record of the machine, and returns the file."""
    date = date or datetime.date.today().isoformat()
    path = folder / f"{date}-{slug(machine)}.json"
    new = {"format": FORMAT, "date": date, "hardware": machine} | {part: {} for part in PARTS}
    record = read_file(path) if path.exists() else new
    record[part] |= results
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def read(folder: Path) -> list[dict]:
    """All records of a folder, oldest first. Raises UserError for a file that is none."""
    if not folder.is_dir():
        raise UserError(f"no folder of records at {folder}: make one with `python benchmarks/run.py`")
    return sorted(map(read_file, folder.glob("*.json")), key=lambda record: record["date"])


def read_file(path: Path) -> dict:
    try:
        record = json.loads(path.read_text())
        if record["format"] != FORMAT:
            raise UserError(f"{path}: a record of format {record['format']}, this program reads {FORMAT}")
        label(record["hardware"])
        datetime.date.fromisoformat(record["date"])
        if not all(isinstance(record[part], dict) for part in PARTS):
            raise ValueError("recipes and peers must be objects")
    except (OSError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: not a benchmark record ({error!r}); remove it") from None
    return record


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
