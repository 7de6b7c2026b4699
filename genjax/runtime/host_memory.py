"""glibc's allocator, told to keep what is freed.

XLA:CPU asks for the temporary buffers of a step anew at each step. Above 32 MB glibc maps them afresh every time, and
the kernel clears every page again: a third of the step of a small transformer (see `benchmarks/README.md`).
"""

import contextlib
import ctypes

__all__ = ["keep_freed_memory"]

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h


def keep_freed_memory() -> None:
    """Freed memory stays with the process until it ends. Does nothing where the C library is not glibc."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_TOP_PAD, 64 * 2**20)
