"""What an installing process tells on standard output: one JSON object a line."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

PHASES = ("check", "tool", "environment", "download", "install", "verify")


@dataclass(frozen=True)
class Progress:
    """Where an install is: its phase, bytes that are here and in all (0 where that is not known), what goes on."""

    phase: str
    done: int = 0
    total: int = 0
    note: str = ""


@dataclass(frozen=True)
class Ended:
    """How it ended: "done" or "failed" in the given phase, one sentence for the artist, and a report to pass on."""

    state: str
    phase: str
    message: str
    report: str = ""


Event = Progress | Ended


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
