"""What one process at a time may do: held by locks on files, which die with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from .files import lock


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold the file at ``path``, which is there only meanwhile, and yield True; False where another process holds it.

    Nobody is waited for. OSError where the file cannot be made.
    """
    with path.open("a+b") as handle:
        free = lock(handle.fileno()) and _is_still(handle.fileno(), path)
        try:
            yield free
        finally:
            if free and os.name != "nt":  # nobody may come in between; Windows removes nothing that is open
                path.unlink(missing_ok=True)
    if free and os.name == "nt":
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _is_still(descriptor: int, path: Path) -> bool:
    """Return whether an open file still is the one at ``path``: who held it before may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
