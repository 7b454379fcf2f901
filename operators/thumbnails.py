"""The pictures of jobs in the list: each one's first finished frame."""

from __future__ import annotations

from typing import Any

import bpy.utils.previews

from .job import Job


class Thumbnails:
    """Icons by the job's folder, loaded when a job has come on and only read while panels draw."""

    def __init__(self) -> None:
        self._icons: Any = bpy.utils.previews.new()

    def take(self, job: Job) -> None:
        """Load the picture of ``job`` anew, if it has one."""
        name = str(job.folder)
        if job.finished:
            if name in self._icons:
                del self._icons[name]
            self._icons.load(name, str(job.files.frame_path(min(job.finished))), "IMAGE", force_reload=True)

    def icon(self, job: Job) -> int:
        """Return the icon of ``job``, 0 where it has none."""
        found = self._icons.get(str(job.folder))
        return found.icon_id if found else 0

    def close(self) -> None:
        """Let go of all icons."""
        bpy.utils.previews.remove(self._icons)
