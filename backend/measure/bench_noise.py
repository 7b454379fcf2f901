"""Rows of the bench about surface-anchored noise: as much of it is shared as the geometry of two frames allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..bridge.errors import UserError
from ..motion.exact import ExactMotion
from ..motion.geometry import pixel_grid
from ..motion.noise import AnchoredNoise
from ..shot.shot import AGAIN, Shot
from .bench_motion import synthetic_lags
from .ray_truth import VISIBLE, RayTruth
from .rows import Rows, row
from .synthetic import SyntheticShot, device_coordinates, view_rays

SIZE = 256, 144
CELL = 8  # px, a latent cell
FINE = 3  # rays a side in every pixel, from which the true overlap is taken
DRAWS = 512  # channels of noise that stand for as many seeds
MOST_PAIRS = 6  # of a rendered shot, of each lag
SHARED = 0.2  # overlap from which a cell counts as seen again


def anchored_noise() -> Rows:
    """Correlate the anchored noise of the synthetic shot's frames and hold it against the overlap of their cells.

    A cell is held against the one of the other frame that shares most of its surface, where each shows one object
    alone. Of two cells that show surfaces A and B white noise can share no more than |A and B| / sqrt(|A| |B|).
    """
    shot, fine = SyntheticShot(SIZE), SyntheticShot((SIZE[0] * FINE, SIZE[1] * FINE))
    noise = noise_of(ExactMotion(shot.geometry()), shot.frames)
    rows: Rows = {}
    for name, (i, j) in {"lag 1": (17, 16), **synthetic_lags(shot)}.items():
        pair = fine.motion.pair(i, j)
        areas = (surface_area(fine, i), surface_area(fine, j))
        overlap = cell_overlap(pair.flow, pair.valid > 0, areas, CELL * FINE)
        solids = (shot.rays(i).solid, shot.rays(j).solid)
        rows |= _rows(name, [correlations(noise, (i, j), overlap, solids, DRAWS)])
    return {f"synthetic shot, {name}": one for name, one in rows.items()}


def rendered_noise(folder: Path) -> Rows:
    """Do the same with a rendered shot and its ray-cast truth, one ray a pixel: what deforms and instances are in it.

    UserError where ``folder`` holds no truth (``tools/bench_truth.py``).
    """
    truth = RayTruth(folder)
    shot = truth.shot()
    frames, motion = shot.info.data_frames, shot.motion
    if not isinstance(motion, ExactMotion):
        raise UserError(f"The shot in {folder} has no data layer. {AGAIN}")
    noise = noise_of(motion, frames)
    rows: Rows = {}
    for name, gap in {"lag 1": 1, "lag 8": 8, "first-last": frames[-1] - frames[0]}.items():
        found = []
        for i, j in truth.pairs(gap)[:MOST_PAIRS]:
            there = truth.truth(i, j)
            seen = (there.state == VISIBLE) & np.isfinite(there.flow).all(-1)
            areas = (_rendered_area(truth, shot, i), _rendered_area(truth, shot, j))
            overlap = cell_overlap(np.nan_to_num(there.flow), seen, areas, CELL)
            found.append(correlations(noise, (i, j), overlap, (there.owner, truth.truth(j, i).owner), DRAWS // 2))
        rows |= _rows(name, found)
    return {f"ray-cast truth, {name}": one for name, one in rows.items()}


def noise_of(motion: ExactMotion, frames: Sequence[int]) -> AnchoredNoise:
    """Return the anchored noise of a shot's ``frames`` in cells of ``CELL`` px."""
    return AnchoredNoise(lambda f: motion.book.page(f, motion.stability.systems(f, f)), frames, 0, CELL)


def correlations(
    noise: AnchoredNoise, pair: tuple[int, int], overlap: np.ndarray, owners: tuple[np.ndarray, np.ndarray], draws: int
) -> np.ndarray:
    """Return what cells of two frames share of their noise and of their surface, ``(2, cells seen again)``.

    ``owners`` ``(H, W)`` are what each frame's pixels show.
    """
    shape = tuple(length // CELL for length in owners[0].shape)
    alone, alone_there = (of_one_object(each) for each in owners)
    most = overlap.argmax(1)
    seen = np.flatnonzero((overlap.max(1) > SHARED) & alone & alone_there[most])
    here, there = (noise(frame, (draws, *shape)).reshape(draws, -1) for frame in pair)
    return np.stack([(here[:, seen] * there[:, most[seen]]).mean(0), overlap[seen, most[seen]]])


def _rows(name: str, found: Sequence[np.ndarray]) -> Rows:
    correlation, ceiling = np.concatenate(found, 1).mean(1)
    return {
        f"anchored noise, correlation at {name}": row(correlation),
        f"anchored noise, what the overlap allows less that, {name}": row(abs(ceiling - correlation), at_most=0.02),
    }


def cell_overlap(
    flow: np.ndarray, seen: np.ndarray, areas: tuple[np.ndarray, np.ndarray], side: int
) -> np.ndarray:
    """Return the shared surface of every cell of one frame with every cell of another over the root of both areas.

    ``(cells, cells)`` float64. ``flow`` ``(H, W, 2)`` leads to the other frame and holds where ``seen`` ``(H, W)``;
    ``areas`` are the pixels' surface areas in both frames, ``side`` is that of a cell in pixels.
    """
    rows, columns = flow.shape[0] // side, flow.shape[1] // side
    cells, grid = rows * columns, pixel_grid((flow.shape[1], flow.shape[0]))

    def cell_of(position: np.ndarray) -> np.ndarray:
        x, y = np.moveaxis(np.floor((position + 0.5) / side).astype(int), -1, 0)
        return (np.clip(y, 0, rows - 1) * columns + np.clip(x, 0, columns - 1)).ravel()

    here, there, kept = cell_of(grid), cell_of(grid + flow), seen.ravel()
    area, other = (each.ravel() for each in areas)
    shared = np.bincount(here[kept] * cells + there[kept], area[kept], cells * cells).reshape(cells, cells)
    whole, whole_there = np.bincount(here, area, cells), np.bincount(here, other, cells)
    return shared / np.sqrt(whole[:, None] * whole_there)


def of_one_object(owner: np.ndarray) -> np.ndarray:
    """Mark the cells that show one object, or the sky, and nothing else, ``(cells,)`` bool."""
    blocks = owner.reshape(owner.shape[0] // CELL, CELL, owner.shape[1] // CELL, CELL)
    return (blocks == blocks[:, :1, :, :1]).all((1, 3)).ravel()


def _rendered_area(truth: RayTruth, shot: Shot, frame: int) -> np.ndarray:
    layer = shot.layer(frame)
    if layer is None:
        raise ValueError("a shot with ray-cast truth has a data layer")
    return np.where(layer.sky, 1.0, layer.depth**2 / np.maximum(truth.arrays[f"cosine_{frame}"], 1e-3))


def surface_area(shot: SyntheticShot, frame: int) -> np.ndarray:
    """Return the area of surface that each pixel shows, ``(H, W)``, up to a factor; of the sky its solid angle."""
    layer, camera = shot.layer(frame), shot.info.cameras[frame]
    ray = view_rays(camera, device_coordinates(shot.info.size))
    facing = np.abs((layer.normal * ray).sum(-1))
    return np.where(layer.sky, (ray**2).sum(-1) ** -1.5, layer.depth**2 / np.maximum(facing, 1e-3))
