"""A coordinate that jumps once, between frames that no sample sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.measure.synthetic import SOLIDS, SyntheticShot, placed
from backend.motion.exact import ExactMotion
from backend.motion.geometry import DataLayer
from backend.motion.jumps import jumped, jumping
from backend.motion.stability import NAMES, System

BEFORE = 20  # the last frame before the jump
BOX = [solid.name for solid in SOLIDS].index("Box")


def broken(coordinates: tuple[str, ...], rigid: bool = False) -> tuple[SyntheticShot, ExactMotion]:
    """A shot in which some of the box's coordinates jump from one frame to the next, and its motion."""
    shot = SyntheticShot((160, 90))
    scene = shot.geometry(rigid)

    def layer(frame: int) -> DataLayer:
        found = shot.layer(frame)
        box = (found.index == BOX + 1)[..., None]
        moved = {name: getattr(found, name) + np.float32(0.1 * (frame > BEFORE)) * box for name in coordinates}
        return replace(found, **moved)

    matrices = scene.matrices.copy()
    if rigid:
        matrices[BOX, BEFORE:] = matrices[BOX, BEFORE:] @ placed(0.2, 0, 0)  # its origin moves, its mesh does not
    return shot, ExactMotion(replace(scene, layer=layer, matrices=matrices))


@pytest.mark.parametrize(("coordinates", "rigid", "source"), [
    (("generated",), False, System.REST),
    (("generated", "rest", "uv"), False, System.VECTORS),
    ((), True, System.GENERATED),
])  # fmt: skip
def test_a_single_jump_in_mid_shot_is_seen(coordinates: tuple[str, ...], rigid: bool, source: System) -> None:
    shot, motion = broken(coordinates, rigid)
    stability = motion.stability
    assert BEFORE not in stability.sample and BEFORE not in stability._way(1, 32, stability.stops)
    assert stability.systems(1, 32)[BOX] == source
    assert stability.systems(1, BEFORE)[BOX] == stability.systems(32, BEFORE + 1)[BOX] != source
    assert motion.describe()["objects"]["Box"]["source"] == NAMES[source]
    found, truth = motion.pair(26, 14), shot.motion.pair(26, 14)
    box = (shot.layer(26).index == BOX + 1) & (found.valid > 0) & (truth.valid > 0)
    assert box.sum() > 100
    assert np.median(np.abs(found.flow - truth.flow)[box]) < 0.05  # a chain drifts at edges


def test_nothing_jumps_in_a_sound_shot() -> None:
    for rigid in (True, False):
        book = ExactMotion(SyntheticShot((160, 90)).geometry(rigid)).book
        for frame in (1, 12, 31):
            assert not jumping(book, frame)[[System.MATRICES, System.GENERATED, System.REST]].any()


def test_what_moves_is_compared_as_well_as_what_stays() -> None:
    motion = ExactMotion(SyntheticShot((160, 90)).geometry(False))
    for frame in (1, 12, 31):
        compared, _ = jumped(motion.book, frame)
        flow, seen = motion.pair(frame, frame + 1).flow, motion.pair(frame, frame + 1).strict
        for number, count in enumerate(compared):
            own = seen & (motion.book.owner(frame) == number)
            if own.sum() > 100:
                assert count > 0.8 * own.sum(), f"{np.abs(flow[own]).max():.1f} px"
