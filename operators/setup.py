"""Operators: install, verify, repair and remove the worker's own Python, and pass on why that failed.

Nothing of it happens by itself: each is a click, and the network is used only where Blender's own preference allows it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy.props import EnumProperty

from ..backend.bridge.client import clean_environment
from ..backend.bridge.environment import environment_in, marker, standing
from ..backend.bridge.errands import ROOT
from ..backend.bridge.errors import UserError
from ..backend.bridge.install.lock import LOCKS
from ..backend.bridge.install.phases import Plan
from ..preferences import backend_folder, preferences, worker_problem
from . import session, timers
from .errands import Sender, online_problem
from .reporting import AsksFirst, attempt
from .words import draw_in_dialog

INSTALLER = "backend.bridge.install"
LOOK_SECONDS = 60.0
DIALOG = 460  # pixels that the dialog is wide, at an interface scale of 1
AUTOMATIC = "auto"  # the choice before the machine was looked at


class Setup:
    """What is known of the backend, and what is being done about it. Plain Python, as the session is."""

    def __init__(self) -> None:
        self.standing = ""  # see environment.standing; "" before anyone looked
        self.made: dict[str, str] = {}  # what was noted when it was finished
        self.offer: dict[str, Any] = {}  # what this machine can compute on, see install.__main__.offer
        self.installing = Sender(INSTALLER, self.refresh)

    def refresh(self) -> None:
        """Look at the disk again."""
        environment = environment_in(backend_folder())
        self.standing, self.made = standing(environment), marker(environment)
        worker_problem.cache_clear()

    def find_choices(self) -> None:
        """Find out what this machine can compute on: about a second. UserError where it cannot be found out."""
        look = [sys.executable, "-s", "-m", INSTALLER, "detect", "--locks", str(LOCKS)]
        try:
            done = subprocess.run(
                look, cwd=ROOT, env=clean_environment(os.environ), capture_output=True, text=True, check=True,
                timeout=LOOK_SECONDS,
            )  # fmt: skip
            self.offer = json.loads(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise UserError(f"This machine cannot be looked at ({error}). Install Tempera again.") from error
        if self.offer["problem"]:
            raise UserError(self.offer["problem"])

    def start(self, command: str, plan: Plan) -> None:
        """Begin "install", "verify", "repair" or "remove"; UserError where something stands against it."""
        session.current().release()
        self.installing.send([command, *plan.arguments])


_setup = Setup()


def current() -> Setup:
    """Return this Blender's setup of the backend."""
    return _setup


def make_plan(accelerator: str = "") -> Plan:
    """Return the plan that the preferences make; ``accelerator`` is by default what was installed before.

    UserError where the network would be needed and Blender's preference forbids it.
    """
    chosen = preferences()
    wheelhouse = Path(bpy.path.abspath(chosen.wheelhouse)) if chosen.wheelhouse else None
    if wheelhouse is not None and not wheelhouse.is_dir():
        raise UserError(f"There is no wheelhouse {wheelhouse}. Choose another folder, or leave it empty.")
    known = accelerator.removeprefix(AUTOMATIC) or str(marker(environment_in(backend_folder())).get("accelerator", ""))
    return Plan(backend_folder(), known, wheelhouse, bool(bpy.app.online_access))


def source_problem() -> str:
    """Return why there is nothing to install from, "" where there is a network or a wheelhouse."""
    problem = online_problem()
    return "" if preferences().wheelhouse or not problem else f"{problem} Or choose a wheelhouse."


def _run(operator: bpy.types.Operator, command: str, accelerator: str = "") -> set[str]:
    return attempt(operator, lambda: _setup.start(command, make_plan(accelerator)))


_items: list[tuple[str, str, str]] = []  # Blender keeps no reference to the texts of an enumeration


def _choices(_operator: bpy.types.Operator, _context: bpy.types.Context) -> list[tuple[str, str, str]]:
    offered = _setup.offer.get("choices", ())
    _items[:] = [
        (choice["name"], f"{choice['label']}, {choice['size'] / 1e9:.1f} GB", choice["problem"])
        for choice in offered
    ] or [(AUTOMATIC, "Automatic", "What fits this machine best")]
    return _items


class TEMPERA_OT_install_backend(bpy.types.Operator):
    """Fetch PyTorch and what else the worker needs into a Python of its own."""

    bl_idname = "tempera.install_backend"
    bl_label = "Install Backend"
    bl_description = "Fetch PyTorch and what else the worker needs into a Python of its own; Blender's stays as it is"
    bl_options: ClassVar = {"INTERNAL"}

    accelerator: EnumProperty(
        name="Computes on", description="What networks run on", items=_choices, options={"SKIP_SAVE"}
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Look at the machine and ask, with what it will cost."""

        def look_around() -> None:
            if source_problem():
                raise UserError(source_problem())
            _setup.find_choices()
            self.accelerator = _setup.offer["best"]

        if attempt(self, look_around) == {"CANCELLED"}:
            return {"CANCELLED"}
        return context.window_manager.invoke_props_dialog(self, width=DIALOG)

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the choice, its size, and where it goes."""
        layout = self.layout
        draw_in_dialog(layout, _setup.offer["reason"], DIALOG)
        layout.prop(self, "accelerator")
        choice = next(each for each in _setup.offer["choices"] if each["name"] == self.accelerator)
        for line in terms(choice):
            draw_in_dialog(layout, line, DIALOG)
        if choice["problem"]:
            draw_in_dialog(layout, choice["problem"], DIALOG, "ERROR")

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Begin."""
        if problem := source_problem():
            self.report({"ERROR"}, rpt_(problem))
            return {"CANCELLED"}
        return _run(self, "install", self.accelerator)


def terms(choice: Mapping[str, Any]) -> list[str]:
    """Return what an artist agrees to by installing what a ``choice`` stands for, as lines."""
    fetched, kept = choice["size"] / 1e9, choice["size"] * 2.2 / 1e9
    lines = [
        rpt_("About {fetched:.1f} GB are fetched, {kept:.1f} GB kept.").format(fetched=fetched, kept=kept),
        rpt_("They go to {folder}.").format(folder=backend_folder()),
        rpt_("uv may fetch a Python for them, from where it keeps its own."),
    ]
    if choice["source"]:
        told = rpt_("PyTorch comes from {source}, checked by the checksums that are given there.")
        lines.append(told.format(source=choice["source"]))
    return lines


class TEMPERA_OT_cancel_install(bpy.types.Operator):
    """Stop setting up the backend."""

    bl_idname = "tempera.cancel_install"
    bl_label = "Cancel"
    bl_description = "Stop; what has arrived is kept, and installing goes on from there"
    bl_options: ClassVar = {"INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Stop."""
        return attempt(self, _setup.installing.cancel)


class TEMPERA_OT_verify_backend(bpy.types.Operator):
    """Let the backend prove that it works."""

    bl_idname = "tempera.verify_backend"
    bl_label = "Verify"
    bl_description = "Import everything and run two steps of a tiny model"
    bl_options: ClassVar = {"INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Begin."""
        return _run(self, "verify")


class TEMPERA_OT_repair_backend(bpy.types.Operator):
    """Make the backend anew."""

    bl_idname = "tempera.repair_backend"
    bl_label = "Repair"
    bl_description = "Make the backend anew; what is still here of its packages is used again"
    bl_options: ClassVar = {"INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Begin."""
        return _run(self, "repair")


class TEMPERA_OT_remove_backend(AsksFirst, bpy.types.Operator):
    """Remove what was installed."""

    bl_idname = "tempera.remove_backend"
    bl_label = "Remove"
    bl_description = "Remove what was installed; models and jobs stay"
    bl_options: ClassVar = {"INTERNAL"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Begin."""
        return _run(self, "remove")


class TEMPERA_OT_copy_install_report(bpy.types.Operator):
    """Copy what to pass on about a failed install."""

    bl_idname = "tempera.copy_install_report"
    bl_label = "Copy Report"
    bl_description = "Copy what is known of the failure, to pass it on; it names no one"
    bl_options: ClassVar = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Copy."""
        ended = _setup.installing.ended
        if ended is None or not ended.report:
            self.report({"ERROR"}, rpt_("Nothing has failed. There is no report to copy."))
            return {"CANCELLED"}
        context.window_manager.clipboard = ended.report
        return {"FINISHED"}


classes = (
    TEMPERA_OT_install_backend,
    TEMPERA_OT_cancel_install,
    TEMPERA_OT_verify_backend,
    TEMPERA_OT_repair_backend,
    TEMPERA_OT_remove_backend,
    TEMPERA_OT_copy_install_report,
)


def register() -> None:
    """Look, once Blender is up, at what is installed; nothing else happens by itself."""
    timers.start(_setup.refresh)


def unregister() -> None:
    """Stop what is being done."""
    timers.stop(_setup.refresh)
    _setup.installing.close()
