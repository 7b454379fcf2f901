"""What to pass on when an install fails: facts of the machine and the plan, the sentence, the end of the log."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from .. import VERSION
from .machine import Machine
from .phases import Plan

LINES = 40


def report(plan: Plan, machine: Machine, phase: str, message: str) -> str:
    """Return the report as text. The artist's home folder is written ``~``, so that it names nobody."""
    facts = [
        f"Tempera {VERSION}: the install of {plan.accelerator} failed in the phase {phase}.",
        message,
        "",
        f"Machine: {machine.describe()}",
        f"Python: {platform.python_version()} at {sys.executable}",
        f"Folder: {plan.folder}",
        f"Wheelhouse: {plan.wheelhouse or 'none'}; network: {'allowed' if plan.online else 'not allowed'}",
        "",
        *_tail(plan.log),
    ]
    return "\n".join(facts).replace(str(Path.home()), "~")


def _tail(log: Path) -> list[str]:
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:]
    except OSError:
        return []
