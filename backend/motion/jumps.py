"""A coarse look at two neighbouring frames, for coordinates that jump from one to the other.

It costs hardly more than reading the frames, so that every pair of neighbours of a shot can be looked at. Whom it
suspects is judged in full by ``stability``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .addresses import TOLERANCE as FOOTPRINTS
from .addresses import AddressBook, System
from .correspondence import TOLERANCE
from .geometry import SceneGeometry
from .kernels import push
from .vectors import neighbour_flow

LOOKED_AT = 1 << 16  # pixels of a frame, evenly spaced, at most
ENOUGH = 16  # of an object that a suspicion needs
JUMP = 0.5  # px, by which half of an object's pixels are off
COORDINATES = (System.MATRICES, System.GENERATED, System.REST, System.UV)


def jumping(book: AddressBook, frame: int) -> np.ndarray:
    """Compare all coordinates with the Vector pass from ``frame`` to the next, on a grid of the frame's pixels.

    Returns whose coordinate is more than ``JUMP`` off on most pixels, ``(len(System), objects)`` bool.
    """
    compared, off = jumped(book, frame)
    found = np.zeros((len(System), len(compared)), bool)
    found[list(COORDINATES)] = (compared >= ENOUGH) & (2 * off > compared)
    return found


def jumped(book: AddressBook, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Count each object's pixels that were compared ``(objects,)``, and that were off ``(COORDINATES, objects)``.

    Pixels beside another surface do not count, nor does what the next frame hides.
    """
    scene = book.scene
    here, there = scene.layer(frame), scene.layer(frame + 1)
    step = int(np.ceil(np.sqrt(here.index.size / LOOKED_AT)))
    owners = book.owner(frame), book.owner(frame + 1)
    flows = neighbour_flow(here, 1), neighbour_flow(there, -1), push(here.position, owners[0], _moves(scene, frame))
    sought, shown = (tuple(map(np.ascontiguousarray, (each.generated, each.rest, each.uv))) for each in (here, there))
    return _compare(step, len(scene.objects), *owners, *flows, sought, shown)


def _moves(scene: SceneGeometry, frame: int) -> np.ndarray:
    """Return what carries owners' world points to the clip space of the next frame, ``(owners, 4, 4)``.

    NaN for what is no object. Where an object has no matrices nothing is pushed, so that they count as off.
    """
    before, after = (np.nan_to_num(scene.matrices[:, f - scene.frames[0]]) for f in (frame, frame + 1))
    moves = scene.cameras[frame + 1].clip @ after @ np.linalg.pinv(before)
    return np.pad(moves, ((0, 2), (0, 0), (0, 0)), constant_values=np.nan)


@njit(cache=True, nogil=True)
def _compare(
    step: int, objects: int, owner: np.ndarray, owner_next: np.ndarray, flow: np.ndarray, back: np.ndarray,
    pushed: np.ndarray, sought: tuple[np.ndarray, ...], shown: tuple[np.ndarray, ...],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Follow pixels on a grid ``step`` px wide by ``flow``, and see who is off: matrices, or what else is ``sought``.

    Matrices are where they differ from ``flow`` by what they have ``pushed``. The other coordinates ``sought``
    ``(H, W, 2 or 3)`` are looked up in the plane of three pixels around, of what the next frame has ``shown``.
    """
    height, width = owner.shape
    compared, off = np.zeros(objects, np.int64), np.zeros((1 + len(sought), objects), np.int64)
    for y in range(step // 2, height, step):
        for x in range(step // 2, width, step):
            o, px, py = owner[y, x], x + np.float64(flow[y, x, 0]), y + np.float64(flow[y, x, 1])
            if not (0 <= o < objects and 1 < px < width - 2 and 1 < py < height - 2):  # its neighbours are in the frame
                continue
            u, v = int(np.rint(px)), int(np.rint(py))
            across, down = (1 if px >= u else -1), (1 if py >= v else -1)
            seen = owner_next[v, u] == o and owner_next[v, u + across] == o and owner_next[v + down, u] == o
            returned = max(abs(flow[y, x, 0] + back[v, u, 0]), abs(flow[y, x, 1] + back[v, u, 1]))
            if not (seen and returned < TOLERANCE):
                continue
            compared[o] += 1
            off[0, o] += not max(abs(pushed[y, x, 0] - flow[y, x, 0]), abs(pushed[y, x, 1] - flow[y, x, 1])) <= JUMP
            for k in range(len(sought)):
                a, b, left = _solved(sought[k][y, x], shown[k], u, v, across, down)
                aside = max(abs(u + across * a - px), abs(v + down * b - py))
                off[k + 1, o] += not (aside <= JUMP and left <= FOOTPRINTS * FOOTPRINTS)
    return compared, off


@njit(cache=True, nogil=True)
def _solved(
    sought: np.ndarray, values: np.ndarray, u: int, v: int, across: int, down: int
) -> tuple[float, float, float]:
    """Return where in the plane of a pixel and two neighbours ``sought`` is, in their steps, and how far off the plane.

    The latter is a square, in footprints. All are NaN where the three are alike.
    """
    xx, yy, xy, bx, by, gg = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for c in range(values.shape[2]):
        origin = np.float64(values[v, u, c])
        i, j, wanted = values[v, u + across, c] - origin, values[v + down, u, c] - origin, sought[c] - origin
        xx, yy, xy = xx + i * i, yy + j * j, xy + i * j
        bx, by, gg = bx + i * wanted, by + j * wanted, gg + wanted * wanted
    determinant = xx * yy - xy * xy
    if not determinant > 0:
        return np.nan, np.nan, np.nan
    a, b = (bx * yy - by * xy) / determinant, (by * xx - bx * xy) / determinant
    return a, b, 2 * (gg - a * bx - b * by) / (xx + yy)
