"""libtpu without a TPU: it looks for its machine in vain, and says so at length, unless it is told of one."""

import glob
import os

__all__ = ["hush", "hush_without_tpu"]

QUIET = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
}
CHIPS = ("/dev/accel*", "/dev/vfio/[0-9]*")


def hush() -> None:
    """Before JAX is imported; what the environment says already stays."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def hush_without_tpu() -> None:
    if not any(map(glob.glob, CHIPS)):
        hush()
