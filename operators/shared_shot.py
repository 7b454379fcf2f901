"""A capture of what is captured already: another job's shot, linked or copied by a thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..backend.bridge.deflickering import shared
from ..backend.bridge.errors import UserError
from .capture import Progress


class SharedShot:
    """The captured ``shot`` on its way into ``folder``; it is asked as a :class:`~.capture.Capture` is."""

    def __init__(self, shot: Path, folder: Path) -> None:
        self._shot, self._folder = shot, folder
        self._progress, self._stopped = Progress(note="Taking over the shot"), threading.Event()
        self._thread = ThreadPoolExecutor(1)
        self._end = self._thread.submit(self._work)

    def poll(self) -> Progress:
        """Return how far it is, without waiting. Raises UserError where it failed."""
        if self._end.done():
            self._end.result()
        return self._progress

    def cancel(self) -> None:
        """Stop; what is shared stays, and another goes on from there."""
        self._stopped.set()
        self._thread.shutdown()

    def _work(self) -> None:
        if not (self._shot / "shot.json").is_file():
            raise UserError(f"The shot in {self._shot} is gone. Take the flicker out of another strip.")
        for done, total in shared(self._shot, self._folder):
            self._progress = Progress(done, total, "Taking over the shot", finished=done == total)
            if self._stopped.is_set():
                return
