"""Gaussian noise that sticks to surfaces, and is exactly white in every frame.

A surface's squares (``surfels``) carry a field of white noise: each has a standard normal of its own, and those of its
quarters add up to twice that, as a Haar transform has it. A latent cell's noise is the normalised sum of the surfels
that are seen in it, each by the root of its part. A surfel counts in one cell only, so given the geometry the cells of
a frame are independent standard normals; two frames share as much noise as they share surface. Nothing is carried from
frame to frame: any frame can be made alone, in any order.

Follows the idea of noise as the integral of a white field over a cell (Chang et al., How I Warped Your Noise, ICLR
2024), with surface addresses in place of an estimated flow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numba import njit

from .addresses import Page
from .cache import Budget, Cache
from .surfels import DEPTH, Surfels, find_surfels, mix, usual_sampling


class AnchoredNoise:
    """Surface-anchored noise of one shot.

    ``page`` gives a frame's addresses, ``frames`` are all frames of the shot (some of them tell the proportions of its
    objects), ``factor`` is the side of a latent cell in pixels, ``seed`` any whole number; ``memory`` is what surfels
    are kept within.
    """

    def __init__(self, page: Callable[[int], Page], frames: Sequence[int], seed: int, factor: int = 8,
                 memory: Budget | None = None) -> None:
        self._page, self._frames, self._seed, self._factor = page, tuple(frames), seed, factor
        self._unit: np.ndarray | None = None
        self._surfels: Cache[int, Surfels] = Cache(Budget() if memory is None else memory, self._find_surfels)

    def __call__(self, frame: int, shape: tuple[int, int, int], stream: int = 0) -> np.ndarray:
        """Return the noise of ``frame``, ``(C, h, w)`` float32, standard normal and independent in every element.

        ``stream`` 0 is the initial noise; re-noising samplers take one stream a step. Cells that show no known surface,
        or lie beyond the picture (a padded latent), have noise of their own that no other frame shares.
        """
        channels, height, width = shape
        surfels = self._surfels.get(frame)
        columns = -(-self._page(frame).owner.shape[1] // self._factor)
        y, x = np.divmod(surfels.cell, columns)
        surfels = replace(surfels, cell=np.where((y < height) & (x < width), y * width + x, -1))
        salt = np.uint64(mix(np.uint64(self._seed), np.uint64(stream)))
        noise = gather(surfels, channels, height * width, salt)
        fill_fresh(noise, np.uint64(mix(salt, np.uint64(frame & 0xFFFFFFFF))))
        return noise.reshape(shape)

    def _find_surfels(self, frame: int) -> Surfels:
        if self._unit is None:
            self._unit = usual_sampling(self._page, self._frames)
        return find_surfels(self._page(frame), self._unit, self._factor)


@njit(cache=True, nogil=True)
def _normal(counter: np.uint64) -> float:
    """Return the standard normal that belongs to ``counter`` (Box and Muller 1958)."""
    a, b = mix(counter, np.uint64(1)), mix(counter, np.uint64(2))
    radius = np.sqrt(-2.0 * np.log((np.float64(a >> np.uint64(11)) + 0.5) * 2.0**-53))
    return radius * np.cos(2.0 * np.pi * np.float64(b >> np.uint64(11)) * 2.0**-53)


def gather(surfels: Surfels, channels: int, cells: int, salt: np.uint64) -> np.ndarray:
    """Sum the surfels' Gaussians in their cells to variance 1: ``(channels, cells)`` float32, NaN where none.

    Surfels whose cell is negative are left out.
    """
    kept = surfels.cell >= 0
    cell, share = surfels.cell[kept], np.sqrt(surfels.weight[kept], dtype=np.float64)
    total = np.full((cells, channels), np.nan)
    total[cell] = 0
    _add_up(surfels.key[kept], surfels.depth[kept], cell, share, salt, total)
    return total.T.astype(np.float32)


@njit(cache=True, nogil=True)
def _add_up(
    key: np.ndarray, depth: np.ndarray, cell: np.ndarray, share: np.ndarray, salt: np.uint64, total: np.ndarray
) -> None:  # fmt: skip
    """Add every surfel's Gaussians, times ``share``, to its cell's ``total`` ``(cells, channels)``.

    Of a square with value X the quarters have (X ± a ± b ± c) / 2, with normals a, b, c of its own: they are
    independent standard normals, and add up to 2 X. Surfels come in order of their keys, so that neighbours share all
    but the last halvings of the way down from their tile.
    """
    channels = total.shape[1]
    value, parts = np.empty((DEPTH + 1, channels)), np.empty((DEPTH, 3, channels))
    for n in range(len(key)):
        first = _halvings_shared(key[n], key[n - 1]) if n else -1
        fresh = first < 0
        if fresh:
            first = 0
            _draw(mix(salt, key[n] >> np.uint64(2 * DEPTH)), value[0])
        for d in range(first, depth[n]):
            below = np.uint64(2 * (DEPTH - d))
            if fresh or d > first:  # else the surfel before went through this square too
                square = mix(mix(salt, (key[n] >> below) << below), np.uint64(d + 1))
                for k in range(3):
                    _draw(mix(square, np.uint64(k)), parts[d, k])
            quarter = (key[n] >> (below - np.uint64(2))) & np.uint64(3)
            a, b = (-1.0 if quarter & np.uint64(1) else 1.0), (-1.0 if quarter & np.uint64(2) else 1.0)
            for c in range(channels):
                value[d + 1, c] = (value[d, c] + a * parts[d, 0, c] + b * parts[d, 1, c] + a * b * parts[d, 2, c]) / 2
        for c in range(channels):
            total[cell[n], c] += share[n] * value[depth[n], c]


@njit(cache=True, nogil=True)
def _halvings_shared(a: np.uint64, b: np.uint64) -> int:
    """Return how many halvings two keys share; -1 if their tiles differ."""
    differing, depth = a ^ b, DEPTH
    while differing > 0 and depth >= 0:
        differing >>= np.uint64(2)
        depth -= 1
    return depth


@njit(cache=True, nogil=True)
def _draw(square: np.uint64, out: np.ndarray) -> None:
    """Write the standard normals that belong to a square to ``out``, one for each channel."""
    for channel in range(len(out)):
        out[channel] = _normal(mix(square, np.uint64(channel)))


@njit(cache=True, nogil=True)
def fill_fresh(noise: np.ndarray, salt: np.uint64) -> None:
    """Write noise of its own into every NaN of ``noise`` ``(channels, cells)``."""
    for channel in range(noise.shape[0]):
        for cell in range(noise.shape[1]):
            if np.isnan(noise[channel, cell]):
                noise[channel, cell] = _normal(mix(mix(salt, np.uint64(channel)), np.uint64(cell)))
