"""Correspondence at a coarser grid: that of a model's latent cells or of its attention tokens."""

from __future__ import annotations

import numpy as np

from .correspondence import Correspondence


def at_cells(pair: Correspondence, side: int, shape: tuple[int, int]) -> Correspondence:
    """Return ``pair`` on a grid of cells ``side`` px wide, ``shape`` (rows, columns) of them, flow in cells.

    A cell moves as the pixel next to its centre does, of those that are valid: a mean would mix the surfaces that meet
    in it. ``valid`` is the share of the cell's pixels that are valid, ``strict`` holds where all of them are strict. A
    grid that reaches beyond the picture (one padded at the right and the bottom) has nothing valid there.
    """
    blocks = [_blocks(part, side, shape) for part in (pair.flow, pair.valid[..., None], pair.strict[..., None])]
    flow, valid, strict = blocks
    offset = np.arange(side) - (side - 1) / 2
    distance = np.hypot(*np.meshgrid(offset, offset, indexing="ij")).ravel()
    nearest = np.argmin(np.where(valid[..., 0] > 0, distance, distance + 4 * side), axis=-1)
    moved = np.take_along_axis(flow, nearest[..., None, None], axis=2)[:, :, 0] / side
    safe = strict.min(axis=(2, 3))
    return Correspondence(moved.astype(np.float32), valid.mean((2, 3), dtype=np.float32), safe)


def _blocks(values: np.ndarray, side: int, shape: tuple[int, int]) -> np.ndarray:
    """Return ``values`` (H, W, C) as (rows, columns, side * side, C), zero beyond the picture."""
    rows, columns = shape
    height, width = rows * side, columns * side
    values = values[:height, :width]
    values = np.pad(values, ((0, height - values.shape[0]), (0, width - values.shape[1]), (0, 0)))
    blocks = values.reshape(rows, side, columns, side, -1).swapaxes(1, 2)
    return blocks.reshape(rows, columns, side * side, -1)
