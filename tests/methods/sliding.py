"""Motions that are known: pictures that slide over the screen, that stand still, or that have nothing in common."""

from __future__ import annotations

import numpy as np

from backend.motion.correspondence import Correspondence, identity, inside, nothing


class Sliding:
    """All frames show one plane that moves by ``velocity`` (x, y) px a frame; ``size`` is (width, height)."""

    def __init__(self, size, velocity):
        self.size, self.velocity = size, velocity

    def pair(self, i, j):
        if i == j:
            return identity(self.size)
        flow = np.empty((self.size[1], self.size[0], 2), np.float32)
        flow[:] = np.multiply(self.velocity, j - i)
        there = inside(flow, 0.0)
        return Correspondence(flow, there.astype(np.float32), there)

    def describe(self):
        return {"source": "known"}


class Still(Sliding):
    """Nothing moves."""

    def __init__(self, size):
        super().__init__(size, (0, 0))


class Unrelated(Sliding):
    """No frame shows anything of another."""

    def __init__(self, size):
        super().__init__(size, (0, 0))

    def pair(self, i, j):
        return identity(self.size) if i == j else nothing(self.size)
