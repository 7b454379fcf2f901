"""Jobs of files that were never saved: nothing leads back to them, so they can be looked at and removed together."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import bpy

from ..backend.bridge.errors import UserError
from ..backend.bridge.job import Job as JobFolder
from ..preferences import user_folder
from . import session, timers
from .reporting import AsksFirst, attempt

DAY = 86400.0  # seconds: what is younger may be missed by somebody yet
FIRST_LOOK = 5.0  # seconds after Blender is up


class Leftovers:
    """The leftover jobs' folders and their bytes when somebody last looked. All work on the disk is a thread's."""

    def __init__(self) -> None:
        self.found: dict[Path, int] = {}
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a thread is at work."""
        return self._thread is not None and self._thread.is_alive()

    def refresh(self) -> None:
        """Look at the disk again, in a while."""
        self._begin(())

    def remove(self) -> None:
        """Delete all that was found, but what somebody works on by now."""
        self._begin(self.found)

    def wait(self) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join()

    def _begin(self, unwanted: Collection[Path]) -> None:
        """Delete the ``unwanted`` that are leftovers still, then look."""
        if self.busy:
            raise UserError("The jobs are looked at already. Wait a moment.")
        place, known = user_folder() / "jobs", {job.folder for job in session.current().jobs}

        def work() -> None:
            for folder in leftovers(place, known).keys() & unwanted:  # a file may have been saved since, or be at work
                with contextlib.suppress(UserError):
                    JobFolder.open(folder).remove()
            self.found = leftovers(place, known)

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        if bpy.app.background:
            self.wait()


def leftovers(place: Path, known: Collection[Path]) -> dict[Path, int]:
    """Return the bytes of the jobs in ``place`` that are of no saved file, rest for a day and that no Blender has.

    Those that this one has are ``known``: not every file system knows of locks.
    """
    found = {}
    for spec in sorted(place.glob("*/job.json")):
        with contextlib.suppress(UserError, OSError):  # what cannot be read or is gone meanwhile is left alone
            files = JobFolder.open(spec.parent)
            rests = time.time() - (files.folder / "state.json").stat().st_mtime > DAY
            if rests and files.folder not in known and not files.source.get("blend") and not files.in_use:
                found[files.folder] = sum(path.stat().st_size for path in files.folder.rglob("*") if path.is_file())
    return found


_leftovers = Leftovers()


def current() -> Leftovers:
    """Return what this Blender knows of leftover jobs."""
    return _leftovers


class TEMPERA_OT_remove_leftovers(AsksFirst, bpy.types.Operator):
    """Delete the jobs of files that were never saved."""

    bl_idname = "tempera.remove_leftovers"
    bl_label = "Remove Them"
    bl_description = "Delete the jobs, with all their frames, that were made in files that were never saved"
    bl_options: ClassVar = {"INTERNAL"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Say that there is nothing to delete."""
        if not _leftovers.found or _leftovers.busy:
            cls.poll_message_set("There is none, or they are being looked at.")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Delete them."""
        return attempt(self, _leftovers.remove)


classes = (TEMPERA_OT_remove_leftovers,)


def _look() -> None:
    with contextlib.suppress(UserError):
        _leftovers.refresh()


def register() -> None:
    """Look, once Blender is up; nothing else happens by itself."""
    timers.start(_look, FIRST_LOOK)


def unregister() -> None:
    """Look no more."""
    timers.stop(_look)
    _leftovers.wait()
