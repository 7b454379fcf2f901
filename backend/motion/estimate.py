"""Motion estimated from the frames themselves, for footage that has no scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from .cache import Budget, Cache
from .correspondence import Correspondence, chain, checked, identity, nothing

SMALLEST = 32  # px, smaller frames are padded: DIS works on an image pyramid


def estimate_flow(image_i: np.ndarray, image_j: np.ndarray) -> np.ndarray:
    """Estimate the flow from frame i to frame j by dense inverse search (Kroeger et al. 2016, medium preset).

    Images are ``(H, W, 3)`` float32 sRGB in [0, 1]. Returns ``(H, W, 2)`` float32 pixels.
    """
    height, width = image_i.shape[:2]
    pad = max(0, SMALLEST - height), max(0, SMALLEST - width)
    grey = [
        cv2.copyMakeBorder(cv2.cvtColor(np.rint(image * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY),
                           0, pad[0], 0, pad[1], cv2.BORDER_REPLICATE)
        for image in (image_i, image_j)
    ]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(grey[0], grey[1], None)
    return np.ascontiguousarray(flow[:height, :width])


class EstimatedMotion:
    """Motion of footage: estimated between neighbours, checked forward against backward, chained over longer gaps."""

    def __init__(self, frames: tuple[int, ...], image: Callable[[int], np.ndarray], cuts: frozenset[int],
                 memory: Budget | None = None) -> None:
        """``frames`` in order, ``image(frame)`` loads one, ``cuts`` are frames that are the first of a new scene."""
        memory = Budget() if memory is None else memory
        self.frames, self.image, self.cuts = frames, image, cuts
        self.place = {frame: k for k, frame in enumerate(frames)}
        self._pairs: Cache[tuple[int, int], Correspondence] = Cache(memory, self._pair)
        self._steps: Cache[tuple[int, int], Correspondence] = Cache(memory, self._step)
        self._flows: Cache[tuple[int, int], np.ndarray] = Cache(memory, self._flow)  # a step there needs that back

    def pair(self, i: int, j: int) -> Correspondence:
        """Return the correspondence between two frames of the shot; nothing is valid across a cut."""
        return self._pairs.get((i, j))

    def describe(self) -> dict[str, Any]:
        """Name the estimator."""
        return {
            "source": "estimated",
            "estimator": "OpenCV DIS (dense inverse search), forward-backward checked, chained over longer gaps",
            "reason": "The shot is footage: there is no scene to take motion from.",
            "objects": {},
        }

    def _pair(self, key: tuple[int, int]) -> Correspondence:
        i, j = key
        height, width = self.image(i).shape[:2]
        if i == j:
            return identity((width, height))
        if any(min(i, j) < cut <= max(i, j) for cut in self.cuts):
            return nothing((width, height))
        first, last = self.place[i], self.place[j]
        path = self.frames[first : last + 1] if first < last else self.frames[last : first + 1][::-1]
        return chain(path, self._steps, self._pairs)

    def _step(self, key: tuple[int, int]) -> Correspondence:
        flow, back = self._flows.get(key), self._flows.get(key[::-1])
        one = np.zeros(flow.shape[:2], np.int32)
        return checked(flow, back, one, one)

    def _flow(self, key: tuple[int, int]) -> np.ndarray:
        return estimate_flow(*map(self.image, key))
