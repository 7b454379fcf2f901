"""Brightness and colour that flicker, told from strokes, from motion and from light that changes for real.

Tone is the logarithm of a region's colour. Only differences between two frames on the same surfaces are ever taken, so
that what moves through a region does not change its tone. They live on a grid of cells ``CELL`` px wide.
"""

from __future__ import annotations

import cv2
import numpy as np

CELL = 8  # px
BLACK = np.float32(0.02)  # keeps the tone of black pixels finite
LARGEST = np.float32(1.0)  # difference of a pixel's tone that counts: more is another surface, or another stroke
STEADY = 8.0  # weight of the belief that tone does not change, where that of the next frame is 1


def tone_difference(
    then: np.ndarray, now: np.ndarray, weight: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return how much lighter ``then`` is than ``now`` around each cell, ``(h, w, 3)`` float32, as a logarithm.

    Both are ``(H, W, 3)`` in [0, 1] and show the same surfaces where ``weight`` ``(H, W)`` in [0, 1] says so; the mean
    is Gaussian (σ = ``radius`` px). Also returns how much of each cell's region that is, ``(h, w)`` in [0, 1]; where it
    is nothing the difference is 0.
    """
    difference = np.clip(np.log((then + BLACK) / (now + BLACK)), -LARGEST, LARGEST)
    known = np.dstack([cells(difference * weight[..., None]), cells(weight)])
    spread = cv2.GaussianBlur(known, (0, 0), radius / CELL)
    return spread[..., :3] / np.maximum(spread[..., 3:], 1e-6), spread[..., 3]


def cells(image: np.ndarray) -> np.ndarray:
    """Return the means of ``image`` ``(H, W)`` or ``(H, W, C)``, C at most 4, over cells; the border is repeated."""
    height, width = image.shape[:2]
    padded = cv2.copyMakeBorder(image, 0, -height % CELL, 0, -width % CELL, cv2.BORDER_REPLICATE)
    return cv2.resize(padded, None, fx=1 / CELL, fy=1 / CELL, interpolation=cv2.INTER_AREA)


def with_tone(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return ``image`` ``(H, W, 3)`` in [0, 1] with its tone moved by ``shift`` ``(h, w, 3)``, given for cells."""
    smooth = cv2.resize(shift, None, fx=CELL, fy=CELL, interpolation=cv2.INTER_LINEAR)
    gain = np.exp(smooth[: image.shape[0], : image.shape[1]])
    return np.clip((image + BLACK) * gain - BLACK, 0, 1)


def passed_on(sums: np.ndarray, difference: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the running sums of a frame as its neighbour in time sees them, both ``(h, w, 9)``.

    They are, over all frames up to it, of weights w, of w d and w d² (d the distance in frames), of w T and of w d T (T
    the tone relative to the frame's, 3 channels each), the frame itself counted with weight 1. ``difference``
    ``(h, w, 3)`` is the frame's tone relative to the neighbour's, ``kept`` ``(h, w)`` the weight that is kept.
    """
    w0, w1, w2 = np.moveaxis(sums[..., :3, None], 2, 0)
    t0, t1 = sums[..., 3:6], sums[..., 6:]
    w0 = w0 + 1
    moved = [w0, w1 + w0, w2 + 2 * w1 + w0, t0 + difference * w0, t1 + t0 + difference * (w1 + w0)]
    return kept[..., None] * np.concatenate(moved, axis=-1)


def steadied(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return by how much to move a frame's tone, ``(h, w, 3)``, so that it lies on the line through all around it.

    ``before`` and ``after`` are running sums of the frames on either side (:func:`passed_on`). A line and not a mean:
    light that changes steadily is left as it is, also at the ends of the shot.
    """
    w0 = before[..., :1] + after[..., :1] + 1
    w1 = after[..., 1:2] - before[..., 1:2]
    w2 = after[..., 2:3] + before[..., 2:3] + STEADY
    t0, t1 = after[..., 3:6] + before[..., 3:6], after[..., 6:] - before[..., 6:]
    return (w2 * t0 - w1 * t1) / (w0 * w2 - w1 * w1)
