"""The probe shots: rendered by a real Blender and captured by Tempera once a session, with their ray-cast truth."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from backend.shot.shot import Shot

ROOT = Path(__file__).resolve().parents[2]
BLENDERS = [name for name in (".venv", ".venv-bpy42", ".venv-bpy45") if (ROOT / name / "bin" / "python").exists()]
SKY, VISIBLE, HIDDEN, OUTSIDE, UNKNOWN = range(5)
GRAZING = 0.2  # cosine below which a face is grazing
_folders: list[tempfile.TemporaryDirectory] = []


@dataclass(frozen=True)
class Truth:
    """What became of each pixel of one frame in another: all ``(H, W)``, flow ``(H, W, 2)`` in pixels.

    ``owner`` is the place in the shot's objects (their number is the sky); ``state`` is VISIBLE, HIDDEN, OUTSIDE or
    UNKNOWN; ``cosine`` is that of the face to the ray in the first frame; ``grazing`` where it is small in either.
    """

    flow: np.ndarray
    state: np.ndarray
    owner: np.ndarray
    cosine: np.ndarray
    grazing: np.ndarray


class Probe:
    """A captured shot and its truth."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shot"
        self.arrays = dict(np.load(folder / "truth.npz"))
        self.objects = Shot.open(self.folder).info.objects

    def shot(self) -> Shot:
        """A newly opened shot, nothing cached."""
        return Shot.open(self.folder)

    def number(self, name: str) -> int:
        """The place of an object in the shot's list."""
        return [entry.name for entry in self.objects].index(name)

    def truth(self, i: int, j: int) -> Truth:
        """What became of frame ``i`` in frame ``j``."""
        names = [str(name).split("|") for name in self.arrays[f"names_{i}"]]
        places = {(entry.name, entry.random if entry.instance else 0.0): k for k, entry in enumerate(self.objects)}
        numbers = np.array([places[name, np.float32(random)] for name, random in names] + [len(self.objects)])
        here, there = self.arrays[f"cosine_{i}"], self.arrays[f"cosine_{i}_{j}"]
        owner = numbers[self.arrays[f"owner_{i}"]]
        grazing = (np.minimum(here, there) < GRAZING) & (owner < len(self.objects))
        return Truth(self.arrays[f"flow_{i}_{j}"], self.arrays[f"state_{i}_{j}"], owner, here, grazing)


@cache
def probe(*options: str, blender: str = ".venv") -> Probe:
    """Render a probe shot (see ``probe_scene.py`` for the options), once a session."""
    python = ROOT / blender / "bin" / "python"
    if not python.exists():
        pytest.skip("needs Blender as a Python module: make environments")
    _folders.append(tempfile.TemporaryDirectory())
    folder = Path(_folders[-1].name)
    command = [str(python), str(Path(__file__).with_name("probe_scene.py")), str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (folder / "truth.npz").exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return Probe(folder)
