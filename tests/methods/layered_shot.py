"""A small shot whose every correspondence is known: flat cards that slide over each other, seen by a fixed camera.

A ground pans to the left, a disc moves to the right before it, a bar sweeps across before both, and there is a sky.
``painted`` gives the picture that an artist who never errs would paint of any frame: strokes fixed to the cards.
"""

from __future__ import annotations

import numpy as np

from backend.motion.correspondence import Correspondence, identity, nothing
from backend.motion.geometry import DataLayer, pixel_grid

SKY, GROUND, DISC, BAR = range(4)
COLOURS = np.array([[0.75, 0.8, 0.9], [0.35, 0.55, 0.3], [0.8, 0.45, 0.2], [0.6, 0.12, 0.15]], np.float32)
STYLE = np.array([[0.55, 0.7, 0.95], [0.2, 0.6, 0.2], [0.95, 0.65, 0.1], [0.75, 0.05, 0.1]], np.float32)
VELOCITY = np.array([[0, 0], [-1.3, 0], [1.7, 0.3], [6.1, 0]])
DEPTH = np.array([1e10, 9.0, 5.0, 2.0], np.float32)
FINE = 4  # samples across a pixel


class LayeredShot:
    """The cards as a shot.

    ``cuts`` are first frames of a new take; ``shadow`` darkens a band of the ground before the bar; with ``fall`` the
    disc begins in the sky and falls in front of the ground.
    """

    has_data = True

    def __init__(self, size=(96, 64), count=9, cuts=(), shadow=False, fall=False):
        self.width, self.height = size
        self.frames = tuple(range(1, count + 1))
        self.cuts, self.shadow = cuts, shadow
        self.motion = self
        self.grid = pixel_grid(size).astype(np.float64)
        self.velocity = VELOCITY.copy()
        self.disc = np.array([self.width * 0.35, self.height * 0.5])
        if fall:
            self.disc[1], self.velocity[DISC, 1] = self.height * 0.2, 4.3

    def cards(self, frame, points):
        """Which card ``(...)`` is seen at ``points`` ``(..., 2)``, and where on it."""
        time = frame - self.frames[0]
        centre = self.disc + self.velocity[DISC] * time
        left = -20 + VELOCITY[BAR, 0] * time
        x, y = points[..., 0], points[..., 1]
        card = np.where(y > self.height * 0.45, GROUND, SKY)
        card = np.where(np.hypot(x - centre[0], y - centre[1]) < self.height * 0.22, DISC, card)
        card = np.where((x > left) & (x < left + 12), BAR, card)
        return card, points - self.velocity[card] * time

    def coloured(self, frame, palette, strength, pitch):
        """An anti-aliased picture of ``frame``: the cards' colours and a pattern that is fixed to them."""
        step = (np.arange(FINE) + 0.5) / FINE - 0.5
        image = np.zeros((self.height, self.width, 3))
        for dx in step:
            for dy in step:
                card, point = self.cards(frame, self.grid + np.array([dx, dy]))
                wave = np.sin(pitch[0] * point[..., 0] + 2 * card) * np.sin(pitch[1] * point[..., 1])
                image += palette[card] + strength * wave[..., None]
        return np.clip(image / FINE**2, 0, 1).astype(np.float32)

    def beauty(self, frame):
        """The render: a faint texture, and a soft shadow on the ground before the bar where asked for."""
        image = self.coloured(frame, COLOURS, 0.03, (0.5, 0.33))
        return image * (1 - 0.5 * self.shade(frame)[..., None]) if self.shadow else image

    def shade(self, frame):
        """Where the shadow is, ``(H, W)`` float32."""
        x = self.grid[..., 0] - (VELOCITY[BAR, 0] * (frame - self.frames[0]) + 14)
        on_ground = self.cards(frame, self.grid)[0] == GROUND
        return (on_ground * np.clip(3 - np.abs(x - 8) / 2, 0, 1)).astype(np.float32)

    def painted(self, frame):
        """The artist's picture: other colours, and strokes that are fixed to the cards."""
        return self.coloured(frame, STYLE, 0.12, (1.1, 0.9))

    def alpha(self, frame):
        return None

    def layer(self, frame):
        card, point = self.cards(frame, self.grid)
        one, three = np.zeros(card.shape, np.float32), np.zeros((*card.shape, 3), np.float32)
        address = np.dstack([point, np.zeros_like(point[..., :1])]).astype(np.float32)
        return DataLayer(
            depth=DEPTH[card], normal=three, vector=np.zeros((*card.shape, 4), np.float32), position=address,
            uv=address[..., :2], generated=address, rest=address, random=one, index=card.astype(np.int32),
            surface=card != SKY, sky=card == SKY,
        )  # fmt: skip

    def pair(self, i, j):
        size = self.width, self.height
        if i == j:
            return identity(size)
        if any(min(i, j) < cut <= max(i, j) for cut in self.cuts):
            return nothing(size)
        card, _ = self.cards(i, self.grid)
        flow = self.velocity[card] * (j - i)
        there, _ = self.cards(j, self.grid + flow)
        inside = ((self.grid + flow >= 0) & (self.grid + flow <= [self.width - 1, self.height - 1])).all(-1)
        valid = (there == card) & inside
        corners = np.array([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])
        around = [self.cards(j, self.grid + flow + corner)[0] == card for corner in corners]
        return Correspondence(flow.astype(np.float32), valid.astype(np.float32), valid & np.all(around, 0))

    def describe(self):
        return {"source": "layers", "objects": {}}
