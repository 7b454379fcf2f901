"""Which frames of a shot are TokenFlow's keys at a step, and which two of them a frame lies between."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..bridge.settings.tokenflow import TokenFlowSettings

Frames = tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The keys of one step.

    ``takes`` are the shot's frames, parted at its cuts; every take has keys of its own. ``offset`` shifts where one
    window of keys ends and the next begins.
    """

    takes: tuple[Frames, ...]
    keys: Frames
    offset: int
    logistic: bool

    @property
    def work(self) -> int:
        """How many frames pass the network: all once, and the keys again where they too are made of keys."""
        return sum(map(len, self.takes)) + (len(self.keys) if self.logistic else 0)

    def brackets(self, frame: int) -> list[tuple[int, float]]:
        """Return the keys around ``frame`` and their weights, which sum to 1 (TokenFlow, section 4.2, eq. 3).

        They are the last key up to the frame and the first one after it, of the frame's take and at their true places;
        where there is but one, it has all the weight. The weight of the later one is its nearness ``d- / (d- + d+)``:
        linear, frames of a bracket change evenly, and neighbouring brackets meet in the key, which has all of itself.
        The paper puts a logistic function around it: the weight of the later one is then within 0.5 and 0.73.
        """
        take = next(take for take in self.takes if take[0] <= frame <= take[-1])
        keys = [key for key in self.keys if take[0] <= key <= take[-1]]
        place = bisect_right(keys, frame)
        if place in (0, len(keys)):
            return [(keys[min(place, len(keys) - 1)], 1.0)]
        before, after = keys[place - 1 : place + 1]
        near = (frame - before) / (after - before)
        share = 1 / (1 + math.exp(-near)) if self.logistic else near
        return [(key, weight) for key, weight in ((before, 1 - share), (after, share)) if weight > 0]

    def passes(self, most: int) -> Iterator[tuple[Frames, list[Frames]]]:
        """Yield the keys in windows of at most ``most``, in order, each with the frames that can be made after it.

        Those are made of the window's keys and the last one before it, and come in parts of at most ``most``. A key is
        among them only where it too is made of keys: with linear weights it would come out as it went in.
        """
        borders = range(self.offset % most, len(self.keys), most) if len(self.keys) > most else ()
        frames = [frame for take in self.takes for frame in take if self.logistic or frame not in self.keys]
        for window in filter(None, _parted(self.keys, borders)):
            ready = [frame for frame in frames if self.brackets(frame)[-1][0] <= window[-1]]
            frames = frames[len(ready) :]
            yield window, [tuple(ready[first : first + most]) for first in range(0, len(ready), most)]


def plans(parts: Sequence[Sequence[int]], settings: TokenFlowSettings, steps: int, seed: int) -> list[Plan]:
    """Return a plan for every step: one random key in every ``key_spacing`` frames of each take (section 4.1).

    The last group of a take may be smaller; no frame is left out. Fixed keys are those of the first step.
    """
    spacing = settings.key_spacing
    groups = [take[first : first + spacing] for take in parts for first in range(0, len(take), spacing)]
    found = []
    for step in range(steps):
        draw = np.random.default_rng([seed, step if settings.key_draw == "random" else 0])
        keys = tuple(int(draw.choice(group)) for group in groups)
        found.append(Plan(tuple(map(tuple, parts)), keys, int(draw.integers(2**31)), settings.weighting == "logistic"))
    return found


def _parted(items: Sequence[int], borders: Sequence[int]) -> list[Frames]:
    """Return ``items`` cut before each of the places ``borders``."""
    ends = [0, *sorted(borders), len(items)]
    return [tuple(items[first:last]) for first, last in pairwise(ends)]
