"""What runs cost on this machine, learnt from the reports of those that ended here."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ..backend.bridge.errors import UserError
from ..backend.bridge.files import read_json, write_json
from ..backend.bridge.settings import Settings
from .over_time import keyframed
from .render_tools import frame_size


@dataclass(frozen=True)
class Cost:
    """How long a run will take, how much memory, and how many network evaluations."""

    seconds: float
    gigabytes: float
    evaluations: int


class Costs:
    """The last report of each method and model, kept in ``path``. Nothing is read but once, at the first question."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reports: dict[str, Any] | None = None

    def of(self, scene: bpy.types.Scene, run: Settings, frames: int) -> Cost | None:
        """Return what ``frames`` at the scene's size take by ``run``, None where no run here ever told.

        All grows as the method expects its network evaluations to, or the frames where it has none; time grows with
        the pixels too.
        """
        report = self._known.get(_kind(run))
        if report is None:
            return None
        width, height = frame_size(scene)
        pixels = width * height / (report["size"][0] * report["size"][1])
        share = (run.evaluations(frames) or frames) / (report["expected"] or report["made"])
        asked = round(report["evaluations"] * share)
        return Cost(report["seconds"] * share * pixels, report["memory"] / 2**30, asked)

    def learn(self, run: Settings, report: dict[str, Any]) -> None:
        """Take the ``report`` of a run that ended; one that made nothing teaches nothing."""
        with contextlib.suppress(KeyError):
            learnt = {name: report[name] for name in ("seconds", "evaluations", "size", "memory")}
            learnt["made"] = report["frames_made_in_this_run"]
            learnt["expected"] = run.evaluations(learnt["made"])
            if learnt["made"]:
                self._known[_kind(run)] = learnt
                with contextlib.suppress(UserError):  # known in this session all the same
                    write_json(self._path, self._known)

    @property
    def _known(self) -> dict[str, Any]:
        if self._reports is None:
            self._reports = {}
            with contextlib.suppress(UserError):
                self._reports = read_json(self._path)
        return self._reports


def as_shown(scene: bpy.types.Scene) -> Settings:
    """Return the settings as the panel is set and keyframed, at once, for the cost of a run of them."""
    run = scene.tempera.settings()
    return dataclasses.replace(run, over_time=keyframed(scene, run))


def _kind(run: Settings) -> str:
    return f"{run.method} {getattr(run.chosen, 'model', '')}"
