"""Rows of the bench about surface-anchored noise: as much of it is shared as the geometry of two frames allows."""

from __future__ import annotations

import numpy as np

from ..motion.addresses import Page
from ..motion.exact import ExactMotion
from ..motion.geometry import pixel_grid
from ..motion.noise import AnchoredNoise
from .bench_motion import synthetic_lags
from .rows import Rows, row
from .synthetic import SyntheticShot, device_coordinates, view_rays

SIZE = 256, 144
CELL = 8  # px, a latent cell
FINE = 3  # rays a side in every pixel, from which the true overlap is taken
DRAWS = 512  # channels of noise that stand for as many seeds
SHARED = 0.2  # overlap from which a cell counts as seen again


def anchored_noise() -> Rows:
    """Correlate the anchored noise of the synthetic shot's frames and hold it against the overlap of their cells.

    A cell is held against the one of the other frame that shares most of its surface, where each shows one object
    alone. Of two cells that show surfaces A and B white noise can share no more than |A and B| / sqrt(|A| |B|).
    """
    shot, fine = SyntheticShot(SIZE), SyntheticShot((SIZE[0] * FINE, SIZE[1] * FINE))
    motion = ExactMotion(shot.geometry())

    def page(frame: int) -> Page:
        return motion.book.page(frame, motion.stability.systems(frame, frame))

    noise = AnchoredNoise(page, shot.frames, 0, CELL)
    shape = DRAWS, SIZE[1] // CELL, SIZE[0] // CELL
    rows = {}
    for name, (i, j) in {"lag 1": (17, 16), **synthetic_lags(shot)}.items():
        overlap = cell_overlap(fine, i, j)
        most = overlap.argmax(1)
        alone, alone_there = (of_one_object(shot, frame) for frame in (i, j))
        seen = np.flatnonzero((overlap.max(1) > SHARED) & alone & alone_there[most])
        here, there = (noise(frame, shape).reshape(DRAWS, -1) for frame in (i, j))
        found = float((here[:, seen] * there[:, most[seen]]).mean())
        ceiling = float(overlap[seen, most[seen]].mean())
        rows[f"anchored noise, correlation at {name}"] = row(found)
        rows[f"anchored noise, what the overlap allows less that, {name}"] = row(abs(ceiling - found), at_most=0.02)
    return {f"synthetic shot, {name}": one for name, one in rows.items()}


def cell_overlap(fine: SyntheticShot, i: int, j: int) -> np.ndarray:
    """Return the shared surface of every cell of frame ``i`` with every cell of ``j`` over the root of both areas.

    ``(cells, cells)`` float64; ``fine`` has ``FINE`` rays a side in every pixel.
    """
    columns = SIZE[0] // CELL
    cells = columns * (SIZE[1] // CELL)
    pair = fine.motion.pair(i, j)
    grid = pixel_grid(fine.info.size)

    def cell_of(position: np.ndarray) -> np.ndarray:
        x, y = np.moveaxis(np.floor((position + 0.5) / (CELL * FINE)).astype(int), -1, 0)
        return np.clip(y, 0, SIZE[1] // CELL - 1) * columns + np.clip(x, 0, columns - 1)

    here, there, seen = cell_of(grid).ravel(), cell_of(grid + pair.flow).ravel(), pair.valid.ravel() > 0
    area, other = (surface_area(fine, frame).ravel() for frame in (i, j))
    shared = np.bincount(here[seen] * cells + there[seen], area[seen], cells * cells).reshape(cells, cells)
    whole, whole_there = np.bincount(here, area, cells), np.bincount(here, other, cells)
    return shared / np.sqrt(whole[:, None] * whole_there)


def of_one_object(shot: SyntheticShot, frame: int) -> np.ndarray:
    """Mark the cells that show one object, or the sky, and nothing else, ``(cells,)`` bool."""
    solid = shot.rays(frame).solid.reshape(SIZE[1] // CELL, CELL, SIZE[0] // CELL, CELL)
    return (solid == solid[:, :1, :, :1]).all((1, 3)).ravel()


def surface_area(shot: SyntheticShot, frame: int) -> np.ndarray:
    """Return the area of surface that each pixel shows, ``(H, W)``, up to a factor; of the sky its solid angle."""
    layer, camera = shot.layer(frame), shot.info.cameras[frame]
    ray = view_rays(camera, device_coordinates(shot.info.size))
    facing = np.abs((layer.normal * ray).sum(-1))
    return np.where(layer.sky, (ray**2).sum(-1) ** -1.5, layer.depth**2 / np.maximum(facing, 1e-3))
