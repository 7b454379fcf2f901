import cv2
import footage
import numpy as np
import pytest
from layered_shot import BAR, DISC, GROUND, STYLE, LayeredShot

from backend.bridge.errors import UserError
from backend.bridge.settings import from_keywords
from backend.methods import FrameDone, Step
from backend.methods.exemplar import exemplar
from backend.motion.warp import gather, octaves, warp
from backend.shot.shot import Shot

SHOT = LayeredShot()
FIRST, LAST = SHOT.frames[0], SHOT.frames[-1]


def run(shot, keys, wanted=None, **settings):
    steps = list(exemplar(shot, None, from_keywords("exemplar", **settings), wanted or shot.frames, keys))
    frames = [step.frame for step in steps if isinstance(step, FrameDone)]
    assert frames == list(wanted or shot.frames)
    last = [step for step in steps if isinstance(step, Step)][-1]
    assert last.done == last.total == len(frames)
    return {step.frame: step.image for step in steps if isinstance(step, FrameDone)}


def painted(*frames, shot=SHOT):
    return {frame: shot.painted(frame) for frame in frames}


def card(frame, shot=SHOT):
    return shot.cards(frame, shot.grid)[0]


@pytest.fixture(scope="module")
def two_keys():
    return run(SHOT, painted(FIRST, LAST))


def test_a_keys_own_frame_is_the_key_bit_for_bit(two_keys):
    for frame, key in painted(FIRST, LAST).items():
        assert np.array_equal(two_keys[frame], key)


def test_the_frames_between_look_as_the_artist_would_have_painted_them(two_keys):
    for frame in SHOT.frames[1:-1]:
        image = two_keys[frame]
        assert image.dtype == np.float32 and image.shape == (64, 96, 3)
        assert image.min() >= 0 and image.max() <= 1
        error = np.abs(image - SHOT.painted(frame)).mean(-1)
        seen = (SHOT.pair(frame, FIRST).strict | SHOT.pair(frame, LAST).strict) & (card(frame) != BAR)
        assert np.median(error[seen]) < 0.01
        assert error.mean() < 0.03
        assert error.mean() < 0.35 * np.abs(SHOT.painted(FIRST) - SHOT.painted(frame)).mean()


def test_nothing_smears_behind_the_occluder(two_keys):
    for frame in SHOT.frames[1:-1]:
        image = two_keys[frame]
        away = cv2.dilate((card(frame) == BAR).astype(np.uint8), np.ones((3, 3))) == 0
        # Nothing but the bar is red: neither the ground that it leaves nor the disc that it passes.
        red = (image[..., 0] > 0.45) & (image[..., 1] < 0.2)
        assert not (red & away).any()
        ground = (card(frame) == GROUND) & (cv2.dilate((card(frame) == DISC).astype(np.uint8), np.ones((3, 3))) == 0)
        assert (image[ground & away][:, 0] < 0.5).mean() > 0.995


@pytest.mark.parametrize("overflow", [0.0, 1.0])
def test_an_outline_brings_nothing_of_the_background_that_it_was_painted_before(overflow):
    shot = LayeredShot(fall=True)
    image, wanted = run(shot, painted(FIRST, shot=shot), [8], overflow=overflow)[8], shot.painted(8)
    disc = (card(8, shot) == DISC).astype(np.uint8)
    rim = (cv2.dilate(disc, np.ones((3, 3))) != cv2.erode(disc, np.ones((3, 3)))) & (card(8, shot) != BAR)
    # Red and green change from disc to ground; blue is high in the sky alone.
    assert (image - wanted)[rim][:, 2].mean() < 0.035
    assert np.abs(image - wanted)[rim].mean() < 0.05


def test_a_frame_does_not_depend_on_which_others_are_wanted(two_keys):
    alone = run(SHOT, painted(FIRST, LAST), [5])
    rest = run(SHOT, painted(LAST, FIRST), [7, 3])
    assert np.array_equal(alone[5], two_keys[5])
    assert all(np.array_equal(rest[frame], two_keys[frame]) for frame in rest)


def test_one_key_in_the_middle_serves_both_ways():
    frames = run(SHOT, painted(5))
    for frame in SHOT.frames:
        assert np.abs(frames[frame] - SHOT.painted(frame)).mean() < 0.06
        for number in np.unique(card(frame)):
            inside = cv2.erode((card(frame) == number).astype(np.uint8), np.ones((3, 3))) > 0
            if inside.any():
                assert np.abs(frames[frame][inside].mean(0) - STYLE[number]).max() < 0.08


def fringed(shot, frame):
    """A key whose disc was painted 3 px too large, over the ground."""
    key = shot.painted(frame)
    disc = (card(frame, shot) == DISC).astype(np.uint8)
    large = cv2.dilate(disc, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    key[(large > disc) & (card(frame, shot) == GROUND)] = STYLE[DISC]
    return key


def trail(shot, frame, radius, overflow):
    """How many ground pixels further than ``radius`` from disc and bar are painted like the disc."""
    image = run(shot, {FIRST: fringed(shot, FIRST)}, [frame], overflow=overflow)[frame]
    things = np.isin(card(frame, shot), (DISC, BAR)).astype(np.uint8)
    away = cv2.dilate(things, np.ones((2 * radius + 1, 2 * radius + 1))) == 0
    return ((image[..., 0] > 0.6) & (card(frame, shot) == GROUND) & away).sum()


def test_strokes_that_stray_over_an_outline_leave_no_trail():
    assert trail(SHOT, 5, 5, overflow=0.0) > 5
    assert trail(SHOT, 5, 5, overflow=4.0) == 0


def test_strokes_that_strayed_on_one_side_are_not_taken_for_the_other_side():
    shot = LayeredShot(count=14)  # the ground that was to the right of the disc comes out on its left
    assert trail(shot, 12, 1, overflow=0.0) > 20
    assert trail(shot, 12, 1, overflow=4.0) < 6


def test_shadows_follow_the_light_where_asked_to():
    shot = LayeredShot(shadow=True)
    key = shot.painted(5) * (1 - 0.5 * shot.shade(5)[..., None])
    came = warp(shot.shade(5), shot.pair(7, 5).flow)
    ground = (card(7, shot) == GROUND) & shot.pair(7, 5).strict
    now, then = ground & (shot.shade(7) > 0.9) & (came < 0.1), ground & (came > 0.9) & (shot.shade(7) < 0.1)
    assert now.sum() > 50 and then.sum() > 50
    stuck, followed = (run(shot, {5: key}, [7], light_follow=k)[7] / (shot.painted(7) + 1e-3) for k in (0.0, 1.0))
    assert np.median(stuck[now]) > 0.9 and np.median(stuck[then]) < 0.6
    assert np.median(followed[now]) < 0.7 and np.median(followed[then]) > 0.75


def test_beyond_a_cut_frames_are_painted_like_the_keys():
    shot = LayeredShot(cuts=(6,))
    frames = run(shot, painted(2, shot=shot))
    for frame in (6, 9):
        assert np.abs(frames[frame] - shot.painted(frame)).mean() < 0.12
        for number in (GROUND, DISC):
            inside = cv2.erode((card(frame, shot) == number).astype(np.uint8), np.ones((3, 3))) > 0
            assert np.abs(frames[frame][inside].mean(0) - STYLE[number]).max() < 0.12


def test_a_surface_that_shrinks_is_filtered_and_one_that_does_not_is_not():
    noise = np.random.default_rng(2).random((64, 96, 3)).astype(np.float32)
    shrunk = 3 * SHOT.grid.astype(np.float32)[:20, :30] - SHOT.grid.astype(np.float32)[:20, :30]
    filtered = gather(noise, shrunk, np.full((20, 30), 3, np.float32))
    assert filtered.std() < 0.4 * gather(noise, shrunk, np.ones((20, 30), np.float32)).std()
    assert filtered.mean() == pytest.approx(0.5, abs=0.02)
    assert np.array_equal(filtered, gather(noise, shrunk, np.full((20, 30), 3, np.float32), lambda: octaves(noise)))
    still = np.zeros((64, 96, 2), np.float32)
    assert np.array_equal(gather(noise, still, np.ones((64, 96), np.float32)), noise)


def test_footage_without_render_data_is_carried_along_estimated_motion(tmp_path):
    footage.write_shot(tmp_path / "shot", list(range(1, 5)))
    shot = Shot.open(tmp_path / "shot")
    frames = run(shot, {1: 1 - shot.beauty(1)})
    for frame in shot.frames:
        assert np.abs(frames[frame] - (1 - shot.beauty(frame))).mean() < 0.08


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "There is no key frame"),
        ({40: SHOT.painted(FIRST)}, "frame 40 is outside the shot, which has frames 1 to 9"),
        ({FIRST: np.zeros((32, 48, 3), np.float32)}, "frame 1 is 48 x 32 pixels, the shot is 96 x 64"),
    ],
)
def test_keys_that_do_not_fit_are_refused_before_any_work(keys, sentence):
    with pytest.raises(UserError, match=sentence):
        next(exemplar(SHOT, None, from_keywords("exemplar"), SHOT.frames, keys))
