"""What single frames look like: their edges against the geometry's, their texture and change against a style's.

None of it needs a trained network. Each number is meant relative to an independent frame-by-frame run, so that it asks
whether consistency was bought with something that the style had.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..motion.geometry import DataLayer
from .metrics import JUDGED, MeasuredShot, evenly, object_edges
from .texture import Run

REACH = 2  # px within which two edges count as the same
DEPTH_STEP = 0.05  # relative second difference of depth that counts as an edge
NORMAL_STEP = 0.5  # difference of unit normals that counts as an edge, about 30°
PATCH = 7
LEVELS = 3
PATCHES = 1024  # from each half of a run
DIRECTIONS = 128


def geometry_edges(layer: DataLayer) -> np.ndarray:
    """Mark the edges of objects, creases of the surface and jumps of the depth, ``(H, W)`` bool."""
    edge = object_edges(layer)
    inverse = 1 / np.maximum(layer.depth, 1e-6)  # linear in the image over a plane: no second difference there
    for axis in (0, 1):
        bend = np.abs(np.diff(inverse, 2, axis=axis)) / np.take(inverse, range(1, inverse.shape[axis] - 1), axis)
        crease = np.linalg.norm(np.diff(layer.normal, axis=axis), axis=-1)
        inner, after = [slice(None)] * 2, [slice(None)] * 2
        inner[axis], after[axis] = slice(1, -1), slice(1, None)
        edge[tuple(inner)] |= bend > DEPTH_STEP
        edge[tuple(after)] |= crease > NORMAL_STEP
    return edge


def structure(shot: MeasuredShot, run: Run) -> float | None:
    """Return S: F1 of the picture's edges with the geometry's, within ``REACH`` px, mean of ``JUDGED`` frames.

    The picture's edges are its strongest ridges of gradient, as many as the geometry has edge pixels. None without a
    data layer, or where the geometry shows no edge.
    """
    scores = []
    for frame in evenly(shot.frames, JUDGED):
        layer = shot.layer(frame)
        if layer is None:
            return None
        wanted = geometry_edges(layer)
        if wanted.any():
            scores.append(_agreement(_ridges(run(frame), int(wanted.sum())), wanted))
    return float(np.mean(scores)) if scores else None


def _ridges(image: np.ndarray, count: int) -> np.ndarray:
    """Mark the ``count`` strongest pixels whose gradient is the largest along its own direction (Canny's thinning)."""
    soft = cv2.GaussianBlur(image, (0, 0), 1.0)
    x, y = (cv2.Sobel(soft, cv2.CV_32F, *order).reshape(image.shape) for order in ((1, 0), (0, 1)))
    strength = np.square(x).sum(-1) + np.square(y).sum(-1)
    channel = (np.square(x) + np.square(y)).argmax(-1)[..., None]
    dx, dy = (np.abs(np.take_along_axis(part, channel, -1)[..., 0]) for part in (x, y))
    across, down = (np.pad(strength, pad) for pad in (((0, 0), (1, 1)), ((1, 1), (0, 0))))
    ridge = np.where(dx >= dy, (strength >= across[:, :-2]) & (strength > across[:, 2:]),
                     (strength >= down[:-2]) & (strength > down[2:]))
    strength = np.where(ridge, strength, 0)
    limit = np.partition(strength.ravel(), -min(count, strength.size))[-min(count, strength.size)]
    return strength > max(limit, 1e-12)


def _agreement(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the F1 of two edge maps that may lie ``REACH`` px apart."""
    if not found.any():
        return 0.0
    precision, recall = _near(wanted)[found].mean(), _near(found)[wanted].mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _near(edge: np.ndarray) -> np.ndarray:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * REACH + 1, 2 * REACH + 1))
    return cv2.dilate(edge.astype(np.uint8), disc) > 0


def style_change(shot: MeasuredShot, run: Run) -> float:
    """Return how far the run is from the source frames: the numerator and denominator of L.

    Stands in for a learned perceptual distance: the mean absolute difference of every level of a Laplacian pyramid,
    the levels added up, over ``JUDGED`` frames. It is linear in the strength of an effect (a picture half way between
    source and style has half the distance of the style) and blind to what the change means.
    """
    total = 0.0
    frames = evenly(shot.frames, JUDGED)
    for frame in frames:
        levels = _laplacian(run(frame) - shot.beauty(frame), 5)
        total += sum(float(np.abs(level).mean()) for level in levels)
    return total / len(frames)


def _laplacian(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """Return at most ``levels`` bands of the picture, the finest first, the rest last (Burt and Adelson 1983)."""
    bands: list[np.ndarray] = []
    while len(bands) < levels - 1 and min(image.shape[:2]) >= 2 * PATCH:
        coarse = cv2.pyrDown(image)
        bands.append(image - cv2.pyrUp(coarse, dstsize=image.shape[1::-1]))
        image = coarse
    return [*bands, image]


def texture_distance(frames: Sequence[int], run: Run, reference: Run, seed: int = 0) -> float:
    """Return W: how far the run's texture is from the reference run's, relative to how far that is from itself.

    Sliced Wasserstein distance between random 7x7 patches of Laplacian pyramid levels (Karras et al. 2018, section 5),
    each level in units of the reference's deviation. The run's even frames are held against the reference's odd ones
    and the other way round; the reference's own halves, which differ only by chance where each frame was made alone,
    are the unit. So the reference itself scores exactly 1. ``frames`` are at least two.
    """
    rng = np.random.default_rng(seed)
    even, odd = frames[::2], frames[1::2]
    halves = [_patches(part, reference, np.random.default_rng((seed, k))) for k, part in enumerate((even, odd))]
    tested = [_patches(part, run, np.random.default_rng((seed, k))) for k, part in enumerate((even, odd))]
    total = own = 0.0
    for level in range(len(halves[0])):
        scale = np.concatenate([halves[0][level], halves[1][level]]).std(0) + 1e-6
        direction = rng.normal(size=(scale.size, DIRECTIONS))
        direction /= np.linalg.norm(direction, axis=0)
        project = direction / scale[:, None]
        a, b, x, y = (np.sort(part[level] @ project, 0) for part in (*halves, *tested))
        own += float(np.abs(a - b).mean())
        total += float(np.abs(x - b).mean() + np.abs(y - a).mean()) / 2
    return total / own


def _patches(frames: Sequence[int], run: Run, rng: np.random.Generator) -> list[np.ndarray]:
    """Return ``PATCHES`` random patches of each pyramid level, evenly from the frames: ``(PATCHES, 7·7·C)``."""
    bands = [_laplacian(run(frame), LEVELS) for frame in frames]
    found = []
    for level in range(len(bands[0])):
        windows = [np.lib.stride_tricks.sliding_window_view(band[level], (PATCH, PATCH), (0, 1)) for band in bands]
        height, width = windows[0].shape[:2]
        places = zip(rng.integers(0, height, PATCHES), rng.integers(0, width, PATCHES), strict=True)
        rows = [windows[k % len(windows)][y, x] for k, (y, x) in enumerate(places)]
        found.append(np.stack(rows).reshape(PATCHES, -1))
    return found
