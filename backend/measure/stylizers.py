"""Pretended stylizations of the synthetic shot: an ideal one, and the ways of looking consistent without being so.

Each is a run over the shot: the shot's own colours, changed, under a texture. "independent" has the texture of the
ideal one with other phases in every frame, so the same spectrum: a stand-in for stylizing each frame alone.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ..motion.geometry import pixel_grid
from ..motion.warp import warp
from .metrics import blurred, detail
from .synthetic import SyntheticShot
from .texture import Run, SurfaceTexture, surface_address

CONTRAST = 0.1  # standard deviation of the style's texture
DRIFT = 0.1  # px a frame along each axis
FLICKER = 0.03 * 2**0.5  # amplitude of an exposure that deviates by 3 %
DISTANCE = 8.0  # units: where the wavelengths below hold, and how far away the sky's texture lies
STYLE_WAVES = 5.0, 20.0  # px
GRAIN_WAVES = 2.2, 4.4  # px
KEY_EVERY = 8  # frames


def stylizers(shot: SyntheticShot) -> dict[str, Run]:
    """Return the runs by name, "independent" and "anchored" among them; every picture is made once and kept."""
    style = _texture(shot, STYLE_WAVES, channels=3)
    anchored = _painted(shot, lambda frame: style(_address(shot, frame)))
    independent = _painted(shot, lambda frame: style.reseeded(frame)(_address(shot, frame)))
    screen = style(_screen(shot))
    return {
        "anchored": anchored,
        "independent": independent,
        "independent, blur 2 px": blurred(independent, 2.0),
        "independent, blur 4 px": blurred(independent, 4.0),
        "independent, box 5 px": lambda frame: cv2.blur(independent(frame), (5, 5)),
        "screen-fixed": _painted(shot, lambda _: screen),
        "warp chain": _chain(shot, independent, 0.0),
        "warp chain, 20 % refresh": _chain(shot, independent, 0.2),
        "slow drift": _painted(shot, lambda frame: style(_address(shot, frame) + DRIFT * _pixel(shot) * frame)),
        "keys every 8, cross-fade": _cross_fade(shot, independent),
        "unstylized input": shot.beauty,
        "anchored, 3 % flicker": lambda frame: anchored(frame) * np.float32(1 + FLICKER * np.cos(2.4 * frame)),
        "blur with anchored grain": _grained(shot, independent),
    }


def _kept(shot: SyntheticShot, run: Run) -> Run:
    return lru_cache(maxsize=len(shot.frames))(run)


def _painted(shot: SyntheticShot, texture: Run) -> Run:
    """Return the run that shows ``texture`` over the shot's colours, made paler and exchanged."""

    def paint(frame: int) -> np.ndarray:
        return np.clip(0.25 + 0.5 * shot.beauty(frame)[..., ::-1] + CONTRAST * texture(frame), 0, 1)

    return _kept(shot, paint)


def _pixel(shot: SyntheticShot) -> float:
    """Return the side of a pixel in units at ``DISTANCE``."""
    return DISTANCE * 2 / (shot.info.cameras[shot.frames[0]].projection[0, 0] * shot.width)


def _texture(shot: SyntheticShot, waves: tuple[float, float], channels: int) -> SurfaceTexture:
    return SurfaceTexture(waves[0] * _pixel(shot), waves[1] * _pixel(shot), 12, channels, seed=1)


def _address(shot: SyntheticShot, frame: int) -> np.ndarray:
    layer = shot.layer(frame)
    address = surface_address(layer, shot.info.cameras[frame])
    return np.where(layer.sky[..., None], DISTANCE * address, address)


def _screen(shot: SyntheticShot) -> np.ndarray:
    """Return an address that stays on the screen."""
    return np.pad(pixel_grid(shot.info.size) * _pixel(shot), ((0, 0), (0, 0), (0, 1))).astype(np.float64)


def _chain(shot: SyntheticShot, independent: Run, refresh: float) -> Run:
    """Return the run that carries each frame on to the next, with a share of the independent picture mixed in."""
    made = {shot.frames[0]: independent(shot.frames[0])}
    for before, frame in zip(shot.frames, shot.frames[1:], strict=False):
        found = shot.motion.pair(frame, before)
        carried = (1 - refresh) * warp(made[before], found.flow) + refresh * independent(frame)
        made[frame] = np.where(found.valid[..., None] > 0, carried, independent(frame)).astype(np.float32)
    return made.__getitem__


def _cross_fade(shot: SyntheticShot, independent: Run) -> Run:
    """Return the run that blends the two nearest of the independent key frames, by time."""
    keys = sorted({*shot.frames[::KEY_EVERY], shot.frames[-1]})

    def blend(frame: int) -> np.ndarray:
        after = next(key for key in keys if key >= frame)
        before = max(key for key in keys if key <= frame)
        place = (frame - before) / max(after - before, 1)
        total = 1e-6 * independent(frame)
        weight = np.full((*total.shape[:2], 1), 1e-6, np.float32)
        for key, share in ((before, 1 - place), (after, place)):
            found = shot.motion.pair(frame, key)
            here = np.float32(share) * found.valid[..., None]
            total, weight = total + here * warp(independent(key), found.flow), weight + here
        return total / weight

    return _kept(shot, blend)


def _grained(shot: SyntheticShot, independent: Run) -> Run:
    """Return the independent run blurred until it hardly flickers, its lost detail replaced by an anchored grain."""
    soft = blurred(independent, 8.0)
    fine = _texture(shot, GRAIN_WAVES, channels=1)
    grain = _kept(shot, lambda frame: fine(_address(shot, frame)))
    scale = np.float32((detail(shot, independent) / detail(shot, grain)) ** 0.5)
    return _kept(shot, lambda frame: soft(frame) + scale * grain(frame))
