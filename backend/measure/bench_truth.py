"""Rows of the bench about motion: a real Blender's data held against rays cast at its meshes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..motion.correspondence import Motion
from .bench_motion import accuracy, chained_share, share
from .ray_truth import HIDDEN, UNKNOWN, VISIBLE, RayTruth, near_border
from .rows import Rows, row

KINDS = {
    "Cloth": "a mesh that deforms",
    "Cone": "instances",
    "Array": "an array that is bent",
    "Nodes": "a Geometry Nodes deformation",
    "Sphere": "a sphere that vanishes and returns",
}
IN_THE_PLANE = 0.001  # cosine below which a ray meets a face nowhere in particular
LAG = 8


def ray_cast_truth(folder: Path) -> Rows:
    """Hold exact motion against the truth in ``folder`` (``tools/bench_truth.py``).

    Accepted pixels are those with a valid flow. Occlusion counts where the fate of all pixels around is the same:
    within a pixel of a border it is a matter of taste. UserError where there is no truth.
    """
    truth = RayTruth(folder)
    motion, frames = truth.shot().motion, truth.shot().info.data_frames
    beside, lag, whole = (truth.pairs(gap) for gap in (1, LAG, frames[-1] - frames[0]))
    pixels = {name: _Pixels(truth, motion, pairs) for name, pairs in (("lag 8", lag), ("first-last", whole))}
    rows = _largest_errors(_Pixels(truth, motion, beside), [*pixels.values()])
    for name, found in pixels.items():
        rows |= {f"{name}: {what}": one for what, one in found.accuracy().items()}
    far = _Pixels(truth, motion, lag + whole)
    for name, kind in KINDS.items():
        judged = far.accuracy(truth.number(name)).items()
        rows |= {f"{kind}: {what}": one for what, one in judged if what != "recall, grazing"}
    rows |= _Pixels(truth, motion, beside + lag + whole).occlusion()
    rows["matches first to last, chained / direct"] = row(chained_share(motion, frames))
    return {f"ray-cast truth, {name}": one for name, one in rows.items()}


class _Pixels:
    """All pixels of some pairs of frames: what was found and what is true, flat arrays."""

    def __init__(self, truth: RayTruth, motion: Motion, pairs: Sequence[tuple[int, int]]) -> None:
        self.sky = len(truth.objects)
        found = [motion.pair(*pair) for pair in pairs]
        true = [truth.truth(*pair) for pair in pairs]
        errors = [np.linalg.norm(a.flow - b.flow, axis=-1) for a, b in zip(found, true, strict=True)]
        self.error = np.concatenate(errors, axis=None)
        self.accepted = np.concatenate([pair.valid > 0 for pair in found], axis=None)
        self.owner, self.state, self.cosine, self.grazing = (
            np.concatenate([getattr(one, part) for one in true], axis=None)
            for part in ("owner", "state", "cosine", "grazing")
        )
        self.border = np.concatenate([near_border(one.state) for one in true], axis=None)

    def accuracy(self, owner: int | None = None) -> Rows:
        """Return the rows of all objects whose truth is known, or of one of them."""
        kept = (self.owner < self.sky) & (self.state != UNKNOWN)
        kept &= True if owner is None else self.owner == owner
        parts = (self.error, self.accepted, self.state == VISIBLE, ~self.grazing)
        return accuracy(*(part[kept] for part in parts))

    def occlusion(self) -> Rows:
        """Return how well hidden pixels are told from visible ones, grazing faces apart."""
        fate = (self.owner < self.sky) & ~self.border & ~self.grazing
        hidden, said = fate & (self.state == HIDDEN), fate & ~self.accepted & np.isin(self.state, (VISIBLE, HIDDEN))
        return {
            "occlusion: precision": row(share(hidden & said, said), at_least=0.99),
            "occlusion: recall": row(share(hidden & said, hidden), at_least=0.99),
        }


def _largest_errors(beside: _Pixels, others: Sequence[_Pixels]) -> Rows:
    met = (beside.owner < beside.sky) & (beside.cosine > IN_THE_PLANE)
    sky = [each.error[each.owner == each.sky].max() for each in (beside, *others)]
    return {
        "neighbours: largest error, silhouettes included": row(np.nanmax(beside.error[met]), "px", at_most=0.001),
        "sky: largest error, near and far": row(max(sky), "px", at_most=0.001),
    }
