"""The most memory that this process has used so far."""

import resource
import sys

import jax

__all__ = ["peak_memory"]


def peak_memory() -> tuple[int, str]:
    """Bytes, and of what: the fullest local device, or the whole process where devices do not tell (CPU)."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    if all("peak_bytes_in_use" in s for s in stats):
        return max(s["peak_bytes_in_use"] for s in stats), "device"
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "process (peak RSS)"
