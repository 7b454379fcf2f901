"""The phases of an install, each of which can end at any instant and be done again.

check -> tool -> environment -> download -> install -> verify -> the marker. Wheels that are here are not fetched again,
and a whole environment is left as it is.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .. import VERSION
from ..environment import MARKER, environment_in, marker, python_in
from ..errands import ROOT, Progress
from ..errors import UserError
from ..exclusive import exclusive
from .fetch import checksum, disk_sentence, move
from .lock import LOCKS, Lock, Wheel, pinned_uv, read_lock
from .machine import Machine, accelerator_problem, folder_problem, machine_problem
from .pytorch import KNOWN, open_wheels, remember
from .tool import Tool, find_tool, obtain, resolved, run

LOG = "install.log"
LOCK = "install.lock"  # held while something is changed in the folder
BEGUN = "begun-for"  # in an environment that may be gone on with: the accelerator that it is made for
PHASES = ("check", "tool", "environment", "download", "install", "verify")
PARTS = ("environment", "wheels", "tools", "cache", "python", KNOWN, LOG)  # all that an install leaves in its folder
UNPACKED = 2.2  # bytes on the disk for each byte of a wheel, itself not counted

Tell = Callable[[Progress], None]


@dataclass(frozen=True)
class Plan:
    """What to install and where.

    ``folder`` is Tempera's own and may hold anything else beside. ``wheelhouse`` is a folder of wheels that is looked
    into first; unless ``online``, it is the only source. ``locks`` holds the lock files.
    """

    folder: Path
    accelerator: str
    wheelhouse: Path | None = None
    online: bool = True
    locks: Path = LOCKS

    @property
    def arguments(self) -> list[str]:
        """The plan as the installer's command line takes it."""
        house = ["--wheelhouse", str(self.wheelhouse)] if self.wheelhouse else []
        offline = [] if self.online else ["--offline"]
        where = ["--folder", str(self.folder), "--locks", str(self.locks)]
        return ["--accelerator", self.accelerator, *where, *house, *offline]

    @property
    def environment(self) -> Path:
        """The environment to make."""
        return environment_in(self.folder)

    @property
    def log(self) -> Path:
        """Takes what the tools say."""
        return self.folder / LOG


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold ``folder`` while something is changed in it; UserError where another process does so just now."""
    lock = folder / LOCK
    _touch(lock)
    with exclusive(lock) as free:
        if not free:
            raise UserError(
                f"Another Blender installs or removes the backend in {folder}. Wait for it, or choose another folder, "
                "then try again."
            )
        yield


def _touch(file: Path) -> None:
    """Make ``file`` and the folder that it is in where they are missing; UserError where that cannot be."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        raise UserError(
            f"{file.parent} cannot be written ({error.strerror or error}). Choose another folder, then try again."
        ) from error


def install(plan: Plan, machine: Machine, tell: Tell) -> None:
    """Make the environment of ``plan``, or go on with it; UserError with one sentence where it cannot be.

    ``tell`` hears of every phase that begins and of every megabyte. OSError where the disk refuses (``disk_sentence``).
    """
    lock = check(plan, machine, tell)
    noted = marker(plan.environment)
    if (noted.get("lock"), noted.get("accelerator")) == (lock.digest, plan.accelerator):
        return
    tell(Progress("tool", note="Looking for uv"))
    uv = pinned_uv(machine.platform, plan.locks)
    tool = find_tool(
        plan.folder, uv, plan.wheelhouse, plan.online,
        lambda done: tell(Progress("tool", done, uv.size if uv else 0, "Fetching uv")),
    )  # fmt: skip
    python = make_environment(plan, tool, lock, tell)
    wheels = [*lock.chosen(python), *find_open(plan, tool, lock, machine.platform, python, tell)]
    files = gather(plan, wheels, tell, lock.open_size)
    put_in(plan, tool, files, tell)
    verify(plan, lock, tell)
    _finish(plan, lock, python)


def check(plan: Plan, machine: Machine, tell: Tell) -> Lock:
    """Return the lock for ``plan``; UserError where machine, folder or disk cannot take it."""
    tell(Progress("check", note="Looking at this machine"))
    problem = machine_problem(machine) or folder_problem(machine, plan.folder)
    problem = problem or accelerator_problem(machine, plan.accelerator)
    if problem:
        raise UserError(problem)
    if plan.environment.is_symlink():
        raise UserError(
            f"{plan.environment} is a link, and Python makes no environment behind one. Press Remove, and choose the "
            "folder that it leads to as Backend Folder, then try again."
        )
    lock = read_lock(machine.platform, plan.accelerator, plan.locks)
    _touch(plan.log)
    free = shutil.disk_usage(plan.folder).free
    need = int((1 + UNPACKED) * lock.size(lock.pythons[0])) - _bytes_in(plan.folder)
    if free < need:
        raise UserError(
            f"The disk of {plan.folder} has {free / 1e9:.1f} GB free, and {need / 1e9:.1f} GB are needed. Free some "
            "space, or choose another folder, then try again."
        )
    return lock


def make_environment(plan: Plan, tool: Tool, lock: Lock, tell: Tell) -> str:
    """Make an empty environment, or keep one that was begun, and return the version of its Python ("3.12").

    One that was begun for another accelerator is made anew, since its PyTorch would pass for this one's, and so is one
    in which an install was cut off. UserError where there is no Python that fits the lock, or the tool cannot make it.
    """
    tell(Progress("environment", note="Making an environment"))
    commands = tool.make_commands(plan.environment, lock.pythons, plan.online)
    if not commands:
        raise UserError(
            f"Blender's Python {'{}.{}'.format(*sys.version_info[:2])} is none that PyTorch fits, and uv, which brings "
            "its own, could not be had. Connect to the network and try again, or put uv's wheel into the wheelhouse."
        )
    begun, trouble = plan.environment / BEGUN, ""
    kept = begun.is_file() and begun.read_text(encoding="utf-8", errors="replace") == plan.accelerator
    python = python_version(plan.environment) if kept else ""
    while python not in lock.pythons and commands:
        trouble = run(commands.pop(0), plan.log, tool.variables())
        python = python_version(plan.environment)
    if python not in lock.pythons:
        _refuse_full(trouble, plan)
        raise UserError(f"The environment cannot be made ({trouble[:300]}). Try again, or choose another folder.")
    _write(begun, plan.accelerator)
    return python


def python_version(environment: Path) -> str:
    """Return the version of an environment's Python, such as "3.12"; "" where there is none that runs."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    command = [str(python_in(environment)), "-I", "-c", code]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def find_open(plan: Plan, tool: Tool, lock: Lock, platform: str, python: str, tell: Tell) -> list[Wheel]:
    """Return the wheels of what only the lock's own index has, each with the checksum that it must have.

    UserError: the index cannot be asked, or does not answer for a file.
    """
    if not lock.open:
        return []
    tell(Progress("download", note=f"Looking for {lock.open[0]}"))
    wanted, target = plan.folder / "wheels" / "wanted.txt", plan.folder / "wheels" / "resolved.txt"
    wanted.parent.mkdir(exist_ok=True)
    wanted.write_text("\n".join(lock.open), encoding="utf-8")
    target.unlink(missing_ok=True)
    local = ["--find-links", str(plan.wheelhouse)] if plan.wheelhouse else []
    sources = [*local, *(["--index-url", lock.index] if plan.online else ["--no-index"])]
    trouble = run(tool.resolve_command(plan.environment, wanted, sources, target), plan.log, tool.variables())
    if trouble:
        _refuse_full(trouble, plan)
        where = urlsplit(lock.index).hostname if plan.online else f"the wheelhouse {plan.wheelhouse}"
        raise UserError(
            f"{lock.open[0]} cannot be had from {where} ({trouble[:300]}). Check the network, or put it into a "
            "wheelhouse, then try again."
        )
    wheels = open_wheels(lock, resolved(target), platform, python, plan.wheelhouse)
    remember(plan.folder / KNOWN, wheels, lock.index)
    return wheels


def gather(plan: Plan, wheels: list[Wheel], tell: Tell, open_size: int = 0) -> list[Path]:
    """Return the files of ``wheels``, each checked: from the wheelhouse, from an earlier run, or fetched now.

    ``open_size`` is about how many bytes those are that have no size. UserError: one is not to be had, or is not what
    the lock says.
    """
    total, behind = sum(wheel.size for wheel in wheels) + open_size, 0
    files = []
    for wheel in wheels:

        def count(done: int, wheel: Wheel = wheel, behind: int = behind) -> None:
            tell(Progress("download", min(behind + done, total), total, wheel.name))

        count(0)
        files.append(_wheel_file(plan, wheel, count))
        behind += files[-1].stat().st_size
    tell(Progress("download", total, total))
    return files


def _wheel_file(plan: Plan, wheel: Wheel, count: Callable[[int], None]) -> Path:
    """Return the checked file of ``wheel``, fetched if it is nowhere here."""
    own = plan.folder / "wheels" / wheel.file
    lent = plan.wheelhouse / wheel.file if plan.wheelhouse else own
    if lent != own and lent.is_file():
        if checksum(lent) != wheel.sha256:
            raise UserError(
                f"{lent} is not the wheel that Tempera knows: its checksum differs. Put the right one there, or "
                "take it away."
            )
        return lent
    if own.is_file() and checksum(own) == wheel.sha256:
        return own
    if not plan.online:
        where = f"The wheelhouse {plan.wheelhouse}" if plan.wheelhouse else "Tempera's own folder"
        raise UserError(f"{where} lacks {wheel.file}. Put it there, or allow online access, then try again.")
    obtain(wheel, own, count)
    return own


def put_in(plan: Plan, tool: Tool, wheels: list[Path], tell: Tell) -> None:
    """Install the checked wheels, without the network and without looking for any other."""
    tell(Progress("install", note="Installing the packages"))
    listing = plan.folder / "wheels" / "requirements.txt"
    for note in (MARKER, BEGUN):  # until it is whole again, it is neither what was noted nor to be gone on with
        (plan.environment / note).unlink(missing_ok=True)
    listing.parent.mkdir(exist_ok=True)
    listing.write_text("".join(f"{file.absolute().as_uri()}\n" for file in wheels), encoding="utf-8")
    command = tool.install_command(plan.environment, ["--no-index", "--no-deps", "-r", str(listing)])
    trouble = run(command, plan.log, tool.variables())
    if trouble:
        _refuse_full(trouble, plan)
        raise UserError(f"Installing the packages failed ({trouble[:300]}). Try again; if it stays so, press Repair.")


def _refuse_full(trouble: str, plan: Plan) -> None:
    """Raise UserError where the ``trouble`` that a tool has is a full disk."""
    if any(sign in trouble for sign in ("No space left", "os error 28", "os error 112")):
        raise UserError(disk_sentence(OSError(errno.ENOSPC, ""), plan.log))


def verify(plan: Plan, lock: Lock, tell: Tell) -> None:
    """Let the environment's Python prove that it works; UserError with its last words where it does not."""
    tell(Progress("verify", note="Importing everything and running two steps of a tiny model"))
    python = python_in(plan.environment)
    if not python.is_file():
        raise UserError("The backend is not installed. Install it first.")
    trouble = run([str(python), "-s", *lock.proof], plan.log, Tool(plan.folder, None).variables(), ROOT)
    if trouble:
        raise UserError(f"The backend does not work ({trouble[:300]}). Press Repair, or pass on the report.")


def _finish(plan: Plan, lock: Lock, python: str) -> None:
    """Write the marker, and give back the disk space of what is no longer needed."""
    noted = {"version": VERSION, "accelerator": plan.accelerator, "python": python, "lock": lock.digest}
    _write(plan.environment / BEGUN, plan.accelerator)
    _write(plan.environment / MARKER, json.dumps(noted))
    for part in ("wheels", "cache"):
        shutil.rmtree(plan.folder / part, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    """Write ``text`` to the file at ``path``, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    move(part, path)


def repair(plan: Plan, machine: Machine, tell: Tell) -> None:
    """Make the environment anew; wheels that are here already are used again."""
    check(plan, machine, tell)
    remove(plan.folder, ("environment",))
    install(plan, machine, tell)


def remove(folder: Path, parts: tuple[str, ...] = PARTS) -> list[str]:
    """Remove what an install made in ``folder``, its notes first, and return the names of what else is in there.

    An environment that is left in part is then neither taken for whole nor gone on with. Where a part is a link, the
    artist's to another disk, what it leads to stays.

    UserError where something is held by another program; removing can then be tried again.
    """
    for part in parts:
        path = folder / part
        try:
            if path.is_dir():
                for note in (MARKER, BEGUN):
                    (path / note).unlink(missing_ok=True)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                f"{error.filename or path} cannot be removed ({error.strerror or error}). Close what uses it (a "
                "running job, a virus scanner), then try again."
            ) from error
    return sorted(path.name for path in folder.iterdir() if path.name != LOCK) if folder.is_dir() else []


def _bytes_in(folder: Path) -> int:
    """Return the size of what an install has made in ``folder`` so far."""
    files = [path for part in PARTS for path in (folder / part).rglob("*")]
    return sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink())
