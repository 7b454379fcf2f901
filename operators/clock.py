"""How long a run takes, and will take."""

from __future__ import annotations

import time


class Clock:
    """Tells how long a run takes; while it waits for its turn the clock stands still."""

    def __init__(self) -> None:
        self._since: float | None = None  # when it began to tick, None while it stands still
        self._taken, self._progress = 0.0, 0.0

    def reset(self, progress: float) -> None:
        """Stand still at nothing, for a run that goes on from ``progress``, 0 to 1."""
        self._since, self._taken, self._progress = None, 0.0, progress

    def start(self) -> None:
        """Tick, if it does not."""
        if self._since is None:
            self._since = time.monotonic()

    def stop(self) -> None:
        """Stand still."""
        self._taken, self._since = self.elapsed, None

    @property
    def elapsed(self) -> float:
        """How many seconds were taken."""
        return self._taken if self._since is None else self._taken + time.monotonic() - self._since

    def remaining(self, progress: float) -> float | None:
        """Return how many seconds are left if all goes on as it did, None while too little is done to tell."""
        done = progress - self._progress
        return None if done < 0.02 else self.elapsed * (1 - progress) / done
