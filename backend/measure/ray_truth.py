"""What ray casting says of a rendered shot: the truth that ``tools/bench_truth.py`` writes beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bridge.errors import UserError
from ..shot.shot import Shot

SKY, VISIBLE, HIDDEN, OUTSIDE, UNKNOWN = range(5)
GRAZING = 0.2  # cosine below which a face is grazing


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


class RayTruth:
    """A captured shot in ``folder``/shot and its truth in ``folder``/truth.npz; UserError where there is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shot"
        try:
            self.arrays = dict(np.load(folder / "truth.npz"))
        except (OSError, ValueError) as error:
            raise UserError(f"{folder} holds no ray-cast truth. Write it with tools/bench_truth.py.") from error
        self.objects = Shot.open(self.folder).info.objects

    def shot(self) -> Shot:
        """Return the shot, newly opened, nothing cached."""
        return Shot.open(self.folder)

    def number(self, name: str) -> int:
        """Return the place of an object in the shot's list."""
        return [entry.name for entry in self.objects].index(name)

    def pairs(self, gap: int) -> list[tuple[int, int]]:
        """Return the pairs of frames ``gap`` apart, in either direction, of which the truth is known."""
        known = [tuple(map(int, name.split("_")[1:])) for name in self.arrays if name.startswith("flow_")]
        return sorted((i, j) for i, j in known if abs(i - j) == gap)

    def truth(self, i: int, j: int) -> Truth:
        """Return what became of frame ``i`` in frame ``j``."""
        names = [str(name).split("|") for name in self.arrays[f"names_{i}"]]
        places = {
            (entry.name, float(entry.random) if entry.instance else 0.0): k for k, entry in enumerate(self.objects)
        }
        found = [places[name, float(np.float32(random))] for name, random in names]
        numbers = np.array([*found, len(self.objects)], np.int64)
        here, there = self.arrays[f"cosine_{i}"], self.arrays[f"cosine_{i}_{j}"]
        owner = numbers[self.arrays[f"owner_{i}"]]
        grazing = (np.minimum(here, there) < GRAZING) & (owner < len(self.objects))
        return Truth(self.arrays[f"flow_{i}_{j}"], self.arrays[f"state_{i}_{j}"], owner, here, grazing)


def near_border(state: np.ndarray) -> np.ndarray:
    """Mark the pixels ``(H, W)`` of which one at most 1 px away on either axis has another ``state``."""
    padded = np.pad(state, 1, mode="edge")
    height, width = state.shape
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.any([each != state for each in around], axis=0)
