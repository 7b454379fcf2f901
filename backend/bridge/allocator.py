"""What becomes of memory that is freed: by default the system's allocator soon takes it back, and clears it anew."""

from __future__ import annotations

import ctypes
import gc
import platform
from functools import cache

HELD = 256 << 20  # bytes that are free and stay with the process, for every thread that took some
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's numbers of what mallopt(3) sets
OWN = 32 << 20  # bytes from which an array is asked of the system by itself: the most that glibc takes


def hold_freed() -> None:
    """Let memory that is freed stay with the process, about ``HELD`` bytes a thread, until :func:`give_back`.

    A network asks for the same megabytes at every layer, a deflickered frame at every step. Returned to the system in
    between they are cleared each time, which on a processor takes up to an eighth of a network's step.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(TRIM_THRESHOLD, HELD)
        libc.mallopt(MMAP_THRESHOLD, OWN)


def give_back() -> None:
    """Return what is free to the system, but for a rest of what other threads freed.

    What a finished job kept refers to itself (a cache to who fills it), and would stay until Python looks for such.
    """
    gc.collect()
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """Return glibc, where that is what gives out memory."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
