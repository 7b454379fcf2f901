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
PATCHES = 512  # from each frame
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
    every level as important as the others. A frame of the run is held against the neighbouring frame of the
    reference and the other way round; the reference's own neighbours, which differ only by chance where each frame was
    made alone, are the unit. So the reference itself scores exactly 1, and so does, but for chance, a run that shows
    one picture of the same kind throughout: single pictures are held against single pictures. ``frames`` are at least
    two.
    """
    rng = np.random.default_rng(seed)
    ours, theirs = ([_patches(frame, one, (seed, k)) for k, frame in enumerate(frames)] for one in (run, reference))
    beside = list(zip(range(len(frames)), range(1, len(frames)), strict=False))
    ratios = []
    for level in range(len(theirs[0])):
        scale = np.concatenate([patches[level] for patches in theirs]).std(0) + 1e-6
        direction = rng.normal(size=(scale.size, DIRECTIONS))
        direction /= np.linalg.norm(direction, axis=0)
        project = direction / scale[:, None]
        found, known = ([np.sort(patches[level] @ project, 0) for patches in each] for each in (ours, theirs))
        own = sum(2 * np.abs(known[i] - known[j]).mean() for i, j in beside)
        total = sum(np.abs(found[i] - known[j]).mean() + np.abs(known[i] - found[j]).mean() for i, j in beside)
        ratios.append(total / own)
    return float(np.mean(ratios))


def _patches(frame: int, run: Run, seed: tuple[int, int]) -> list[np.ndarray]:
    """Return ``PATCHES`` random patches of each pyramid level of one frame: ``(PATCHES, 7·7·C)``."""
    rng = np.random.default_rng(seed)
    found = []
    for band in _laplacian(run(frame), LEVELS):
        windows = np.lib.stride_tricks.sliding_window_view(band, (PATCH, PATCH), (0, 1))
        height, width = windows.shape[:2]
        places = rng.integers(0, height, PATCHES), rng.integers(0, width, PATCHES)
        found.append(windows[places].reshape(PATCHES, -1))
    return found
