"""What a measurement is quoted with, and where it is kept: one JSON file for a machine and a day.

    {"format": 1, "date": "2026-11-22", "hardware": {...},
     "recipes": {NAME: {<fields of `genjax bench --json`>, "commit", "command", "versions", "load", "others"}},
     "peers":   {PAIR: {<fields of pairs.Result>,          "commit", "command", "versions", "load", "others"}}}

What was measured in another precision than float32 is kept under NAME/PRECISION. A second run on the same day adds to
the file or replaces what it measured again. Neither host names nor the user's home are kept.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import re
import shlex
from pathlib import Path

from genjax.errors import UserError
from genjax.files import write_atomic

FORMAT = 1
FOLDER = Path(__file__).parent / "records"
PACKAGES = (
    *("genjax-suite", "jax", "jaxlib", "flax", "optax", "numpy"),
    *("torch", "transformers", "diffusers", "keras", "tensorflow-cpu", "pillow"),
)
PARTS = ("recipes", "peers")
FIELDS = {  # what an entry must have to be reported; the others of a record are for the reader
    "recipes": ("step_ms", "batch_size", "examples_per_second", "compile_seconds", "versions"),
    "peers": (
        *("ours_per_second", "theirs_per_second", "theirs", "unit"),
        *("ratio", "ratio_min", "ratio_max", "shapes", "load", "versions"),
    ),
}
BUSY = 0.7  # processes that want to run before anything is measured, above which a ratio should not be quoted
BUSY_CORES = 0.2  # that others kept busy meanwhile; where this is known, it is the better sign


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


def key(name: str, entry: dict) -> str:
    """What an entry is kept under: runs in two precisions are two entries."""
    precision = entry.get("precision") or "float32"
    return name if precision == "float32" else f"{name}/{precision}"


def busy(entry: dict) -> bool:
    """Whether others disturbed the measurement."""
    others = entry.get("others")
    return entry["load"] > BUSY if others is None else others > BUSY_CORES


def provenance(argv: list[str], load: float, others: float | None) -> dict:
    """Commit, command, versions, and how busy the machine was otherwise.

    Args:
      argv: the command line, program and arguments.
      load: processes that wanted to run before the measurement; our own earlier ones among them.
      others: cores that other programs kept busy during it; None where that is not known.
    """
    command = shlex.join(["python", *argv]).replace(str(Path.home()), "~")
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    others = None if others is None else round(others, 2)
    from genjax.runs.environment import commit  # which imports JAX: only where something was measured

    return {"commit": commit(), "command": command, "versions": versions, "load": round(load, 1), "others": others}


def begun(folder: Path, machine: dict, date: str | None = None) -> tuple[Path, dict]:
    """Today's file of the machine, and the record in it; a new one where there is none. Raises UserError for damage."""
    date = date or datetime.date.today().isoformat()
    path = folder / f"{date}-{slug(machine)}.json"
    new = {"format": FORMAT, "date": date, "hardware": machine} | {part: {} for part in PARTS}
    return path, read_file(path) if path.exists() else new


def write(folder: Path, machine: dict, part: str, results: dict[str, dict], date: str | None = None) -> Path:
    """Adds `results` (key -> entry) to a part of today's record of the machine, at once, and returns the file."""
    path, record = begun(folder, machine, date)
    record[part] |= results
    return write_atomic(path, f"{json.dumps(record, indent=1)}\n".encode())


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
        for part in PARTS:
            for name, entry in record[part].items():
                _check(part, name, entry)
    except (OSError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: not a benchmark record ({error!r}); remove it") from None
    return record


def _check(part: str, name: str, entry: dict) -> None:
    lacking = [field for field in FIELDS[part] if field not in entry]
    if part == "recipes" and not lacking:
        lacking = [f"step_ms.{field}" for field in ("median", "p10", "p90") if field not in entry["step_ms"]]
    if lacking:
        raise ValueError(f"{part}: {name} has no {', '.join(lacking)}")


def _cpu() -> str:
    """The model's name; with AVX-512, of which clouds' names say nothing and libraries make different use."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    name = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{name}, AVX-512" if re.search(r"\bavx512f\b", text) else name
