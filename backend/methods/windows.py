"""A long shot in windows that are denoised one after another, each agreeing with what was finished before.

Frames spread over the whole shot come first, in one window. They are then the frozen references of the windows between
them, which may be spread and divided again. So every frame is denoised once, no error adds up along the shot, and a
window depends on a handful of frames whatever the length of the shot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Part:
    """Frames denoised in step; ``frozen`` are the references finished before: none, or one at either end."""

    frames: tuple[int, ...]
    frozen: tuple[int, ...]


@dataclass(frozen=True)
class Gap:
    """Frames between two key frames that are not denoised; ``keys`` are those two, and one further on either side."""

    frames: tuple[int, ...]
    keys: tuple[int, ...]


def key_frames(take: Sequence[int], every: int) -> list[int]:
    """Return every ``every``-th frame of a take, and the last."""
    return sorted({*take[::every], take[-1]})


def gaps(take: Sequence[int], keys: Sequence[int]) -> list[Gap]:
    """Return what lies between the neighbours of ``keys``, in order, of which the first and the last frame are two."""
    found = []
    for place, (first, last) in enumerate(pairwise(keys)):
        between = tuple(frame for frame in take if first < frame < last)
        if between:
            found.append(Gap(between, tuple(keys[max(place - 1, 0) : place + 3])))
    return found


def windows(take: Sequence[int], size: int) -> list[Part]:
    """Return the windows of at most ``size`` (3 and up) frames, references included, that make all frames of a take.

    Windows come in an order in which references are made before they are needed, and not long before.
    """
    if len(take) <= size:
        return [Part(tuple(take), ())]
    spread = _spread(take, size)
    return [Part(tuple(spread), ()), *_between(take, spread, size)]


def needed(parts: Sequence[Part], wanted: Iterable[int]) -> list[Part]:
    """Return those of the windows, in their order, that make the ``wanted`` frames or references on the way to them."""
    asked, chosen = set(wanted), []
    for part in reversed(parts):
        if asked & set(part.frames):
            chosen.append(part)
            asked |= set(part.frozen)
    return chosen[::-1]


def _between(take: Sequence[int], spread: Sequence[int], size: int) -> Iterator[Part]:
    """Yield the windows between neighbours of the frames that are ``spread`` over a take."""
    for first, last in pairwise(spread):
        span = [frame for frame in take if first <= frame <= last]
        if 2 < len(span) <= size:
            yield Part(tuple(span[1:-1]), (first, last))
        elif len(span) > size:
            inner = _spread(span, size)
            yield Part(tuple(inner[1:-1]), (first, last))
            yield from _between(span, inner, size)


def _spread(frames: Sequence[int], size: int) -> list[int]:
    """Return at most ``size`` of the frames, evenly spread, the first and the last among them."""
    pieces = min(size - 1, -(-(len(frames) - 1) // (size - 1)))
    return [frames[round(k * (len(frames) - 1) / pieces)] for k in range(pieces + 1)]
