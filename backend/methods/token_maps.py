"""Where the tokens of a frame come from: along motion, or by the nearest neighbours of the source's features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..diffusion.attention import TokenBank, TokenMap, token_map
from ..motion.cache import Cache
from ..motion.cells import at_cells
from ..motion.correspondence import Correspondence, Motion
from .token_keys import Plan

CACHE = 64 << 20  # bytes of correspondences on token grids kept
QUERIES = 1024  # tokens whose nearest neighbours are looked for at once
SEEN = 0.5  # a token of which this share is visible in a key is taken from the key as a whole

Found = list[tuple[int, TokenMap]]


class MotionMaps:
    """Maps along motion: exact addresses, or estimated flow, at each token's stride.

    ``size`` (h, w) is that of the latents, ``factor`` the side of a latent cell in pixels.
    """

    def __init__(self, motion: Motion, size: tuple[int, int], factor: int) -> None:
        self._motion, self._size, self._factor = motion, size, factor
        self._cells: Cache[tuple[int, int, tuple[int, int]], Correspondence] = Cache(CACHE, self._at)

    def sources(self, plan: Plan, frame: int, grid: tuple[int, int]) -> Found:
        """Return the keys of ``plan`` that the tokens of ``frame`` come from, with the maps into them.

        A key's weight counts as far as it shows the token; what one of the two hides comes from the other alone. Tokens
        that both hide for the most part are left a share of their weight, down to none (see ``propagate``).
        """
        around = plan.brackets(frame)
        found = [self._cells.get((frame, key, grid)) for key, _ in around]
        valid = np.stack([cells.valid for cells in found])
        shares = valid * np.array([weight for _, weight in around], np.float32)[:, None, None]
        total = shares.sum(axis=0)
        covered = np.minimum(1.0, valid.max(axis=0) / SEEN)
        shares = shares * np.divide(covered, total, out=np.zeros_like(total), where=total > 0)
        parts = zip(around, found, shares, strict=True)
        return [(key, token_map(cells.flow, share)) for (key, _), cells, share in parts]

    def _at(self, place: tuple[int, int, tuple[int, int]]) -> Correspondence:
        frame, key, grid = place
        return at_cells(self._motion.pair(frame, key), self._factor * stride(self._size, grid), grid)


def stride(size: tuple[int, int], grid: tuple[int, int]) -> int:
    """Return how many latent cells, of ``size`` (h, w) in all, a token of ``grid`` is wide; each level halves them."""
    cells = 1
    while size != grid:
        size, cells = ((size[0] + 1) // 2, (size[1] + 1) // 2), 2 * cells
        if size[0] < grid[0]:
            raise ValueError(f"no level of the network has the grid {grid}")
    return cells


def feature_sources(
    plan: Plan, tokens: TokenBank, layer: str, timestep: float, frame: int, device: torch.device
) -> Found:
    """Return the keys that the tokens of ``frame`` come from, by nearest neighbours (TokenFlow, section 4.2, eq. 2).

    ``tokens`` holds the source's own at this layer and step, in stream 1.
    """
    own = tokens.input(layer, timestep, 1, frame).to(device)
    found = []
    for key, weight in plan.brackets(frame):
        index = nearest(own, tokens.input(layer, timestep, 1, key).to(device))[:, None]
        found.append((key, TokenMap(index, torch.full_like(index, weight, dtype=torch.float32))))
    return found


def nearest(queries: Tensor, tokens: Tensor) -> Tensor:
    """Return for each of ``queries`` (n, c) the index of the most similar of ``tokens`` (m, c), by the cosine: (n,)."""
    there = normalize(tokens.float(), dim=1).T
    best = [(normalize(part.float(), dim=1) @ there).argmax(dim=1) for part in queries.split(QUERIES)]
    return torch.cat(best)

