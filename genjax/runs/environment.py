"""Versions, devices and commit: what a number has to be quoted with."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import jax

__all__ = ["commit", "environment"]

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "genjax-suite")


def environment() -> dict:
    """The environment of this process, for environment.json."""
    devices = jax.devices()
    return {
        "command": " ".join(sys.argv),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "platform": devices[0].platform,
        "devices": [str(device) for device in devices],
        "device_kind": devices[0].device_kind,
        "processes": jax.process_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "commit": commit(),
    }


def _processor() -> str:
    """The cores that this process may use, and their name where the system tells it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{cores} x {name}" if name else f"{cores} cores"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Of the checkout that genjax is run from, "-dirty" where genjax itself differs; None where it is installed."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    try:
        known = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=10)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "."], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return known.stdout.strip() + "-dirty" * (changed.returncode != 0) if known.returncode == 0 else None
