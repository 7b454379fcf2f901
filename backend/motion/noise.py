"""Gaussian noise that sticks to surfaces, and is exactly white in every frame.

A surface carries a lattice of *surfels*, each with a Gaussian of its own that a counter-based hash draws from its
address. A latent cell's noise is the normalised sum of the surfels that are seen in it. A surfel counts in one cell
only, so given the geometry the cells of a frame are independent standard normals; two frames share as much noise as
they share surfels. Nothing is carried from frame to frame: any frame can be made alone, in any order.

Follows the idea of noise as the integral of a white field over a cell (Chang et al., How I Warped Your Noise, ICLR
2024), with surface addresses in place of an estimated flow, and its bridge construction for magnified cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from .addresses import Page
from .cache import Budget, Cache

SPACING = 1.25  # surfel lattice, in sample spacings at the closest approach
CLOSEST = 5.0  # percentile of sample spacing that counts as the closest approach
MOST_SAMPLES = 24  # along a side of a pixel, where a surface is far or seen edge-on and its lattice fine


@dataclass(frozen=True)
class Surfels:
    """One frame's surfels: parallel arrays over (surfel, cell) pairs, sorted by surfel and then by cell.

    ``key`` uint64 names the surfel, ``cell`` int64 is the row-major latent cell, ``share`` float64 the part of the
    surfel that lies in the cell (1 unless it is split), ``rank`` int64 the place of the cell among the surfel's cells.
    """

    key: np.ndarray
    cell: np.ndarray
    share: np.ndarray
    rank: np.ndarray


class AnchoredNoise:
    """Surface-anchored noise of one shot.

    ``page`` gives a frame's addresses, ``frames`` are all frames of the shot (the lattice is as fine as its closest
    approach to any of them), ``factor`` is the side of a latent cell in pixels, ``seed`` any whole number;
    ``memory`` is what surfels are kept within.
    """

    def __init__(self, page: Callable[[int], Page], frames: Sequence[int], seed: int, factor: int = 8,
                 memory: Budget | None = None) -> None:
        self._page, self._frames, self._seed, self._factor = page, tuple(frames), seed, factor
        self._lattice: np.ndarray | None = None
        self._surfels: Cache[int, Surfels] = Cache(Budget() if memory is None else memory, self._make_surfels)

    def __call__(self, frame: int, shape: tuple[int, int, int], stream: int = 0) -> np.ndarray:
        """Return the noise of ``frame``, ``(C, h, w)`` float32, standard normal and independent in every element.

        ``stream`` 0 is the initial noise; re-noising samplers take one stream a step. Cells that show no known surface,
        or lie beyond the picture (a padded latent), have noise of their own that no other frame shares.
        """
        channels, height, width = shape
        surfels = self._surfels.get(frame)
        columns = -(-self._page(frame).owner.shape[1] // self._factor)
        y, x = surfels.cell // columns, surfels.cell % columns
        inside = (y < height) & (x < width)
        surfels = replace(surfels, cell=np.where(inside, y * width + x, -1))
        salt = np.uint64(_mix(np.uint64(self._seed), np.uint64(stream)))
        noise = gather(surfels, channels, height * width, salt)
        fill_fresh(noise, np.uint64(_mix(salt, np.uint64(frame & 0xFFFFFFFF))))
        return noise.reshape(shape)

    def _make_surfels(self, frame: int) -> Surfels:
        if self._lattice is None:
            self._lattice = lattice(self._page, self._frames)
        page = self._page(frame)
        key, cell = sample(page.owner, page.address, page.scale, self._lattice, self._factor)
        return assign(key, cell)


def lattice(page: Callable[[int], Page], frames: Sequence[int]) -> np.ndarray:
    """Return each owner's surfel spacing along the axes of its address, ``(owners, 3)`` float64.

    The spacing is that of the samples at the closest approach; along an axis in which the address hardly changes (a
    Generated coordinate spans 0 to 1 whatever the object's proportions) it is finer by the same measure.
    """
    spacing: dict[int, np.ndarray] = {}
    for frame in frames:
        shown = page(frame)
        for owner in np.unique(shown.owner[shown.owner >= 0]):
            steps = np.concatenate([_steps(shown, int(owner), axis) for axis in (0, 1)])
            if len(steps):
                closest = np.percentile(np.linalg.norm(steps, axis=1), CLOSEST)
                axes = steps.mean(axis=0)
                if closest == 0:  # no address is known that tells its points apart
                    continue
                found = SPACING * closest * np.maximum(axes / axes.max(), 0.05)
                spacing[int(owner)] = np.minimum(spacing.get(int(owner), found), found)
    table = np.full((max(spacing, default=0) + 1, 3), np.inf)
    for owner, found in spacing.items():
        table[owner] = found
    return table


def _steps(page: Page, owner: int, axis: int) -> np.ndarray:
    """Return how far the address moves from pixel to pixel along ``axis`` on ``owner``, ``(N, 3)``, not below 0."""
    mine = page.owner == owner
    both = mine[1:] & mine[:-1] if axis == 0 else mine[:, 1:] & mine[:, :-1]
    return np.abs(np.diff(page.address, axis=axis)[both]).astype(np.float64)


def assign(key: np.ndarray, cell: np.ndarray) -> Surfels:
    """Count samples into surfels: each goes whole to the cell that shows most of it.

    A cell that would get none, since it is smaller than the surfels it shows, takes its part of them; those are split.
    """
    order = np.lexsort((cell, key))
    key, cell = key[order], cell[order]
    new = np.ones(len(key), bool)
    new[1:] = (key[1:] != key[:-1]) | (cell[1:] != cell[:-1])
    starts = np.flatnonzero(new)
    count = np.diff(np.append(starts, len(key))).astype(np.float64)
    key, cell = key[starts], cell[starts]
    first = np.ones(len(key), bool)
    first[1:] = key[1:] != key[:-1]
    group = np.cumsum(first) - 1
    rank = np.arange(len(key)) - np.flatnonzero(first)[group] if len(key) else group
    total = np.bincount(group, count)[group] if len(key) else count
    # The largest count of each group, the lowest cell among equals.
    best = np.lexsort((cell, -count, group))
    whole = np.zeros(len(key), bool)
    whole[best[first]] = True
    without = ~np.isin(cell, cell[whole])
    split = np.isin(group, group[without])
    kept = whole | split
    share = np.where(split, count / np.maximum(total, 1), 1.0)
    return Surfels(key[kept], cell[kept], share[kept], np.where(split, rank, 0)[kept])


@njit(cache=True, nogil=True)
def _mix(a: np.uint64, b: np.uint64) -> np.uint64:
    """Hash two 64-bit numbers into one (Steele et al., SplitMix, OOPSLA 2014)."""
    z = a + np.uint64(0x9E3779B97F4A7C15) * (b + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def _normal(counter: np.uint64) -> float:
    """Return the standard normal that belongs to ``counter`` (Box and Muller 1958)."""
    a, b = _mix(counter, np.uint64(1)), _mix(counter, np.uint64(2))
    radius = np.sqrt(-2.0 * np.log((np.float64(a >> np.uint64(11)) + 0.5) * 2.0**-53))
    return radius * np.cos(2.0 * np.pi * np.float64(b >> np.uint64(11)) * 2.0**-53)


@njit(cache=True, nogil=True)
def _slope(owner: np.ndarray, page: np.ndarray, at: tuple[int, int], step: tuple[int, int], out: np.ndarray) -> None:
    """Write the change of ``page`` ``(H, W, 4)`` from pixel to pixel along ``step``, within one surface, to ``out``."""
    (y, x), (dy, dx) = at, step
    height, width = owner.shape
    ahead = y + dy < height and x + dx < width and owner[y + dy, x + dx] == owner[y, x]
    behind = y - dy >= 0 and x - dx >= 0 and owner[y - dy, x - dx] == owner[y, x]
    for k in range(4):
        after = page[y + dy, x + dx, k] - page[y, x, k] if ahead else 0.0
        before = page[y, x, k] - page[y - dy, x - dx, k] if behind else 0.0
        # The smaller step where they differ: a fold of the surface must not be taken for its slope.
        if ahead and behind:
            out[k] = after if abs(after) < abs(before) else before
        else:
            out[k] = after + before


@njit(cache=True, nogil=True)
def _samples_along(here: np.ndarray, slope: np.ndarray, spacing: np.ndarray) -> int:
    """Return how many samples a pixel needs along one side, so that hardly a surfel falls between two of them."""
    length = 0.0
    for k in range(3):
        step = (slope[k] - slope[3] * here[k] / here[3]) / here[3]
        length += (step / spacing[k]) ** 2
    return int(min(max(np.ceil(1.5 * np.sqrt(length)), 1.0), MOST_SAMPLES))


@njit(cache=True, nogil=True)
def _surfel_key(owner: int, address: np.ndarray, spacing: np.ndarray) -> np.uint64:
    """Name the surfel of ``owner`` that holds ``address`` ``(3,)``."""
    key = np.uint64(owner)
    for k in range(3):
        key = _mix(key, np.uint64(np.int64(np.floor(address[k] / spacing[k] + 0.5))))
    return key


@njit(cache=True, nogil=True)
def sample(
    owner: np.ndarray, address: np.ndarray, scale: np.ndarray, lattice: np.ndarray, factor: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sample the surfels of a page as densely as its lattice needs.

    Between pixel centres the address is continued along the surface's own slope, exact on planes (``kernels``). Returns
    each sample's surfel ``(N,)`` uint64 and latent cell ``(N,)`` int64.
    """
    height, width = owner.shape
    columns = -(-width // factor)
    page = np.empty((height, width, 4))
    page[..., 3] = scale
    for k in range(3):
        page[..., k] = address[..., k] * scale
    slopes = np.zeros((height, width, 2, 4))
    sides = np.zeros((height, width, 2), np.int64)  # a face seen edge-on needs many samples along one side only
    for y in range(height):
        for x in range(width):
            who = owner[y, x]
            if 0 <= who < len(lattice) and np.isfinite(lattice[who, 0]):
                _slope(owner, page, (y, x), (1, 0), slopes[y, x, 0])
                _slope(owner, page, (y, x), (0, 1), slopes[y, x, 1])
                for side in range(2):
                    sides[y, x, side] = _samples_along(page[y, x], slopes[y, x, side], lattice[who])
    keys = np.empty((sides[..., 0] * sides[..., 1]).sum(), np.uint64)
    cells = np.empty(len(keys), np.int64)
    n = 0
    for y in range(height):
        for x in range(width):
            down, across = sides[y, x]
            for m in range(down * across):
                v, u = (m // across + 0.5) / down - 0.5, (m % across + 0.5) / across - 0.5
                at = page[y, x] + v * slopes[y, x, 0] + u * slopes[y, x, 1]
                keys[n] = _surfel_key(owner[y, x], at[:3] / at[3], lattice[owner[y, x]])
                cells[n] = (y // factor) * columns + x // factor
                n += 1
    return keys, cells


def gather(surfels: Surfels, channels: int, cells: int, salt: np.uint64) -> np.ndarray:
    """Sum the surfels' Gaussians in their cells to variance 1: ``(channels, cells)`` float32, NaN where none.

    Pairs whose cell is negative are left out.
    """
    kept = surfels.cell >= 0
    weight = np.bincount(surfels.cell[kept], surfels.share[kept], minlength=cells)
    total = np.zeros((channels, cells))
    _add_up(surfels.key, surfels.cell, surfels.share, surfels.rank, salt, total)
    return (total / np.sqrt(np.where(weight > 0, weight, np.nan))).astype(np.float32)


@njit(cache=True, nogil=True)
def _add_up(
    key: np.ndarray, cell: np.ndarray, share: np.ndarray, rank: np.ndarray, salt: np.uint64, total: np.ndarray
) -> None:  # fmt: skip
    """Add every surfel's Gaussian to its cell.

    A surfel split over cells with shares f gives cell j the part f_j X + sqrt(f_j) z_j - f_j sum_i sqrt(f_i) z_i with
    fresh z: the parts are uncorrelated, have variance f_j, and add up to X.
    """
    for channel in range(len(total)):
        start = 0
        while start < len(key):
            seed = _mix(_mix(salt, key[start]), np.uint64(channel))
            whole, end = _normal(seed), start + 1
            while end < len(key) and key[end] == key[start]:
                end += 1
            if share[start] < 1.0:
                for m in range(start, end):
                    whole -= np.sqrt(share[m]) * _normal(_mix(seed, np.uint64(rank[m] + 1)))
            for m in range(start, end):
                part = share[m] * whole
                if share[m] < 1.0:
                    part += np.sqrt(share[m]) * _normal(_mix(seed, np.uint64(rank[m] + 1)))
                if cell[m] >= 0:
                    total[channel, cell[m]] += part
            start = end


@njit(cache=True, nogil=True)
def fill_fresh(noise: np.ndarray, salt: np.uint64) -> None:
    """Write noise of its own into every NaN of ``noise`` ``(channels, cells)``."""
    for channel in range(noise.shape[0]):
        for cell in range(noise.shape[1]):
            if np.isnan(noise[channel, cell]):
                noise[channel, cell] = _normal(_mix(_mix(salt, np.uint64(channel)), np.uint64(cell)))
