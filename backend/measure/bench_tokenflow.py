"""Rows of the bench about TokenFlow's memory: what a shot needs at once must not grow with its length.

Each length runs in a process of its own, ``python -m backend.measure.bench_tokenflow MODEL COUNT``, since a process
never tells less than the most it ever held. The model has the shape of Stable Diffusion 1.5 and random weights, the
shot is a texture that pans.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..bridge.resident import most_resident
from ..bridge.settings import from_keywords
from ..diffusion.model import open_model
from ..methods.tokenflow import tokenflow
from ..motion.correspondence import Correspondence, identity
from .bench_core import save_random
from .rows import Rows, row

COUNTS = (40, 100, 200)
SIZE = (128, 72)
PAN = 4  # pixels a frame
SETTINGS = {
    "steps": 1, "strength": 1.0, "guidance": 5.0, "noise": "shared", "correspondence": "motion",
    "finish": False,  # it keeps as many pictures as fit into a fixed number of bytes, more than a small shot has
}


class PanningClip:
    """A texture that pans over ``count`` frames, made when asked for; with the interface of a shot and of motion."""

    has_data = False
    width, height = SIZE

    def __init__(self, count: int) -> None:
        self.frames = tuple(range(1, count + 1))
        self.info, self.motion = SimpleNamespace(cuts=()), self
        self._texture = np.random.default_rng(0).random((self.height, 2 * self.width, 3)).astype(np.float32)

    def beauty(self, frame: int) -> np.ndarray:
        """Return a frame, (H, W, 3)."""
        return np.roll(self._texture, -PAN * frame, 1)[:, : self.width]

    def pair(self, i: int, j: int) -> Correspondence:
        """Return the pan from frame ``i`` to ``j``."""
        still = identity(SIZE)
        there = np.arange(self.width) - PAN * (j - i)
        inside = np.broadcast_to((there >= 0) & (there < self.width), still.strict.shape)
        return Correspondence(still.flow - np.array([PAN * (j - i), 0], np.float32), inside.astype(np.float32), inside)

    def describe(self) -> dict[str, Any]:
        """Say where the motion comes from."""
        return {"source": "analytic", "objects": {}}


def memory_by_length() -> Rows:
    """Run shots of COUNTS frames, each in a process of its own; return the most memory that each held."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        save_random(Path(folder), large=False, pipeline="StableDiffusionPipeline", full=False)
        for count in COUNTS:
            command = [sys.executable, "-m", f"{__package__}.bench_tokenflow", folder, str(count)]
            root = Path(__file__).parents[len(__package__.split("."))]
            done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
            peaks[count] = float(done.stdout.split()[-1])
    rows = {f"tokenflow, peak memory at {count} frames": row(peak, "MiB") for count, peak in peaks.items()}
    rows["tokenflow, memory of 200 frames / of 40"] = row(peaks[200] / peaks[40], "x", at_most=1.05)
    return rows


def main(arguments: Sequence[str]) -> None:
    """Run the model in a folder over a clip of so many frames; write the process's peak memory in MiB."""
    folder, count = arguments
    clip: Any = PanningClip(int(count))
    for _ in tokenflow(clip, open_model(Path(folder)), from_keywords("tokenflow", **SETTINGS), clip.frames, {}):
        pass
    sys.stdout.write(f"{most_resident() / 2**20}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
