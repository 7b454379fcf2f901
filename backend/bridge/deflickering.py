"""A job whose finished frames flicker becomes the shot of another job, which takes the flicker out of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import artist_errors
from .job import Job
from .settings import Settings

PIECE = 1 << 22  # bytes that are copied at once


def deflicker_job(made: Job, folder: Path, run: Settings, source: dict[str, Any] | None = None) -> Job:
    """Make in ``folder`` a job that deflickers the frames of the job ``made`` along the motion of its shot.

    ``run`` are settings of the method "deflicker"; ``source`` is the new job's, see :meth:`Job.create`. The frames are
    read where they lie; the shot is still to be shared, see :func:`shared`. UserError where that job has no captured
    shot or no finished frame, or the folder cannot be written.
    """
    if not (made.shot_folder / "shot.json").is_file() or not made.finished():
        raise UserError(f"{made.name} has no frames to deflicker. Resume it first.")
    chosen = dataclasses.replace(run.deflicker, stylized=str(made.frames_folder.absolute()))
    return Job.create(folder, folder.name, dataclasses.replace(run, method="deflicker", deflicker=chosen), source)


def shared(shot: Path, folder: Path) -> Iterator[tuple[int, int]]:
    """Share the captured ``shot`` with another job, whose shot's folder is ``folder``: linked, or else copied.

    Yields how many files of how many are shared, often, so that it can be left at any time and begun again: the file by
    which a shot counts as whole comes last. UserError where a file cannot be read or written.
    """
    files = sorted((path for path in shot.rglob("*") if path.is_file()), key=lambda path: path.name == "shot.json")
    for number, file in enumerate(files, 1):
        target = folder / file.relative_to(shot)
        with artist_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                for _ in _share(file, target):
                    yield number - 1, len(files)
        yield number, len(files)


def _share(file: Path, target: Path) -> Iterator[None]:
    """Let ``target`` be ``file``, which nothing ever changes in place; where links cannot be, a copy, in pieces."""
    try:
        os.link(file, target)
    except OSError:
        part = target.with_name(f".{target.name}.tmp")
        with file.open("rb") as read, part.open("wb") as write:
            while piece := read.read(PIECE):
                write.write(piece)
                yield
        part.replace(target)
