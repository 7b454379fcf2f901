"""The installer's command line: ``python -m backend.bridge.install install`` and the other COMMANDS."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import traceback
from pathlib import Path
from urllib.parse import urlsplit

from ..environment import marker
from ..errands import Ended, Progress, end_with_owner, tell
from ..errors import UserError
from . import phases
from .fetch import disk_sentence
from .lock import LOCKS, accelerators, pinned_uv, read_lock
from .machine import Machine, accelerator_problem, machine_problem, reason, recommend
from .phases import Plan
from .report import report

COMMANDS = ("detect", "install", "verify", "repair", "remove", "wheelhouse")
PLATFORMS = {
    "linux": Machine("Linux", "x86_64"),
    "windows": Machine("Windows", "x86_64"),
    "macos": Machine("Darwin", "arm64"),
}


def main(arguments: list[str]) -> int:
    """Do what is asked, telling of it in JSON lines, and return 0, or 1 where it failed."""
    chosen = _parser().parse_args(arguments)
    if chosen.owned:
        end_with_owner()
    machine = PLATFORMS[chosen.platform] if chosen.platform else Machine.here()
    if chosen.command == "detect":
        sys.stdout.write(json.dumps(offer(machine, chosen.locks)) + "\n")
        return 0
    accelerator = chosen.accelerator or recommend(machine)
    plan = Plan(chosen.folder.absolute(), accelerator, chosen.wheelhouse, not chosen.offline, chosen.locks)
    return _attempt(chosen.command, plan, machine)


def offer(machine: Machine, locks: Path = LOCKS) -> dict[str, object]:
    """Return what can be installed on ``machine``: choices with their sizes in bytes, which to choose, and why.

    Of each choice also the host whose checksums are trusted, "" where all are locked, and why it cannot work here.
    """
    choices = []
    for name in accelerators(machine.platform, locks) if machine.platform else []:
        lock = read_lock(machine.platform, name, locks)
        problem = accelerator_problem(machine, name)
        size = lock.size(lock.pythons[0])
        source = urlsplit(lock.index).hostname or ""
        choices.append({"name": name, "label": lock.label, "size": size, "source": source, "problem": problem})
    problem = machine_problem(machine)
    return {"choices": choices, "best": recommend(machine), "reason": reason(machine), "problem": problem}


def _attempt(command: str, plan: Plan, machine: Machine) -> int:
    """Do ``command``; whatever goes wrong becomes one sentence and a report."""
    at = ["check"]

    def note(event: Progress) -> None:
        at[0] = event.phase
        tell(event)

    try:
        message = _do(command, plan, machine, note)
    except UserError as error:
        return _fail(plan, machine, at[0], str(error))
    except OSError as error:
        return _fail(plan, machine, at[0], disk_sentence(error, Path(error.filename or plan.log)))
    except Exception as error:  # noqa: BLE001 - the boundary: whatever went wrong becomes one sentence and a log
        with contextlib.suppress(OSError), plan.log.open("a", encoding="utf-8") as log:
            log.write(traceback.format_exc())
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return _fail(plan, machine, at[0], f"Tempera met an error of its own ({why}). Pass on the report.")
    tell(Ended("done", at[0], message))
    return 0


def _do(command: str, plan: Plan, machine: Machine, tell: phases.Tell) -> str:
    """Do ``command`` and return what to say of it."""
    if command == "remove":
        with phases.alone(plan.folder):
            left = phases.remove(plan.folder)
        return f"The backend is removed. {plan.folder} keeps: {', '.join(left)}." if left else "The backend is removed."
    if command == "verify":
        known = marker(plan.environment).get("accelerator", plan.accelerator)
        phases.verify(plan, read_lock(machine.platform, known, plan.locks), tell)
        return "The backend works."
    if command == "wheelhouse":
        return _fill_wheelhouse(plan, machine, tell)
    with phases.alone(plan.folder):
        (phases.repair if command == "repair" else phases.install)(plan, machine, tell)
    return "The backend is installed and works."


def _fill_wheelhouse(plan: Plan, machine: Machine, tell: phases.Tell) -> str:
    """Fetch all that ``plan`` takes on any Python, for machines without a network, and return what to say of it."""
    lock, uv = read_lock(machine.platform, plan.accelerator, plan.locks), pinned_uv(machine.platform, plan.locks)
    phases.gather(plan, [*lock.wheels, *([uv] if uv else [])], tell)
    more = f" Put {' and '.join(lock.open)} from {lock.index} there too." if lock.open else ""
    return f"The wheelhouse is {plan.folder / 'wheels'}.{more}"


def _fail(plan: Plan, machine: Machine, phase: str, message: str) -> int:
    tell(Ended("failed", phase, message, report(plan, machine, phase, message)))
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend.bridge.install", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--folder", type=Path, default=Path(), help="where everything goes")
    parser.add_argument("--accelerator", default="", help="such as cuda or cpu; by default what fits this machine best")
    parser.add_argument("--wheelhouse", type=Path, help="a folder of wheels, looked into before the network")
    parser.add_argument("--platform", choices=PLATFORMS, help="of the machines that a wheelhouse is for; default: this")
    parser.add_argument("--offline", action="store_true", help="use the wheelhouse alone")
    parser.add_argument("--locks", type=Path, default=LOCKS, help="a folder of other lock files")
    parser.add_argument("--owned", action="store_true", help="end when standard input ends (Blender asks for this)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
