"""Errands: processes of this Python that fetch and install, told of in JSON lines, and that die with their owner.

The owner makes an :class:`Errand` and polls it; the process writes events on standard output with :func:`tell`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .client import clean_environment
from .errors import UserError

ROOT = Path(__file__).resolve().parents[2]  # the folder that holds ``backend``


@dataclass(frozen=True)
class Progress:
    """Where an errand is: its phase, bytes that are here and in all (0 where that is not known), what goes on."""

    phase: str
    done: int = 0
    total: int = 0
    note: str = ""


@dataclass(frozen=True)
class Ended:
    """How it ended: "done", "failed" or "cancelled" in the given phase, one sentence for the artist.

    ``report`` is what to pass on about a failure, ``result`` what was made, each "" where there is none.
    """

    state: str
    phase: str
    message: str
    report: str = ""
    result: str = ""


Event = Progress | Ended


def tell(event: Event) -> None:
    """Write ``event`` to standard output."""
    sys.stdout.write(encode(event))
    sys.stdout.flush()


def encode(event: Event) -> str:
    """Return ``event`` as one line, newline included, in ASCII: a pipe of Windows knows nothing else for certain."""
    return json.dumps({"type": type(event).__name__, **dataclasses.asdict(event)}) + "\n"


def decode(line: str) -> Event | None:
    """Return the event in ``line``, None where it is something else that was printed."""
    try:
        plain = json.loads(line)
        kind = {"Progress": Progress, "Ended": Ended}[plain.pop("type")]
        return kind(**plain)  # type: ignore[no-any-return]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def end_with_owner() -> None:
    """End this process and all that it starts when standard input ends: nobody is left to work for."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    sys.stdin.buffer.read()
    if os.name != "nt":
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


class Errand:
    """One errand's process, as its owner sees it. It never waits, so that Blender's window stays alive."""

    def __init__(self, module: str, arguments: Sequence[str], extra: Mapping[str, str] | None = None) -> None:
        """Start ``python -m module arguments`` with the variables ``extra``; UserError where that cannot be."""
        self.progress = Progress("")
        self.ended: Ended | None = None
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-s", "-m", module, "--owned", *arguments],
                cwd=ROOT, env=clean_environment(os.environ) | dict(extra or {}), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
                start_new_session=os.name != "nt", creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )  # fmt: skip
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"The installer cannot be started ({reason}). Install Tempera again.") from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def poll(self) -> bool:
        """Take what the process told since the last call; return whether it still runs."""
        over = not self._reader.is_alive() and self.process.poll() is not None
        while not self._events.empty():
            event = self._events.get_nowait()
            if isinstance(event, Progress):
                self.progress = event
            elif self.ended is None:
                self.ended = event
        if over and self.ended is None:
            message = f"It was ended from outside (exit code {self.process.returncode}). Try again to go on from there."
            self.ended = Ended("failed", self.progress.phase, message)
        return not over

    def cancel(self) -> None:
        """End the process and all it started, at once. What has arrived is kept for the next time."""
        if self.ended is None:
            self.ended = Ended("cancelled", self.progress.phase, "Stopped. The next try goes on from here.")
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "nt":
                subprocess.run(["taskkill", "/T", "/F", "/PID", str(self.process.pid)], check=False)
            else:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - Popen was asked for the pipe
        for line in self.process.stdout:
            event = decode(line)
            if event is not None:
                self._events.put(event)
