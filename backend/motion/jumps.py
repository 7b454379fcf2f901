"""A coarse look at two neighbouring frames, for coordinates that jump from one to the other.

It costs hardly more than reading the frames, so that every pair of neighbours of a shot can be looked at. Whom it
suspects is judged in full by ``stability``.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from .addresses import System, bind
from .correspondence import TOLERANCE
from .geometry import DataLayer, SceneGeometry
from .vectors import neighbour_flow

LOOKED_AT = 1 << 16  # pixels of a frame, evenly spaced, at most
ENOUGH = 16  # of an object that a suspicion needs
JUMP = 0.5  # px, by which half of an object's pixels are off
COORDINATES = (System.MATRICES, System.GENERATED, System.REST, System.UV)


def jumping(scene: SceneGeometry, frame: int) -> np.ndarray:
    """Compare all coordinates with the Vector pass from ``frame`` to the next, on a grid of the frame's pixels.

    Returns whose coordinate is more than ``JUMP`` off on most pixels, ``(len(System), objects)`` bool. Pixels beside
    another surface do not count, nor does what the next frame hides.
    """
    here, there = scene.layer(frame), scene.layer(frame + 1)
    found = np.zeros((len(System), len(scene.objects)), bool)
    owner, source, landed = _followed(scene, here)
    pixel = np.rint(landed).astype(int)
    side = np.where(landed >= pixel, 1, -1)
    around = [_picked(there, *(pixel + side * axes).T[::-1]) for axes in ((0, 0), (1, 0), (0, 1))]
    returned = landed + neighbour_flow(around[0], -1) - (pixel + neighbour_flow(source, 1))
    kept = (np.abs(returned).max(-1) < TOLERANCE) & np.all([bind(part, scene.objects) == owner for part in around], 0)
    owner, source, around = owner[kept], _picked(source, kept), [_picked(part, kept) for part in around]
    compared = np.bincount(owner, minlength=len(scene.objects))
    for system in COORDINATES:
        sought, *points = (_coordinate(part, system) for part in (source, *around))
        if system == System.MATRICES:
            sought = _moved(scene, frame, owner, sought)
        off = ~(np.abs(pixel[kept] + side[kept] * _solve(sought, *points) - landed[kept]).max(-1) <= JUMP)
        found[system] = (compared >= ENOUGH) & (2 * np.bincount(owner, off, len(scene.objects)) > compared)
    return found


def _picked(layer: DataLayer, *at: np.ndarray) -> DataLayer:
    """Return a layer of the chosen pixels alone."""
    arrays = {each.name: getattr(layer, each.name)[at] for each in fields(layer) if each.name != "addressed"}
    return replace(layer, **arrays)


def _followed(scene: SceneGeometry, layer: DataLayer) -> tuple[np.ndarray, DataLayer, np.ndarray]:
    """Return the objects ``(N,)`` that evenly spaced pixels show, these pixels, and where the next frame has them."""
    height, width = layer.index.shape
    step = int(np.ceil(np.sqrt(height * width / LOOKED_AT)))
    y, x = (part.ravel() for part in np.mgrid[step // 2 : height : step, step // 2 : width : step])
    source = _picked(layer, y, x)
    owner, landed = bind(source, scene.objects), np.stack([x, y], -1) + neighbour_flow(source, 1)
    inner = ((landed > 1) & (landed < (width - 2, height - 2))).all(-1)  # its neighbours are in the frame too
    kept = (owner >= 0) & (owner < len(scene.objects)) & inner
    return owner[kept], _picked(source, kept), landed[kept]


def _coordinate(layer: DataLayer, system: System) -> np.ndarray:
    """Return the pixels' coordinate ``(N, 3)`` float64; by matrices it is where they are in the world."""
    passes = {System.MATRICES: "position", System.GENERATED: "generated", System.REST: "rest", System.UV: "uv"}
    values = getattr(layer, passes[system])
    return np.pad(values, ((0, 0), (0, 3 - values.shape[1]))).astype(np.float64)


def _moved(scene: SceneGeometry, frame: int, owner: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Carry world points ``(N, 3)`` of ``frame`` to the next by their objects' matrices."""
    before, after = (np.nan_to_num(scene.matrices[:, f - scene.frames[0]]) for f in (frame, frame + 1))
    moves = (after @ np.linalg.pinv(before))[owner]
    return np.einsum("nij,nj->ni", moves[:, :3, :3], points) + moves[:, :3, 3]


def _solve(sought: np.ndarray, origin: np.ndarray, beside: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return where in the plane of three pixels ``sought`` is, ``(N, 2)`` in their steps; NaN where they are alike."""
    across, down, wanted = beside - origin, below - origin, sought - origin
    xx, yy, xy = ((a * b).sum(-1) for a, b in ((across, across), (down, down), (across, down)))
    bx, by = ((wanted * side).sum(-1) for side in (across, down))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([bx * yy - by * xy, by * xx - bx * xy], -1) / (xx * yy - xy * xy)[:, None]
