"""Surface-anchored noise: white in every frame, the same on the same surface, whoever asks in whatever order."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from backend.motion.addresses import Page
from backend.motion.noise import AnchoredNoise
from backend.motion.surfels import DEPTH, find_surfels, usual_sampling

HEIGHT, WIDTH, CELL = 96, 160, 8
ROWS, COLUMNS = HEIGHT // CELL, WIDTH // CELL
CHANNELS, SEEDS = 8, 64
SHAPE = (CHANNELS, ROWS, COLUMNS)
FRAMES = range(32)


@dataclasses.dataclass(frozen=True)
class View:
    """A camera over an endless plane: where it looks, how it is turned, how large the plane appears."""

    x: float = 0.0
    angle: float = 0.0
    zoom: float = 1.0

    def to_plane(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u, v = (x - WIDTH / 2) / self.zoom, (y - HEIGHT / 2) / self.zoom
        c, s = math.cos(self.angle), math.sin(self.angle)
        return c * u - s * v + self.x, s * u + c * v

    def to_image(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        c, s = math.cos(self.angle), math.sin(self.angle)
        u, v = c * (a - self.x) + s * b, -s * (a - self.x) + c * b
        return u * self.zoom + WIDTH / 2, v * self.zoom + HEIGHT / 2


def orbit(frame: int) -> View:
    return View(x=0.7 * frame, angle=0.01 * frame, zoom=1.0 + 0.01 * frame)


def push_in(frame: int) -> View:
    return View(zoom=8.0 ** (frame / 31), angle=0.3)


def pages(view: Callable[[int], View], hole: bool = False, chained: bool = False) -> Callable[[int], Page]:
    def page(frame: int) -> Page:
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
        a, b = view(frame).to_plane(x, y)
        address = np.stack([a, b, np.zeros_like(a)], -1).astype(np.float32)
        owner = np.zeros((HEIGHT, WIDTH), np.int32)
        owner[:, 80:120] = 1  # a second object, and one that is not known
        if hole:
            owner[40:, 120:] = -1
        if chained:  # an object without a stable address: all of it has the same
            owner[:, 120:], address[:, 120:] = 2, 0
        scale = np.ones((HEIGHT, WIDTH), np.float32)
        own = {"owner": owner, "address": address, "scale": scale}
        return Page(**{**dict.fromkeys(field.name for field in dataclasses.fields(Page)), **own})

    return page


def draws(page: Callable[[int], Page], frame: int, stream: int = 0, seeds: int = SEEDS) -> np.ndarray:
    """Return the noise of ``frame`` for many seeds, ``(seeds * channels, rows, columns)``."""
    first = AnchoredNoise(page, FRAMES, 0)
    first(frame, SHAPE)
    made = []
    for seed in range(seeds):
        noise = AnchoredNoise(page, FRAMES, seed)
        noise._surfels = first._surfels  # geometry knows no seed
        made.append(noise(frame, SHAPE, stream))
    return np.concatenate(made)


@pytest.mark.parametrize("view", [orbit, push_in])
@pytest.mark.parametrize("frame", [0, 9, 31])
def test_t1_t2_t7_every_frame_is_white(view: Callable[[int], View], frame: int) -> None:
    noise = draws(pages(view, hole=True), frame).astype(np.float64)
    n = noise.size
    assert abs(noise.mean()) < 4 / math.sqrt(n)
    assert abs(noise.var() - 1) < 4 * math.sqrt(2 / n)
    each = (noise**2).mean(0)  # of every cell over the seeds, so that a loud cell cannot hide a quiet one
    assert np.abs(each - 1).max() < 6 * math.sqrt(2 / len(noise))
    ordered = np.sort(noise.ravel())
    normal = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in ordered[::97]])
    assert np.abs(normal - np.arange(n)[::97] / n).max() < 1.95 / math.sqrt(n)  # Kolmogorov-Smirnov, p = 0.001
    for dy, dx in ((1, 0), (0, 1), (1, 1), (2, 0), (4, 4)):
        product = noise[:, dy:, dx:] * noise[:, : ROWS - dy, : COLUMNS - dx]
        assert abs(product.mean()) < 4 / math.sqrt(product.size), (dy, dx)
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(0)
    fy, fx = np.meshgrid(np.fft.fftfreq(ROWS), np.fft.fftfreq(COLUMNS), indexing="ij")
    radius = np.hypot(fy, fx)
    ratio = power[(radius > 0) & (radius < 0.2)].mean() / power[radius > 0.4].mean()
    assert abs(ratio - 1) < 0.05


def test_t3_channels_and_streams_are_independent() -> None:
    page = pages(orbit)
    a, b = draws(page, 5), draws(page, 5, stream=1)
    assert abs((a * b).mean()) < 4 / math.sqrt(a.size)
    by_channel = a.reshape(SEEDS, CHANNELS, -1)
    for k in range(1, CHANNELS):
        product = by_channel[:, 0] * by_channel[:, k]
        assert abs(product.mean()) < 4 / math.sqrt(product.size)


@pytest.mark.parametrize(("view", "lag"), [(orbit, 1), (orbit, 8), (orbit, 31), (push_in, 8)])
def test_t4_frames_share_as_much_noise_as_surface(view: Callable[[int], View], lag: int) -> None:
    page = pages(view)
    covariance = draws(page, 0).reshape(SEEDS * CHANNELS, -1).T @ draws(page, lag).reshape(SEEDS * CHANNELS, -1)
    covariance = covariance / (SEEDS * CHANNELS)
    overlap = cell_overlap(view, 0, lag)
    most = overlap.argmax(1)
    known = overlap.max(1) > 0.2
    ceiling, found = overlap[known, most[known]], covariance[known, most[known]]
    assert known.sum() > 60
    assert abs(found.mean() - ceiling.mean()) < 0.01
    slope = (found * ceiling).sum() / (ceiling**2).sum()
    assert abs(slope - 1) < 0.02
    apart = overlap == 0
    assert abs(covariance[apart].mean()) < 0.002


def cell_overlap(view: Callable[[int], View], s: int, t: int, fine: int = 4) -> np.ndarray:
    """Return the overlap of the cells' surfaces over the root of their areas, ``(cells of s, cells of t)``.

    Truth from the camera alone: every cell is sampled ``fine`` times a pixel. The second object is held to be another
    surface only where both frames show it, as the page does.
    """
    step = (np.arange(fine) + 0.5) / fine - 0.5
    y = (np.arange(HEIGHT)[:, None] + step).ravel()
    x = (np.arange(WIDTH)[:, None] + step).ravel()
    yy, xx = np.meshgrid(y, x, indexing="ij")
    u, v = view(t).to_image(*view(s).to_plane(xx, yy))
    inside = (u > -0.5) & (u < WIDTH - 0.5) & (v > -0.5) & (v < HEIGHT - 0.5)
    column = np.floor(u + 0.5)
    same_owner = ((xx > 79.5) & (xx < 119.5)) == ((column >= 80) & (column < 120))
    ok = inside & same_owner
    here = (np.floor((yy + 0.5) / CELL) * COLUMNS + np.floor((xx + 0.5) / CELL)).astype(int)
    there = (np.floor((v + 0.5) / CELL) * COLUMNS + np.floor((u + 0.5) / CELL)).astype(int)
    cells = ROWS * COLUMNS
    shared = np.bincount(here[ok] * cells + there[ok], minlength=cells * cells).reshape(cells, cells)
    area = (CELL * fine) ** 2
    scale = view(t).zoom / view(s).zoom
    return shared * scale / area


def test_t5_any_frame_alone_in_any_order_is_the_same() -> None:
    page = pages(push_in)
    forward, backward = AnchoredNoise(page, FRAMES, 3), AnchoredNoise(page, FRAMES, 3)
    first = {frame: forward(frame, SHAPE) for frame in (2, 17, 30)}
    for frame in (30, 2, 17):
        np.testing.assert_array_equal(backward(frame, SHAPE), first[frame])
    np.testing.assert_array_equal(forward(17, (2, ROWS, COLUMNS)), first[17][:2])


def test_t6_nothing_moves_nothing_changes() -> None:
    noise = AnchoredNoise(pages(lambda frame: View()), FRAMES, 3)
    np.testing.assert_array_equal(noise(4, SHAPE), noise(29, SHAPE))


def test_t8_unknown_surface_has_noise_of_its_own() -> None:
    noise = AnchoredNoise(pages(lambda frame: View(), hole=True), FRAMES, 3)
    a, b = noise(4, (CHANNELS, ROWS + 1, COLUMNS)), noise(5, (CHANNELS, ROWS + 1, COLUMNS))
    assert np.isfinite(a).all() and abs(a.std() - 1) < 0.1
    same = (a == b).all(0)
    assert not same[5:, 15:].any() and not same[ROWS].any() and same[:5].all() and same[:ROWS, :15].all()


def test_a_surface_without_addresses_has_fresh_noise() -> None:
    noise = AnchoredNoise(pages(lambda frame: View(), chained=True), FRAMES, 3)
    same = (noise(4, SHAPE) == noise(5, SHAPE)).all(0)
    assert not same[:, 15:].any() and same[:, :15].all()


def test_near_and_far_surfels_of_a_surface_share_no_part_of_it() -> None:
    def page(frame: int) -> Page:  # a plane that runs towards the horizon: ten times as far at the top
        found = pages(lambda _: View())(frame)
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        scale = (0.1 + 0.9 * (y + 1) / HEIGHT).astype(np.float32)
        address = np.stack([(x - WIDTH / 2) / scale, 1000 / scale, np.zeros_like(scale)], -1).astype(np.float32)
        owner = np.zeros_like(found.owner)
        return dataclasses.replace(found, owner=owner, address=address, scale=scale)

    surfels = find_surfels(page(0), usual_sampling(page, FRAMES), CELL)
    assert len(set(surfels.depth)) > 2
    length = np.uint64(4) ** (DEPTH - surfels.depth).astype(np.uint64)
    assert (surfels.key[1:] >= surfels.key[:-1] + length[:-1]).all()  # sorted, and none within another
    weight = np.bincount(surfels.cell, surfels.weight, ROWS * COLUMNS)
    np.testing.assert_allclose(weight, 1, atol=1e-5)
    noise = draws(page, 0)
    assert abs(noise.var() - 1) < 4 * math.sqrt(2 / noise.size)
    for dy, dx in ((1, 0), (0, 1), (2, 0)):
        product = noise[:, dy:, dx:] * noise[:, : ROWS - dy, : COLUMNS - dx]
        assert abs(product.mean()) < 4 / math.sqrt(product.size), (dy, dx)
