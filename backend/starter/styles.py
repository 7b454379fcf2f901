"""Eight painters: each turns a rendered frame into a picture of a style of its own, with strokes that fall anew.

Every painter takes ``image`` ``(H, W, 3)`` float32 sRGB in [0, 1] and a generator, and returns the same shape and
range. Sizes are in pixels of a picture 512 wide. The same image and seed always give the same picture.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .painter import REFERENCE_WIDTH
from .painter import paint as paint_oil

Painter = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def paint(style: str, image: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return ``image`` in a ``style``, a key of STYLES."""
    return STYLES[style](image, np.random.default_rng(seed))


def oil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Layers of curved brush strokes, from large to small (``painter.paint``)."""
    return paint_oil(image, int(rng.integers(1 << 31)))


def impasto(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thick vivid paint in broad parallel ridges, laid nearly level, that bend along outlines and shine from above.

    Value and thickness are noise smeared along the strokes (line integral convolution: Cabral and Leedom 1993). Hues
    keep together within an object, since what tells this style is relief; dabs of many hues are pointillism.
    """
    unit, shape = _unit(image), image.shape[:2]
    level = np.full(shape, np.radians(rng.normal(-14, 4)), np.float32) + 0.3 * _noise(shape, 40 * unit, rng)
    angle = _steered(level, _tangent(image, 4 * unit), _outlined(image, 5 * unit))
    colour = cv2.medianBlur(_bytes(cv2.GaussianBlur(image, (0, 0), 1.2 * unit)), _odd(5 * unit)) / np.float32(255)
    colour = _smear(colour, angle, round(6 * unit))
    ridges = _smear(np.dstack([_noise(shape, sigma * unit, rng) for sigma in (3.2, 2.6)]), angle, round(18 * unit))
    value, thickness = np.moveaxis(ridges / ridges.std((0, 1)), -1, 0)
    light = colour.mean(-1, keepdims=True)
    palette = colour * (0.22 + 0.7 * _stretched(light)) / np.maximum(light, 0.04)
    vivid = _saturate(palette + 0.075 * value[..., None] * np.array([1.0, 0.9, 0.55], np.float32), 1.6)
    return _emboss(vivid, thickness, 0.22)


def watercolour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thin washes on white paper: bleeding outlines, pigment gathered at their rims, blooms and grain.

    Pigment density changes a wash's colour as in Bousseau et al., "Interactive Watercolor Rendering", NPAR 2006.
    """
    unit, shape = _unit(image), image.shape[:2]
    wandering = np.dstack([_noise(shape, sigma * unit, rng) for sigma in (9, 9)]) * 2.6 * unit
    fray = np.dstack([_noise(shape, 2 * unit, rng) for _ in range(2)]) * 0.8 * unit
    wash = _warped(_flat(image, 3 * unit, 14), wandering + fray)
    wash = cv2.medianBlur(_bytes(wash), _odd(5 * unit)) / np.float32(255)
    soft = cv2.GaussianBlur(wash, (0, 0), 1.6 * unit)
    rim = np.abs(wash - soft).max(-1)
    bloom, grain = _noise(shape, 18 * unit, rng), _noise(shape, 0.9 * unit, rng)
    density = 1 + 0.32 * bloom + 3.6 * rim / (rim.max() + 0.1) + 0.08 * grain
    pale = 1 - 0.78 * (1 - _saturate(_contrast(soft, 0.95) + 0.06, 1.35))
    washed = pale - (pale - pale * pale) * (density[..., None] - 1)
    light = np.clip((pale.mean(-1) - 0.80 + 0.1 * bloom) * 6, 0, 1)[..., None]  # the lights stay bare paper
    paper = np.array([0.985, 0.98, 0.955], np.float32) + 0.012 * grain[..., None]
    return np.clip(washed + light * (paper - washed), 0, 1)


def pencil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Graphite on white paper: straight hatching that crosses in the shadows, and thin contours drawn twice."""
    unit, shape = _unit(image), image.shape[:2]
    tone = _tone(image)
    dark: np.ndarray = np.zeros(shape, np.float32)
    for level, degrees in ((0.80, 52), (0.56, 40), (0.36, -38), (0.2, 5)):
        strokes = _hatching(shape, degrees + rng.normal(0, 4), 5.2 * unit, 40 * unit, rng)
        edge = level + 0.04 * _noise(shape, 4 * unit, rng)
        dark = 1 - (1 - dark) * (1 - 0.62 * strokes * np.clip((edge - tone) * 14, 0, 1))
    for _ in range(2):
        shift = np.dstack([_noise(shape, 14 * unit, rng) for _ in range(2)]) * 0.9 * unit
        dark = 1 - (1 - dark) * (1 - 0.75 * _warped(_contours(image, 0.9 * unit), shift))
    tooth = 1 + 0.22 * _noise(shape, 0.6, rng)
    paper = np.array([0.965, 0.96, 0.945], np.float32)
    graphite = np.array([0.24, 0.24, 0.27], np.float32)
    return np.clip(paper + (np.clip(dark * tooth, 0, 1))[..., None] * (graphite - paper), 0, 1)


def ink(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ink and cel: flat bright colours in two or three steps of light, and black brush lines of changing weight."""
    unit, shape = _unit(image), image.shape[:2]
    shift = np.dstack([_noise(shape, 16 * unit, rng) for _ in range(2)]) * 1.1 * unit
    cel = _flat(image, 4 * unit, 22)
    value = _stretched(cel.max(-1))
    steps = np.array([0.34, 0.62, 0.86, 1.0], np.float32)
    flat = np.take(steps, np.clip(np.rint(value * 3 + 0.1 * _noise(shape, 30 * unit, rng)), 0, 3).astype(int))
    colours = _saturate(cel / np.maximum(cel.max(-1, keepdims=True), 0.05) * flat[..., None], 1.6)
    colours = cv2.medianBlur(_bytes(_warped(colours, shift)), _odd(4 * unit)) / np.float32(255)
    weight = np.clip(1.25 + 0.4 * _noise(shape, 12 * unit, rng), 0.6, 2)
    shift += 0.6 * unit * rng.standard_normal(2)  # the lines are not where the colours end
    lines = _warped(_contours(image, 1.5 * unit) * weight, shift)
    lines = np.clip(2.2 * cv2.GaussianBlur(lines, (0, 0), 0.6 * unit), 0, 1)[..., None]
    return np.clip(colours * (1 - lines) + 0.03 * lines, 0, 1)


def pointillism(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Round dabs of pure colours side by side on primed canvas; each colour is split into its neighbours in hue."""
    unit, (height, width) = _unit(image), image.shape[:2]
    picture = _saturate(_contrast(cv2.GaussianBlur(image, (0, 0), unit), 1.1) * 0.92 + 0.06, 1.5)
    canvas = np.full((height, width, 3), (240, 232, 214), np.uint8)
    fine = 8  # OpenCV takes positions in 1/8 pixel
    for size, spacing in ((5.0, 6.2), (3.9, 5.6)):
        places = np.mgrid[0 : height : spacing * unit, 0 : width : spacing * unit].reshape(2, -1).T
        places = rng.permutation(places + rng.uniform(-0.5, 0.5, places.shape) * spacing * unit)
        y, x = np.clip(np.rint(places), 0, (height - 1, width - 1)).astype(int).T
        hue = rng.normal(0, 1, (len(places), 3)) * (0.11, 0.08, 0.13) + rng.choice([-0.05, 0.05], (len(places), 1))
        colours = np.clip(picture[y, x] + hue, 0, 1) * 255
        radii = size * unit * rng.uniform(0.7, 1.05, len(places))
        for (row, column), colour, radius in zip(places, colours.tolist(), radii, strict=True):
            centre = (round(column * fine), round(row * fine))
            cv2.circle(canvas, centre, max(1, round(radius * fine * 0.75)), colour, -1, cv2.LINE_AA, 3)
    return canvas / np.float32(255)


def charcoal(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Soft black charcoal, rubbed and grainy, and white chalk in the lights, on brown paper."""
    unit, shape = _unit(image), image.shape[:2]
    grain = 0.65 * _noise(shape, 0.9 * unit, rng) + 0.45 * _noise(shape, 2.2 * unit, rng)
    tone = cv2.GaussianBlur(_tone(image), (0, 0), 2.2 * unit) + 0.05 * _noise(shape, 14 * unit, rng)
    angle = np.full(shape, np.radians(-50 + rng.normal(0, 6)), np.float32)
    rubbed = _smear(_noise((*shape, 1), 1.8 * unit, rng), angle, round(12 * unit))[..., 0]
    rubbed /= rubbed.std()
    black = np.clip(1.9 * (0.47 - tone) + 0.2 * rubbed + 0.22 * grain, 0, 1) * np.clip((0.62 - tone) * 5, 0, 1)
    shift = np.dstack([_noise(shape, 12 * unit, rng) for _ in range(2)]) * 1.6 * unit
    lines = _warped(cv2.GaussianBlur(_contours(image, 2 * unit), (0, 0), 0.9 * unit), shift)
    black = np.maximum(black, np.clip(1.7 * lines * (0.75 + 0.4 * grain), 0, 1))
    chalk = np.clip(2.4 * (tone - 0.74) + 0.14 * rubbed + 0.2 * grain, 0, 0.85) * np.clip((tone - 0.7) * 8, 0, 1)
    paper = np.array([0.70, 0.60, 0.48], np.float32) + 0.025 * grain[..., None]
    drawn = paper + chalk[..., None] * (np.array([0.97, 0.95, 0.91], np.float32) - paper)
    return np.clip(drawn + 0.95 * black[..., None] * (np.array([0.07, 0.065, 0.07], np.float32) - drawn), 0, 1)


def paper_cut(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sheets of plain bright paper, cut with scissors and stacked from light to dark.

    Each shows the white core of the paper along its cut and throws a shadow to the lower right.
    """
    unit, shape = _unit(image), image.shape[:2]
    shift = np.dstack([_noise(shape, 10 * unit, rng) for _ in range(2)]) * 1.5 * unit
    labels, colours = _sheets(_warped(_flat(image, 6 * unit, 30), shift), 6)
    picture = np.zeros((*shape, 3), np.float32)
    for rank, colour in enumerate(colours):
        # a sheet lies under all that follow it, so that nothing but paper shows between two
        sheet, core = (_cut(labels >= rank, 4 * unit, grown * unit) for grown in (0.0, 2.4))
        cast = cv2.warpAffine(core, np.array([[1, 0, 3 * unit], [0, 1, 4 * unit]], np.float32), shape[::-1])
        shade = 0.55 * cv2.GaussianBlur(cast, (0, 0), 2.2 * unit) * (rank > 0)
        picture = picture * (1 - shade * (1 - core))[..., None]
        picture = picture + core[..., None] * (np.float32(0.97) - picture)
        picture = picture + sheet[..., None] * (colour + rng.normal(0, 0.012, 3).astype(np.float32) - picture)
    return np.clip(picture + 0.008 * _noise(shape, 0.8 * unit, rng)[..., None], 0, 1).astype(np.float32)


STYLES: dict[str, Painter] = {
    "oil": oil, "impasto": impasto, "watercolour": watercolour, "pencil": pencil, "ink": ink,
    "pointillism": pointillism, "charcoal": charcoal, "paper cut": paper_cut,
}


def _unit(image: np.ndarray) -> float:
    """Return how many pixels of ``image`` one pixel of a picture 512 wide is."""
    return image.shape[1] / REFERENCE_WIDTH


def _noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Return smooth noise of mean 0 and deviation 1, features about ``sigma`` pixels wide, float32."""
    coarse = max(1.0, sigma / 2)
    small = (int(shape[0] / coarse) + 2, int(shape[1] / coarse) + 2, *shape[2:])
    field = cv2.GaussianBlur(rng.standard_normal(small, np.float32), (0, 0), sigma / coarse)
    field = cv2.resize(field, shape[1::-1], interpolation=cv2.INTER_CUBIC).reshape(shape)
    return (field - field.mean()) / (field.std() + 1e-6)


def _tangent(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return the angle ``(H, W)`` along the picture's edges, radians, y down: the smoothed structure tensor's."""
    grey = cv2.GaussianBlur(image, (0, 0), 1.0).mean(-1)
    dx, dy = cv2.Scharr(grey, cv2.CV_32F, 1, 0), cv2.Scharr(grey, cv2.CV_32F, 0, 1)
    doubled = cv2.GaussianBlur(np.dstack([dy * dy - dx * dx, -2 * dx * dy]), (0, 0), sigma)
    return np.arctan2(doubled[..., 1], doubled[..., 0]) / 2


def _outlined(image: np.ndarray, reach: float) -> np.ndarray:
    """Return where outlines are near, ``(H, W)`` in [0, 1]."""
    return np.clip(3 * cv2.GaussianBlur(_contours(image, 1.5), (0, 0), reach), 0, 1)


def _steered(angle: np.ndarray, along: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return lines of ``angle`` turned to ``along`` as far as ``where`` in [0, 1] says; lines have no direction."""
    doubled = [(1 - where) * turn(2 * angle) + where * turn(2 * along) for turn in (np.sin, np.cos)]
    return np.arctan2(*doubled) / 2


def _smear(field: np.ndarray, angle: np.ndarray, length: int) -> np.ndarray:
    """Average ``field`` ``(H, W, C)`` over ``length`` pixels each way along the lines of ``angle``."""
    heading = np.dstack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    total = field.astype(np.float32)
    for sign in (-1, 1):
        at, way = _grid(angle.shape), sign * heading
        for _ in range(length // 2):
            at = at + 2 * way
            turn = cv2.remap(heading, at, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
            way = turn * np.where((turn * way).sum(-1, keepdims=True) < 0, np.float32(-1), np.float32(1))
            read = cv2.remap(field, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            total = total + read.reshape(field.shape)
    return total / (1 + 2 * (length // 2))


def _grid(shape: tuple[int, ...]) -> np.ndarray:
    return np.dstack(np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))).astype(np.float32)


def _warped(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Read ``image`` at every pixel's own ``shift`` ``(H, W, 2)`` away."""
    at = _grid(image.shape) + shift.astype(np.float32)
    return cv2.remap(np.asarray(image, np.float32), at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _flat(image: np.ndarray, reach: float, levels: float) -> np.ndarray:
    """Return ``image`` with its small differences (``levels`` of 255) gone and its edges kept: mean shift."""
    return cv2.pyrMeanShiftFiltering(_bytes(image), reach, levels, maxLevel=1) / np.float32(255)


def _tone(image: np.ndarray) -> np.ndarray:
    """Return the luminance, stretched over [0, 1]."""
    return _stretched(image @ np.array([0.3, 0.59, 0.11], np.float32))


def _stretched(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, (1, 99))
    return np.clip((values - low) / max(float(high - low), 0.08), 0, 1).astype(np.float32)


def _contours(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return dark-side outlines ``(H, W)`` in [0, 1]: a thresholded difference of Gaussians (Winnemoeller 2012)."""
    smooth = cv2.bilateralFilter(image, 5, 0.15, 2)
    narrow, wide = cv2.GaussianBlur(smooth, (0, 0), sigma), cv2.GaussianBlur(smooth, (0, 0), 1.6 * sigma)
    return np.clip(((wide - narrow).max(-1) - 0.008) * 40, 0, 1)


def _hatching(
    shape: tuple[int, int], degrees: float, spacing: float, length: float, rng: np.random.Generator
) -> np.ndarray:
    """Return straight strokes ``(H, W)`` in [0, 1], all over the picture, nearly parallel."""
    across = int(np.hypot(*shape))
    rows = np.arange(-across / 2, across / 2, spacing)
    columns = np.arange(-across / 2, across / 2, 0.8 * length)
    along, aside = (part.ravel() for part in np.meshgrid(columns, rows))
    along = along + rng.uniform(-0.5, 0.5, along.shape) * length
    aside = aside + rng.normal(0, 0.18, aside.shape) * spacing
    turn = np.radians(degrees) + rng.normal(0, 0.035, along.shape)
    half = length * rng.uniform(0.35, 0.65, along.shape)
    way = np.array([np.cos(np.radians(degrees)), -np.sin(np.radians(degrees))])
    middle = np.outer(along, way) + np.outer(aside, (-way[1], way[0])) + np.array(shape[::-1]) / 2
    ends = half[:, None] * np.stack([np.cos(turn), -np.sin(turn)], -1)
    drawn = np.zeros(shape, np.uint8)
    lines = np.rint(np.stack([middle - ends, middle + ends], 1) * 16).astype(np.int32)
    for line, pressure in zip(lines, rng.integers(120, 255, len(lines)).tolist(), strict=True):
        cv2.polylines(drawn, [line], False, pressure, max(1, round(spacing / 3)), cv2.LINE_AA, 4)
    return drawn / np.float32(255)


def _sheets(image: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort the pixels into ``count`` colours, light to dark: labels ``(H, W)`` and the colours ``(count, 3)``."""
    pixels = image.reshape(-1, 3)
    spread = pixels[:: max(1, len(pixels) // 4000)]
    criteria = (cv2.TERM_CRITERIA_MAX_ITER, 12, 0.0)
    cv2.setRNGSeed(0)
    _, _, centres = cv2.kmeans(spread, count, None, criteria, 1, cv2.KMEANS_PP_CENTERS)
    centres = centres[np.argsort(-centres.mean(-1))]
    labels = ((pixels[:, None] - centres) ** 2).sum(-1).argmin(-1).reshape(image.shape[:2])
    values = np.linspace(0.9, 0.3, count, dtype=np.float32)[:, None]  # no paper is as dark as a shadow
    return labels, _saturate(centres / np.maximum(centres.mean(-1, keepdims=True), 0.04) * values, 1.5)


def _cut(mask: np.ndarray, radius: float, grown: float) -> np.ndarray:
    """Return ``mask`` without the small corners that scissors cannot follow, ``grown`` pixels wider, float32."""
    smooth = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), radius)
    # across a straight edge the blurred mask falls by 1 / sqrt(2 pi) each radius
    return np.clip((smooth - 0.5) * 2.5 * radius + grown + 0.5, 0, 1) * (smooth > 0.02)


def _emboss(image: np.ndarray, thickness: np.ndarray, depth: float) -> np.ndarray:
    """Light the ``thickness`` of the paint from the upper left; ``depth`` is how strongly."""
    slope = cv2.Sobel(thickness, cv2.CV_32F, 1, 0) + cv2.Sobel(thickness, cv2.CV_32F, 0, 1)
    shade = np.clip(depth * slope / (slope.std() + 1e-6), -0.45, 0.45)[..., None]
    return np.clip(image * (1 + shade) + np.maximum(shade - 0.22, 0), 0, 1)


def _saturate(image: np.ndarray, factor: float) -> np.ndarray:
    grey = image.mean(-1, keepdims=True)
    return np.clip(grey + factor * (image - grey), 0, 1).astype(np.float32)


def _contrast(image: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(0.5 + factor * (image - 0.5), 0, 1)


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _odd(size: float) -> int:
    return 2 * max(1, round(size) // 2) + 1
