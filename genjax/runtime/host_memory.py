"""glibc's allocator, told to keep what is freed and to ask for huge pages.

XLA:CPU asks for the temporary buffers of a step anew at each step. What glibc maps afresh the kernel clears again, page
by page: a sixth to a quarter of the step of small networks (see `benchmarks/README.md` and `NOTES.md` beside it).
"""

import contextlib
import ctypes
import os
import sys

__all__ = ["keep_freed_memory", "use_huge_pages"]

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h
HUGE_PAGES = "glibc.malloc.hugetlb"


def keep_freed_memory() -> None:
    """Freed memory stays with the process until it ends; does nothing where the C library is not glibc.

    That is memory of the main thread, and up to 64 MB of each other one: their larger buffers are mapped all the same.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_TOP_PAD, 64 * 2**20)


def use_huge_pages() -> None:
    """Starts this program again with glibc's tunable for huge pages, which is read when a process starts.

    The kernel then clears 2 MB at a time. To be called before a program has done anything that it must not do twice.
    Nothing happens where the environment has the tunable already, or where the kernel has no transparent huge pages.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if sys.platform != "linux" or HUGE_PAGES in tunables or not sys.executable:
        return
    os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, [tunables, f"{HUGE_PAGES}=1"]))
    with contextlib.suppress(OSError):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
