"""Guided patch synthesis: paint the pixels that no key frame shows, from patches of the key frames.

The energy is that of StyLit (Fišer et al., SIGGRAPH 2016) and EbSynth (Jamriška et al., "Stylizing Video by Example",
SIGGRAPH 2019, section 4): the guides of a pixel's patch should look like those of its source patch, the picture
painted so far like the source's style, and no source patch should serve too often. The search starts where the motion
around a gap points to and is local; where nothing is known it is global, on the coarsest level.

All randomness is a hash of pixel and round, and pixels are visited in one order, by one thread: the same input always
gives the same picture. Gaps are small, and threads would cost more than they save.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numba import njit

GUIDES = 8  # guide channels: fixed, so that the kernels' loops are compiled for it
CHANNELS = GUIDES + 3
STYLE_WEIGHT = 1 / 3  # of each channel: EbSynth's style weight of 1, spread over three
UNIFORMITY = 0.002  # energy a pixel of a source patch that serves once; EbSynth's 3500 in these units (/ 255² / 25)
COARSEST = 2  # level n has sides 2^n times smaller
ROUNDS = 3  # of voting and searching on each level
SEARCHES = 2  # improvements of the field in each round
REACH = 12  # px, how far a search strays from what is known
STRANGER = 0.1  # energy a pixel of a source patch on another object: a colour that is off by an eighth


@dataclass(frozen=True)
class Exemplar:
    """One frame as the match sees it.

    ``guides`` ``(H, W, GUIDES)`` float32, every channel multiplied by the square root of its weight. ``labels``
    ``(H, W)`` int32 say which object a pixel shows, and a pixel is painted from its own object unless that looks quite
    different; negative where a pixel must not serve as a source. ``style`` ``(H, W, 3)`` float32 in [0, 1] is the
    painted frame.
    """

    guides: np.ndarray
    labels: np.ndarray
    style: np.ndarray

    def halved(self, times: int) -> Exemplar:
        """Return the frame with both sides divided by two, ``times`` times."""
        if not times:
            return self
        size = self.labels.shape[1] >> times, self.labels.shape[0] >> times
        parts = [*np.array_split(self.guides, 2, axis=2), self.style]  # OpenCV shrinks four channels at most
        first, second, style = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in parts)
        labels = cv2.resize(self.labels, size, interpolation=cv2.INTER_NEAREST)
        return Exemplar(np.dstack([first, second]), labels, style)


class Library:
    """The painted frames that patches are taken from, all of one size; ``patch``, odd, is a patch's side in pixels."""

    def __init__(self, frames: Sequence[Exemplar], patch: int = 5) -> None:
        self.frames, self.radius = frames, patch // 2
        self._levels: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def level(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the features and the labels of all frames on a level, as :class:`_Grid` lays them out; made once."""
        if number not in self._levels:
            frames = [frame.halved(number) for frame in self.frames]
            self._levels[number] = (
                np.concatenate([_features(frame, self.radius) for frame in frames]),
                np.concatenate([_padded(frame.labels, self.radius, -1) for frame in frames]),
            )
        return self._levels[number]


def extended(start: np.ndarray, known: np.ndarray, labels: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Return ``start`` ``(H, W, 3)`` with the pixels of ``gap`` found where the known pixel nearest to them leads.

    ``start`` is as in :func:`synthesize`, right where ``known`` ``(H, W)`` bool; only pixels of the same label lead,
    and they lead as far beside their own place as the pixel is beside them. Where none has the label the source is -1.
    """
    result = start.copy()
    result[gap] = -1
    for label in np.unique(labels[gap]):
        leads, here = known & (labels == label), np.nonzero(gap & (labels == label))
        if not leads.any():
            continue
        _, nearest = cv2.distanceTransformWithLabels(
            (~leads).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        rows, columns = np.nonzero(leads)
        order = np.zeros(nearest.max() + 1, np.int64)
        order[nearest[rows, columns]] = np.arange(rows.size)
        lead = order[nearest[here]]
        beside = np.stack([0 * lead, here[1] - columns[lead], here[0] - rows[lead]], -1)
        result[here] = start[rows[lead], columns[lead]] + beside
    return result


def synthesize(target: Exemplar, gap: np.ndarray, library: Library, start: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return ``target.style`` with the pixels of ``gap`` ``(H, W)`` bool painted from the library, ``(H, W, 3)``.

    ``start`` ``(H, W, 3)`` float32 tells for every pixel in which frame of the library, and at what x and y of it, its
    surface or the surface nearest to it is found; the frame's number is negative where nothing is known.
    """
    if not gap.any():
        return target.style
    _, style = _search(target, gap, library, start, seed)
    return np.where(gap[..., None], style, target.style)


def matched(target: Exemplar, source: Exemplar, patch: int = 5, seed: int = 0) -> np.ndarray:
    """Return which pixel of ``source`` each pixel of ``target`` looks most like, ``(H, W, 2)`` float32 x and y.

    ``target`` needs no style: the source's, as the matches so far carry it over, should be coherent (DiffSynth's guided
    patch matching). The search is global on the coarsest level.
    """
    everything = np.ones(target.labels.shape, bool)
    unknown = np.full((*target.labels.shape, 3), -1, np.float32)
    found, _ = _search(target, everything, Library([source], patch), unknown, seed)
    return found[..., 1:]


def vote(image: np.ndarray, field: np.ndarray, patch: int = 5) -> np.ndarray:
    """Return ``image`` ``(H, W, C)`` carried by ``field`` ``(H, W, 2)`` of x and y, the mean of what patches bring.

    Every pixel is covered by the patches found for the pixels around it; each brings the pixel of its own that lies
    there. Only patches inside the picture count (DiffSynth divides by all, which darkens borders).
    """
    return _carried(np.ascontiguousarray(image), np.rint(field).astype(np.int64), patch // 2)


def _search(
    target: Exemplar, gap: np.ndarray, library: Library, start: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return where every pixel was found, as a start ``(H, W, 3)``, and the style that is painted by it."""
    start = _Grid(target, library, 0).allowed(start, gap)
    found, style = start, target.style
    coarsest = _coarsest(gap, start, library)
    for level in range(coarsest, -1, -1):
        grid = _Grid(target.halved(level), library, level)
        known = grid.places(_halved_start(start, level))
        field = grid.random_places(seed) if level == coarsest else grid.places(_doubled_start(found, grid.shape))
        match = grid.match(np.flatnonzero(grid.padded(_halved_mask(gap, level), 0)), known)
        reach = max(grid.shape) if level == coarsest > 0 else REACH
        field = np.where(known >= 0, known, field)
        _paint(match, field, reach, seed)
        found, style = grid.start(field), grid.style(match)
    return found, style


def _coarsest(gap: np.ndarray, start: np.ndarray, library: Library) -> int:
    """Return the level to begin on: coarse where the start is unknown or the gap is wider than a few patches."""
    patch = 2 * library.radius + 1
    width = 2 * float(cv2.distanceTransform(np.pad(gap, 1, mode="edge").astype(np.uint8), cv2.DIST_L2, 3).max())
    possible = [level for level in range(COARSEST + 1) if min(gap.shape) >> level > 4 * patch]
    if (start[gap][:, 0] < 0).any():
        return max(possible, default=0)
    return max((level for level in possible if width > 2 * patch << level or level == 0), default=0)


def _halved_mask(mask: np.ndarray, times: int) -> np.ndarray:
    """Return true where any of the pixels that become one is."""
    size = mask.shape[1] >> times, mask.shape[0] >> times
    return cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0


def _halved_start(start: np.ndarray, times: int) -> np.ndarray:
    size = start.shape[1] >> times, start.shape[0] >> times
    return cv2.resize(start, size, interpolation=cv2.INTER_NEAREST) / np.array([1, 1 << times, 1 << times], np.float32)


def _doubled_start(start: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Carry a start to the next finer level of ``shape``; each pixel keeps its place in the pixel it came from."""
    y, x = np.indices(shape)
    row, column = np.minimum(y // 2, start.shape[0] - 1), np.minimum(x // 2, start.shape[1] - 1)
    number, from_x, from_y = np.moveaxis(start[row, column], -1, 0)
    return np.dstack([number, 2 * from_x + x - 2 * column, 2 * from_y + y - 2 * row])


def _padded(image: np.ndarray, radius: int, value: int) -> np.ndarray:
    """Return ``image`` ``(H, W)`` as flat int32, bordered with ``value``."""
    return np.pad(image.astype(np.int32), radius, constant_values=value).ravel()


def _features(frame: Exemplar, radius: int) -> np.ndarray:
    """Return guides and style, side by side in every pixel, as flat float32 with the border repeated."""
    features = np.dstack([frame.guides, frame.style * np.float32(np.sqrt(STYLE_WEIGHT))])
    return cv2.copyMakeBorder(features, radius, radius, radius, radius, cv2.BORDER_REPLICATE).ravel()


class _Match(NamedTuple):
    """What the kernels read: flat images of one level, and ``target``, whose style they repaint at ``pixels``."""

    target: np.ndarray
    source: np.ndarray
    labels: np.ndarray
    source_labels: np.ndarray
    known: np.ndarray
    pixels: np.ndarray
    stride: int
    radius: int


class _Grid:
    """The indexing of one level: flat, in images padded by the patch's radius.

    Target and sources have rows of equal stride and the sources lie one below the other, so a step between pixels is
    the same number in all of them. Padding has the label -1 and is never matched.
    """

    def __init__(self, target: Exemplar, library: Library, level: int) -> None:
        self.target, self.radius, self.shape = target, library.radius, target.labels.shape
        self.rows, self.stride = self.shape[0] + 2 * self.radius, self.shape[1] + 2 * self.radius
        self.source, self.source_labels = library.level(level)
        self.labels = self.padded(target.labels, -1)

    def match(self, pixels: np.ndarray, known: np.ndarray) -> _Match:
        """Return the problem of painting ``pixels``, flat indices; ``known`` is as :meth:`places` returns it."""
        return _Match(
            _features(self.target, self.radius), self.source, self.labels, self.source_labels, known, pixels,
            self.stride, self.radius,
        )

    def padded(self, image: np.ndarray, value: int) -> np.ndarray:
        """Return ``image`` ``(H, W)`` in flat indices, bordered with ``value``."""
        return _padded(image, self.radius, value)

    def places(self, start: np.ndarray) -> np.ndarray:
        """Return the flat source indices of a start ``(H, W, 3)``, -1 where it is unknown."""
        number, x, y = np.moveaxis(np.rint(start).astype(np.int32), -1, 0)
        x, y = np.clip(x, 0, self.shape[1] - 1), np.clip(y, 0, self.shape[0] - 1)
        flat = (number * self.rows + y + self.radius) * self.stride + x + self.radius
        return self.padded(np.where(number < 0, -1, flat), -1)

    def start(self, field: np.ndarray) -> np.ndarray:
        """Return a start ``(H, W, 3)`` from flat source indices: the inverse of :meth:`places`."""
        row, column = np.divmod(self._inner(field), self.stride)
        number, y = np.divmod(row, self.rows)
        return np.dstack([number, column - self.radius, y - self.radius]).astype(np.float32)

    def allowed(self, start: np.ndarray, gap: np.ndarray) -> np.ndarray:
        """Return the start, unknown where a pixel of the gap would take what must not serve."""
        wrong = gap & (self.source_labels[self._inner(self.places(start))] < 0)
        return np.dstack([np.where(wrong, -1, start[..., 0]), start[..., 1:]])

    def random_places(self, seed: int) -> np.ndarray:
        """Return a source index for every pixel, of its own label if any source has it, -1 in the padding."""
        rng = np.random.default_rng(seed)
        field = np.full(self.labels.shape, -1, np.int32)
        for label in np.unique(self.labels[self.labels >= 0]):
            chosen = np.flatnonzero(self.source_labels == label)
            chosen = chosen if chosen.size else np.flatnonzero(self.source_labels >= 0)
            field[self.labels == label] = rng.choice(chosen, np.count_nonzero(self.labels == label))
        return field

    def style(self, match: _Match) -> np.ndarray:
        """Return the style ``(H, W, 3)`` that a match has painted."""
        return self._inner(match.target.reshape(-1, CHANNELS)[:, GUIDES:]) / np.float32(np.sqrt(STYLE_WEIGHT))

    def _inner(self, flat: np.ndarray) -> np.ndarray:
        image = flat.reshape(self.rows, self.stride, *flat.shape[1:])
        return image[self.radius : self.rows - self.radius, self.radius : self.stride - self.radius]


def _paint(match: _Match, field: np.ndarray, reach: int, seed: int) -> None:
    """Improve the field at the match's pixels in place; leave in its target the style that the field votes for."""
    style = match.target.reshape(-1, CHANNELS)[:, GUIDES:]
    style[match.pixels] = _votes(match, field)
    for turn in range(ROUNDS * SEARCHES):
        _improve(match, field, _usage(match, field), reach, np.uint64(seed + 7919 * turn), turn % 2 == 1)
        if turn % SEARCHES == SEARCHES - 1:
            style[match.pixels] = _votes(match, field)


def _usage(match: _Match, field: np.ndarray) -> np.ndarray:
    """Return how often the source pixels of each patch serve on average, flat float32."""
    count = np.bincount(field[match.pixels], minlength=match.source_labels.size).astype(np.float32)
    return cv2.blur(count.reshape(-1, match.stride), (2 * match.radius + 1,) * 2).ravel()


@njit(cache=True, inline="always")
def _hash(value: np.uint64) -> np.uint64:
    """Mix 64 bits (splitmix64, Steele et al., OOPSLA 2014)."""
    value += np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(cache=True, inline="always")
def _jitter(state: np.uint64, span: int, stride: int) -> np.int64:
    """Return a flat step of at most ``span`` pixels in x and y, drawn from 64 random bits."""
    dx = np.int64(state & np.uint64(0xFFFFFF)) % (2 * span + 1) - span
    dy = np.int64((state >> np.uint64(32)) & np.uint64(0xFFFFFF)) % (2 * span + 1) - span
    return dy * stride + dx


@njit(cache=True, fastmath=True)
def _distance(match: _Match, p: int, q: int, limit: np.float32) -> np.float32:
    """Sum the squared differences of the patches around p and q; stop after the row that passes ``limit``."""
    total = np.float32(0)
    size = (2 * match.radius + 1) * CHANNELS
    for row in range(-match.radius, match.radius + 1):
        a = (p + row * match.stride - match.radius) * CHANNELS
        b = (q + row * match.stride - match.radius) * CHANNELS
        # Slices: an index that may be negative would keep the loop below from being vectorised, at 6 times the time.
        mine, theirs = match.target[a : a + size], match.source[b : b + size]
        part = np.float32(0)
        for k in range(size):
            difference = mine[k] - theirs[k]
            part += difference * difference
        total += part
        if total >= limit:
            break
    return total


@njit(cache=True, fastmath=True)
def _cost(match: _Match, usage: np.ndarray, p: int, q: int, limit: np.float32) -> np.float32:
    """Return the energy of painting p from q: infinite outside the sources and where they must not serve."""
    if q < 0 or q >= match.source_labels.size or match.source_labels[q] < 0:
        return np.float32(np.inf)
    strange = np.float32(STRANGER if match.source_labels[q] != match.labels[p] else 0)
    price = (np.float32(UNIFORMITY) * usage[q] + strange) * np.float32((2 * match.radius + 1) ** 2)
    return price + _distance(match, p, q, limit - price)


@njit(cache=True)
def _improve(match: _Match, field: np.ndarray, usage: np.ndarray, reach: int, seed: np.uint64, backwards: bool) -> None:
    """Improve the field by a scan of propagation and random search (PatchMatch, Barnes et al., SIGGRAPH 2009)."""
    steps = np.array([1, -1, match.stride, -match.stride, 4, -4, 4 * match.stride, -4 * match.stride])
    for number in range(match.pixels.size):
        p = match.pixels[match.pixels.size - 1 - number if backwards else number]
        best = np.int64(field[p])
        cost = _cost(match, usage, p, best, np.float32(np.inf))
        tries = steps.size + 1
        state, span = _hash(np.uint64(p) ^ (seed << np.uint64(32))), reach
        while tries > 0 or span > 0:
            if tries > steps.size:
                q = np.int64(match.known[p])
            elif tries > 0:  # what the neighbours found, moved back by the step to them
                step = steps[tries - 1]
                n = min(max(p + step, 0), field.size - 1)
                q = np.int64(field[n]) - step
            else:
                state = _hash(state)
                q = best + _jitter(state, span, match.stride)
                span //= 2
            tries -= 1
            trial = _cost(match, usage, p, q, cost)
            if trial < cost:
                best, cost = q, trial
        field[p] = best


@njit(cache=True, inline="always")
def _serves(match: _Match, p: int, neighbour: int, found: int, q: int) -> bool:
    """Whether the patch found for a neighbour of p may put its pixel q at p: all on one surface, free to serve."""
    if found < 0 or match.labels[neighbour] != match.labels[p]:
        return False
    return match.source_labels[q] >= 0 and match.source_labels[q] == match.source_labels[found]


@njit(cache=True)
def _votes(match: _Match, field: np.ndarray) -> np.ndarray:
    """Return the style at the match's pixels, ``(N, 3)``: the mean of what the patches of the same label put there."""
    votes = np.zeros((match.pixels.size, 3), np.float32)
    for i in range(match.pixels.size):
        p = match.pixels[i]
        count = 0
        for row in range(-match.radius, match.radius + 1):
            for column in range(-match.radius, match.radius + 1):
                step = row * match.stride + column
                q = np.int64(field[p + step])
                if step != 0 and not _serves(match, p, p + step, q, q - step):
                    continue
                for k in range(3):
                    votes[i, k] += match.source[(q - step) * CHANNELS + GUIDES + k]
                count += 1
        votes[i] /= count
    return votes


@njit(cache=True)
def _carried(image: np.ndarray, field: np.ndarray, radius: int) -> np.ndarray:
    """Return the votes of the patches of a field ``(H, W, 2)`` int64 for ``image``, see :func:`vote`."""
    height, width = field.shape[:2]
    result = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            count = 0
            for dy in range(max(-radius, -y), min(radius + 1, height - y)):
                for dx in range(max(-radius, -x), min(radius + 1, width - x)):
                    row, column = field[y + dy, x + dx, 1] - dy, field[y + dy, x + dx, 0] - dx
                    if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                        count += 1
                        for k in range(image.shape[2]):
                            result[y, x, k] += image[row, column, k]
            for k in range(image.shape[2]):
                result[y, x, k] /= count  # not 0: the centre of the pixel's own patch is inside
    return result
