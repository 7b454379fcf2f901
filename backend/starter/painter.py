"""A small stroke-based painter: turns a rendered frame into an oil painting, as a stand-in for the artist's brush.

Layers of curved strokes, from large brushes to small ones, each laid only where the canvas still differs from the
picture (Hertzmann, "Painterly Rendering with Curved Brush Strokes of Multiple Sizes", SIGGRAPH 1998). Strokes follow
the smoothed structure tensor of the picture instead of its raw gradient, and are drawn bristle by bristle with a
thickness of paint that is lit at the end (Hertzmann, "Fast Paint Texture", NPAR 2002).

    python -m backend.starter.painter SOURCE.png TARGET.png [--seed N]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..shot.pictures import encode_png, read_picture

SUPERSAMPLING = 2
REFERENCE_WIDTH = 512  # brush widths below are in pixels of a picture this wide


@dataclass(frozen=True)
class Brush:
    """A brush: ``width`` in pixels at a picture width of 512, stroke ``length`` in widths, and how it is used.

    Strokes begin where the next larger brush would lose more than ``detail`` of the picture (Euclidean in sRGB).
    """

    width: float
    length: int
    detail: float


BRUSHES = (Brush(24, 6, 0.0), Brush(12, 7, 0.0), Brush(6, 8, 0.03), Brush(3, 8, 0.05), Brush(1.6, 6, 0.09))
COLOUR_JITTER = 0.03
BRISTLE_JITTER = 0.035


def paint(image: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return an oil painting ``(H, W, 3)`` float32 of ``image`` ``(H, W, 3)``, both sRGB in [0, 1].

    The same image and seed always give the same painting.
    """
    rng = np.random.default_rng(seed)
    height, width = image.shape[:2]
    fine = (width * SUPERSAMPLING, height * SUPERSAMPLING)
    picture = cv2.resize(_palette(image), fine, interpolation=cv2.INTER_CUBIC)
    scale = picture.shape[1] / REFERENCE_WIDTH
    canvas = np.zeros((*picture.shape[:2], 4), np.uint8)  # RGB and the thickness of the paint
    canvas[..., :3] = 255 * cv2.GaussianBlur(picture, (0, 0), BRUSHES[0].width * scale)  # a thin underpainting
    canvas[..., 3] = 128
    for brush in BRUSHES:
        _paint_layer(canvas, picture, brush, brush.width * scale, rng)
    lit = _light(canvas, scale, rng)
    return cv2.resize(lit, (width, height), interpolation=cv2.INTER_AREA)


def _palette(image: np.ndarray) -> np.ndarray:
    """Return the colours as a painter mixes them: full, shadows towards blue and lights towards yellow."""
    low, high = np.percentile(image, (0.5, 99.5))
    toned = 0.05 + 0.87 * np.clip((image - low) / max(high - low, 1e-3), 0, 1)
    grey = toned.mean(-1, keepdims=True)
    tint = (grey - 0.5) * np.array([0.07, 0.03, -0.11], np.float32)
    return np.clip(grey + 1.3 * (toned - grey) + tint, 0, 1).astype(np.float32)


def _paint_layer(canvas: np.ndarray, picture: np.ndarray, brush: Brush, width: float, rng: np.random.Generator) -> None:
    """Add one brush's strokes to ``canvas`` in random order."""
    reference = cv2.GaussianBlur(picture, (0, 0), width / 6)
    detail = np.linalg.norm(reference - cv2.GaussianBlur(picture, (0, 0), width / 2), axis=-1)
    starts = _starts(detail, max(0.75 * width, 2), brush.detail, rng)
    colours = reference[starts[:, 1], starts[:, 0]]
    error = np.maximum(np.linalg.norm(reference - canvas[..., :3] / np.float32(255), axis=-1), 0.04)

    def fits(pixel: np.ndarray) -> np.ndarray:
        """Whether a stroke's colour is nearer to the picture than what lies there already, so edges end strokes."""
        x, y = pixel.T
        return np.linalg.norm(reference[y, x] - colours, axis=-1) <= error[y, x]

    # Hertzmann 1998, section 2.2. The floor of the error lets strokes run on through their own jitter of colour.
    paths = _trace(starts, _directions(picture, width, rng), width / 2, 2 * brush.length, fits)
    jitter = rng.standard_normal((len(starts), 1)) + 0.7 * rng.standard_normal(colours.shape)
    for points, colour in zip(paths, colours + COLOUR_JITTER * jitter, strict=True):
        _draw_stroke(canvas, points, colour, width * rng.uniform(0.75, 1.1), rng)


def _starts(detail: np.ndarray, spacing: float, threshold: float, rng: np.random.Generator) -> np.ndarray:
    """Return where strokes begin, ``(N, 2)`` x, y in random order: at the most detailed pixel of each grid cell."""
    side = round(spacing)
    rows, columns = detail.shape[0] // side, detail.shape[1] // side
    blocks = detail[: rows * side, : columns * side].reshape(rows, side, columns, side)
    cells = blocks.swapaxes(1, 2).reshape(rows, columns, side * side)
    most = (cells + rng.uniform(0, 0.02, cells.shape)).argmax(-1)
    row, column = np.nonzero(cells.max(-1) >= threshold)
    within = most[row, column]
    return rng.permutation(np.stack([column * side + within % side, row * side + within // side], -1))


def _directions(picture: np.ndarray, width: float, rng: np.random.Generator) -> np.ndarray:
    """Return unit stroke directions ``(H, W, 2)``: along edges; where there are none, along a slowly turning field."""
    grey = cv2.GaussianBlur(picture, (0, 0), max(width / 8, 1)).mean(-1)
    dx, dy = cv2.Scharr(grey, cv2.CV_32F, 1, 0), cv2.Scharr(grey, cv2.CV_32F, 0, 1)
    # Twice the angle of the edge, so that opposite directions agree when they are averaged.
    doubled = cv2.GaussianBlur(np.dstack([dy * dy - dx * dx, -2 * dx * dy]), (0, 0), width / 2)
    coarse = (rng.standard_normal((5, 8, 2)) + np.array([1.0, -0.6])).astype(np.float32)
    doubled += 1e-3 * cv2.resize(coarse, grey.shape[::-1], interpolation=cv2.INTER_CUBIC)
    angle = np.arctan2(doubled[..., 1], doubled[..., 0]) / 2
    return np.dstack([np.cos(angle), np.sin(angle)])


def _trace(
    starts: np.ndarray, directions: np.ndarray, step: float, steps: int, fits: Callable[[np.ndarray], np.ndarray]
) -> Iterator[np.ndarray]:
    """Follow the directions from every start at once, ``step`` pixels at a time; yield each stroke's ``(K, 2)`` points.

    ``fits`` tells of ``(N, 2)`` whole pixels, one a stroke, whether the stroke's colour may still be laid there.
    """
    last = np.array(directions.shape[1::-1]) - 1
    points = [starts.astype(np.float32)]
    heading = directions[starts[:, 1], starts[:, 0]] * (-1) ** np.arange(len(starts))[:, None]
    length, alive = np.full(len(starts), 2), np.ones(len(starts), bool)
    for _ in range(steps):
        points.append(np.clip(points[-1] + step * heading, 0, last))
        pixel = np.rint(points[-1]).astype(int)
        alive &= fits(pixel)
        length += alive
        turn = directions[pixel[:, 1], pixel[:, 0]]
        turn = turn * np.where((turn * heading).sum(-1, keepdims=True) < 0, -1, 1)
        heading = 0.6 * turn + 0.4 * heading
        heading /= np.linalg.norm(heading, axis=-1, keepdims=True) + 1e-6
    for track, count in zip(np.stack(points, 1), length, strict=True):
        yield _smooth(track[:count])


def _smooth(points: np.ndarray) -> np.ndarray:
    """Chaikin's corner cutting: towards the quadratic B-spline of the points."""
    for _ in range(2 if len(points) > 2 else 0):
        cut = np.stack([0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]], 1)
        points = np.concatenate([points[:1], cut.reshape(-1, 2), points[-1:]])
    return points


def _draw_stroke(
    canvas: np.ndarray, points: np.ndarray, colour: np.ndarray, width: float, rng: np.random.Generator
) -> None:
    """Draw a stroke: a body of paint and, over it, bristles of slightly different colour, thickness and length."""
    tangent = np.gradient(points, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], -1) / (np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-6)
    _polyline(canvas, points, colour, 118, 0.9 * width)
    bristles = int(width / 3.2)  # none in the finest brush
    offsets = ((np.arange(bristles) + 0.5) / max(bristles, 1) - 0.5) * width
    for offset in rng.permutation(offsets):
        first, last = (rng.integers(0, 1 + len(points) // 5, 2) if len(points) > 4 else (0, 0))
        tint = colour + BRISTLE_JITTER * rng.standard_normal()
        ridge = 30 * (2 * abs(offset) / width) ** 3  # paint is pushed to the rim of the stroke
        track = (points + offset * normal)[first : len(points) - last]
        _polyline(canvas, track, tint, 128 + ridge + 26 * rng.standard_normal(), 1.25 * width / bristles)


def _polyline(canvas: np.ndarray, points: np.ndarray, colour: np.ndarray, paint: float, width: float) -> None:
    fixed = np.rint(points * 16).astype(np.int32)[None]  # OpenCV takes points in 1/16 pixel
    cv2.polylines(canvas, fixed, False, (*(255 * colour), paint), max(1, round(width)), cv2.LINE_AA, 4)


def _light(canvas: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Light the paint's thickness and the weave of the canvas from the upper left."""
    paint = canvas[..., 3].astype(np.float32) / 255
    y, x = np.mgrid[: paint.shape[0], : paint.shape[1]].astype(np.float32) * np.float32(np.pi / (1.6 * scale))
    weave = np.sin(x) * np.cos(y) + 0.4 * rng.standard_normal(paint.shape)
    relief = cv2.GaussianBlur(paint + 0.012 * weave.astype(np.float32), (0, 0), 0.45 * scale)
    slope = cv2.Sobel(relief, cv2.CV_32F, 1, 0) + cv2.Sobel(relief, cv2.CV_32F, 0, 1)
    shade = 1 + np.clip(0.2 * slope, -0.16, 0.2)
    return np.clip(canvas[..., :3] / np.float32(255) * shade[..., None], 0, 1)


def main(arguments: list[str] | None = None) -> None:
    """Paint one picture file into another; alpha is kept."""
    parser = argparse.ArgumentParser(prog="python -m backend.starter.painter", description=paint.__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    image, alpha = read_picture(options.source)
    options.target.write_bytes(encode_png(paint(image, options.seed), alpha))


if __name__ == "__main__":
    main()
