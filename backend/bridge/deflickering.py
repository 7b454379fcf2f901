"""A job whose finished frames flicker becomes the shot of another job, which takes the flicker out of them."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

from .errors import UserError
from .job import Job
from .settings import Settings


def deflicker_job(made: Job, folder: Path, run: Settings, source: dict[str, Any] | None = None) -> Job:
    """Make in ``folder`` a job that deflickers the frames of the job ``made`` along the motion of its shot.

    ``run`` are settings of the method "deflicker"; ``source`` is the new job's, see :meth:`Job.create`. The shot is
    shared with the other job where the disk can, else copied; the frames are read where they lie. UserError where that
    job has no captured shot or no finished frame, or the folder cannot be written.
    """
    if not (made.shot_folder / "shot.json").is_file() or not made.finished():
        raise UserError(f"{made.name} has no frames to deflicker. Resume it first.")
    chosen = dataclasses.replace(run.deflicker, stylized=str(made.frames_folder.absolute()))
    job = Job.create(folder, folder.name, dataclasses.replace(run, method="deflicker", deflicker=chosen), source)
    try:
        shutil.copytree(made.shot_folder, job.shot_folder, copy_function=_share, dirs_exist_ok=True)
    except OSError as error:
        job.remove()
        raise UserError(f"The shot of {made.name} cannot be copied to {folder}. Make room on that disk.") from error
    return job


def _share(source: str, target: str) -> None:
    """Let the file ``target`` be ``source``, which nothing ever changes in place; where links cannot be, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
