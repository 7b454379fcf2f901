"""How long a run takes, and will take."""

from __future__ import annotations

import time


class Clock:
    """Tells how long a run takes, from when it is started until it is stopped."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._taken, self._progress = 0.0, 0.0

    def start(self, progress: float) -> None:
        """Begin at ``progress``, 0 to 1."""
        self._started, self._progress = time.monotonic(), progress

    def stop(self) -> None:
        """Keep the time that was taken."""
        self._taken, self._started = self.elapsed, None

    @property
    def elapsed(self) -> float:
        """How many seconds were taken."""
        return self._taken if self._started is None else time.monotonic() - self._started

    def remaining(self, progress: float) -> float | None:
        """Return how many seconds are left if all goes on as it did, None while too little is done to tell."""
        done = progress - self._progress
        return None if self._started is None or done < 0.02 else self.elapsed * (1 - progress) / done
