"""Keys carried to all other frames, on cards whose every correspondence and whose true painting are known."""

import cv2
import footage
import numpy as np
import pytest
from layered_shot import BAR, DISC, GROUND, LayeredShot

from backend.bridge.settings.propagation import PropagationSettings
from backend.methods.propagation import Propagation
from backend.shot.shot import Shot

SHOT = LayeredShot()
FIRST, MIDDLE, LAST = 1, 5, 9


class Backwards(LayeredShot):
    """The shot as it looks when time runs the other way: frame f is frame 10 - f."""

    def __getattribute__(self, name):
        own = object.__getattribute__(self, name)
        if name in ("beauty", "layer", "painted"):
            return lambda frame: getattr(SHOT, name)(10 - frame)
        return (lambda i, j: SHOT.pair(10 - i, 10 - j)) if name == "pair" else own


def carry(shot, *keys, **chosen):
    painted = {key: shot.painted(key) for key in keys}
    return Propagation(shot, shot.motion, painted, PropagationSettings(**chosen))


@pytest.fixture(scope="module")
def two_keys():
    run = carry(SHOT, FIRST, LAST)
    return {frame: run.frame(frame) for frame in SHOT.frames}


def unseen(frame, *keys):
    gap = ~np.any([SHOT.pair(frame, key).strict for key in keys], axis=0)
    return cv2.dilate(gap.astype(np.uint8), np.ones((9, 9))) > 0


def test_b1_keys_come_back_bit_for_bit(two_keys):
    for frame in (FIRST, LAST):
        assert np.array_equal(two_keys[frame], SHOT.painted(frame))


@pytest.mark.parametrize("gradients", [True, False])
def test_frames_between_look_as_the_painter_would_have_painted_them(gradients):
    run = carry(SHOT, FIRST, LAST, gradient_blend=gradients)
    for frame in SHOT.frames[1:-1]:
        image = run.frame(frame)
        assert image.dtype == np.float32 and image.shape == (64, 96, 3) and image.min() >= 0 and image.max() <= 1
        error = np.abs(image - SHOT.painted(frame)).mean(-1)
        assert np.median(error[~unseen(frame, FIRST, LAST)]) < 0.01
        assert error.mean() < 0.35 * np.abs(SHOT.painted(FIRST) - SHOT.painted(frame)).mean()


def test_outlines_are_as_smooth_as_in_the_render(two_keys):
    for frame in SHOT.frames[1:-1]:
        card = SHOT.cards(frame, SHOT.grid)[0].astype(np.float32)
        rim = cv2.dilate(card, np.ones((3, 3))) != cv2.erode(card, np.ones((3, 3)))
        assert np.abs(two_keys[frame] - SHOT.painted(frame))[rim].mean() < 0.055


def test_nothing_smears_behind_the_occluder(two_keys):
    for frame in SHOT.frames[1:-1]:
        away = cv2.dilate((SHOT.cards(frame, SHOT.grid)[0] == BAR).astype(np.uint8), np.ones((9, 9))) == 0
        red = (two_keys[frame][..., 0] > 0.45) & (two_keys[frame][..., 1] < 0.2)
        assert not (red & away).any()


def test_keys_of_different_looks_change_into_each_other_without_a_jump():
    keys = {FIRST: SHOT.painted(FIRST), LAST: 1 - SHOT.painted(LAST)}
    run = Propagation(SHOT, SHOT.motion, keys, PropagationSettings())
    ground = [run.frame(frame)[SHOT.cards(frame, SHOT.grid)[0] == GROUND].mean() for frame in SHOT.frames]
    total = abs(ground[-1] - ground[0])
    assert total > 0.2 and np.abs(np.diff(ground)).max() < 0.35 * total


def test_b2_time_may_run_backwards():
    there, back = carry(SHOT, FIRST, LAST), carry(Backwards(), FIRST, LAST)
    for frame in (2, 4, 5):
        visible = ~unseen(frame, FIRST, LAST)
        assert visible.mean() > 0.3
        assert np.abs(there.frame(frame) - back.frame(10 - frame))[visible].max() < 1 / 255


def test_a_frame_does_not_depend_on_which_were_asked_for_before(two_keys):
    run = carry(SHOT, LAST, FIRST)
    for frame in (7, 3, 5):
        assert np.array_equal(run.frame(frame), two_keys[frame])


def test_a_third_key_shows_what_the_two_around_do_not():
    keys = (FIRST, MIDDLE, LAST)
    hidden = unseen(6, MIDDLE, LAST) & SHOT.pair(6, FIRST).strict & (SHOT.cards(6, SHOT.grid)[0] == GROUND)
    inner = cv2.erode(hidden.astype(np.uint8), np.ones((3, 3))) > 0
    assert inner.any()
    assert np.abs(carry(SHOT, *keys).frame(6) - SHOT.painted(6))[inner].mean() < 0.05


@pytest.mark.parametrize("key", [FIRST, MIDDLE])
def test_one_key_serves_the_whole_shot(key):
    run = carry(SHOT, key)
    for frame in SHOT.frames:
        assert np.abs(run.frame(frame) - SHOT.painted(frame)).mean() < 0.06


def test_beyond_a_cut_frames_are_painted_like_the_keys():
    shot = LayeredShot(cuts=(6,))
    run = carry(shot, FIRST, MIDDLE)
    disc = cv2.erode((shot.cards(8, shot.grid)[0] == DISC).astype(np.uint8), np.ones((5, 5))) > 0
    assert np.abs(run.frame(8)[disc].mean(0) - shot.painted(8)[disc].mean(0)).max() < 0.12


def test_footage_is_carried_along_estimated_motion(tmp_path):
    footage.write_shot(tmp_path / "shot", list(range(2, 12, 3)))  # frame numbers with gaps between them
    shot = Shot.open(tmp_path / "shot")
    keys = {frame: 1 - shot.beauty(frame) for frame in (2, 11)}
    run = Propagation(shot, shot.motion, keys, PropagationSettings())
    for frame in shot.frames:
        assert np.abs(run.frame(frame) - (1 - shot.beauty(frame))).mean() < 0.09
