"""Whether files are there, for panels that ask at every draw: a drive that sleeps, or is gone, is not waited for.

The disk is asked by a thread, for one path after the other. Where it is awake it answers at once.
"""

from __future__ import annotations

import os
import threading
import time

FRESH_SECONDS = 1.0  # between two looks at a path that was there


class Presence:
    """What is known of which paths are there."""

    def __init__(self, patience: float) -> None:
        """``patience`` is how many seconds at most an answer is waited for, where no other is waited for already."""
        self._patience = patience
        self._known: dict[str, bool] = {}
        self._fresh: dict[str, float] = {}  # until when a path that was there need not be looked for again
        self._asked: dict[str, threading.Event] = {}  # what is to be looked for, in order, and who is to be told
        self._looking = False  # whether a thread looks for them
        self._lock = threading.Lock()

    def there(self, path: str) -> bool:
        """Return whether ``path`` is there, as far as is known; what nobody has seen yet is taken to be there."""
        if self._fresh.get(path, 0.0) < time.monotonic():
            answered = threading.Event()
            with self._lock:
                first, self._looking = not self._looking, True
                self._asked.setdefault(path, answered)
            if first:
                threading.Thread(target=self._look, daemon=True).start()
                answered.wait(self._patience)
        return self._known.get(path, True)

    def _look(self) -> None:
        """Look for all that is asked for, then end."""
        while (path := self._next()) is not None:
            found = os.path.exists(path)  # noqa: PTH110 - Path.exists raises where a name is too long or may not be seen
            self._known[path], self._fresh[path] = found, time.monotonic() + FRESH_SECONDS * found
            with self._lock:
                self._asked.pop(path).set()

    def _next(self) -> str | None:
        """Return what is to be looked for next; None where there is nothing, and from then on nobody looks."""
        with self._lock:
            path = next(iter(self._asked), None)
            self._looking = path is not None
            return path
