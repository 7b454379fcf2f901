"""Files whose names only ever show them whole, what the file system refuses as sentences, and locks."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import UserError

HELD = errno.EAGAIN, errno.EACCES, errno.EDEADLK  # what systems say of a file that another process has locked


def write_file(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that the name only ever shows the whole file.

    UserError when the disk is full or the folder cannot be written; nothing half-written is left behind.
    """
    write_files({path: content})


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write several files as :func:`write_file` does: all of them, or, where there is no room, none."""
    written: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            with artist_errors(path):
                written[path] = _temporary(path, content)
        for path, temporary in written.items():
            with artist_errors(path):
                _rename(temporary, path)
    finally:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)


def _temporary(path: Path, content: bytes) -> Path:
    """Write ``content`` beside ``path`` under a name that no other file has, and return it; OSError leaves nothing."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("xb") as file:  # not mkstemp: whoever may read the folder may read its files
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _rename(temporary: Path, path: Path) -> None:
    """Give a whole file its final name; on Windows wait a moment for whoever reads the old one."""
    for _ in range(20 if os.name == "nt" else 0):
        try:
            temporary.replace(path)
        except PermissionError:
            time.sleep(0.05)
        else:
            return
    temporary.replace(path)


def write_json(path: Path, plain: Any) -> None:
    """Write JSON values to ``path``, whole or not at all (see :func:`write_file`)."""
    write_file(path, (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``; UserError when it cannot be read."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}). Make the job again.") from error
    if not isinstance(plain, dict):
        raise UserError(f"{path} is damaged. Make the job again.")
    return plain


@contextlib.contextmanager
def artist_errors(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into a sentence for the artist."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(
                f"The disk is full: {path} cannot be written. Free some space and resume; finished frames are kept."
            ) from error
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}). Check the folder, or choose another one."
        ) from error


def lock(descriptor: int) -> bool:
    """Take an exclusive lock on an open file without waiting; return whether it was free.

    Where the file system knows no locks (some that lie on a network), it counts as free.
    """
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in HELD
    return True
