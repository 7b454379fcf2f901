"""Flicker is taken out of frames; strokes, light and what moves stay."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.bridge.errors import UserError
from backend.bridge.files import write_file
from backend.bridge.settings import from_keywords
from backend.bridge.settings.deflicker import BlendSettings
from backend.methods import FrameDone, Step
from backend.methods.deflicker import deflicker
from backend.methods.smoothing import Run, smoother
from backend.methods.strokes import Sights, laid_over, nearest, references
from backend.methods.surfaces import Surfaces
from backend.motion.warp import warp
from backend.shot.pictures import encode_png
from backend.shot.shot import Shot
from tests.footage import write_shot
from tests.methods.layered_shot import LayeredShot

SIZE = (128, 72)


def smoothed(shot: LayeredShot, run: Run, source: Run | None, **settings: object) -> dict[int, np.ndarray]:
    smooth = smoother(run, shot.frames, Sights(Surfaces(shot, shot.motion), source), BlendSettings(**settings), 0)
    assert list(smooth.look()) in ([], list(shot.frames[-2::-1]))
    return {frame: smooth.paint(frame) for frame in shot.frames}


def change(shot: LayeredShot, run: Run, lag: int) -> float:
    """How much a run changes along the true motion, away from outlines."""
    errors = []
    for late, early in zip(shot.frames[lag:], shot.frames, strict=False):
        found = shot.motion.pair(late, early)
        inside = cv2.erode(found.strict.astype(np.uint8), np.ones((5, 5))) > 0
        errors.append(np.abs(run(late) - warp(run(early), found.flow))[inside].mean())
    return float(np.mean(errors))


def detail(shot: LayeredShot, run: Run) -> float:
    fine = [run(frame) - cv2.GaussianBlur(run(frame), (0, 0), 1.5) for frame in shot.frames]
    return float(np.mean(np.square(fine)))


def layered(**settings: object) -> LayeredShot:
    """A shot of cards that makes each picture once."""
    shot = LayeredShot(SIZE, **settings)
    shot.beauty, shot.layer, shot.pair = lru_cache(shot.beauty), lru_cache(shot.layer), lru_cache(None)(shot.pair)
    return shot


@pytest.fixture(scope="module")
def shot() -> LayeredShot:
    return layered(count=17, shadow=True)


@pytest.fixture(scope="module")
def framewise(shot: LayeredShot) -> dict[int, np.ndarray]:
    """Every frame painted alone: strokes of its own, brightness of its own."""
    made = {}
    for frame in shot.frames:
        rng = np.random.default_rng(frame)
        strokes = cv2.GaussianBlur(rng.standard_normal((SIZE[1], SIZE[0], 3)).astype(np.float32), (0, 0), 1.2)
        bright = np.float32(1 + 0.04 * rng.choice([-1, 1]))
        made[frame] = np.clip((0.1 + 0.8 * shot.beauty(frame) + 0.25 * strokes) * bright, 0, 1)
    return made


def test_frames_made_alone_come_to_agree_and_stay_as_sharp(shot: LayeredShot, framewise: dict) -> None:
    made = smoothed(shot, framewise.__getitem__, shot.beauty)
    for lag in (1, 8):
        assert change(shot, made.__getitem__, lag) < 0.35 * change(shot, framewise.__getitem__, lag)
    assert detail(shot, made.__getitem__) > 0.85 * detail(shot, framewise.__getitem__)
    blurred = smoothed(shot, framewise.__getitem__, shot.beauty, blend="mean")
    assert detail(shot, blurred.__getitem__) < 0.7 * detail(shot, framewise.__getitem__)


def test_a_shadow_that_moves_is_followed(shot: LayeredShot) -> None:
    still = {frame: 0.1 + 0.8 * shot.beauty(frame) for frame in shot.frames}
    made = smoothed(shot, still.__getitem__, shot.beauty)
    frame = shot.frames[-1]
    shaded = cv2.erode((shot.shade(frame) == 1).astype(np.uint8), np.ones((3, 3))) > 0
    first = warp(still[9], shot.motion.pair(frame, 9).flow)
    assert shaded.sum() > 20
    assert np.abs(made[frame] - still[frame])[shaded].mean() < 0.2 * np.abs(first - still[frame])[shaded].mean()


def test_the_outline_of_a_shadow_that_moves_does_not_stay(shot: LayeredShot) -> None:
    still = {frame: 0.1 + 0.8 * shot.beauty(frame) for frame in shot.frames}
    made, there = smoothed(shot, still.__getitem__, shot.beauty), shot.frames[8]
    outline = cv2.morphologyEx(shot.shade(there), cv2.MORPH_GRADIENT, np.ones((3, 3))) > 0
    for frame in (shot.frames[0], shot.frames[-1]):
        found = shot.motion.pair(frame, there)
        left = (warp(outline, found.flow, "nearest") > 0) & found.strict
        assert left.sum() > 20
        off = np.abs(made[frame] - still[frame]).mean(-1)
        assert off[left].mean() < 2 * off[found.strict & ~left].mean()


def test_strokes_that_lie_half_over_others_keep_their_contrast() -> None:
    own, view = (0.5 + 0.1 * np.random.default_rng(k).standard_normal((48, 64, 3)).astype(np.float32) for k in (1, 2))
    half = np.full((48, 64), 0.5, np.float32)
    assert laid_over(own, [(view, half)]).std() > 0.9 * own.std()  # of the mean it is 0.71
    assert np.allclose(laid_over(own, [(view, 2 * half)]), view, atol=1e-6)
    assert np.allclose(laid_over(own, []), own, atol=1e-6)


def light(frame: int) -> float:
    """A lamp that dims by a third over eighteen frames, and is switched on again."""
    return 1.0 - 0.02 * (frame - 1) if frame < 19 else 1.0


def natural(shot: LayeredShot, frame: int) -> np.ndarray:
    """The cards with a texture that has every scale, as pictures of real things have."""
    noise = np.random.default_rng(0).standard_normal((256, 256, 3)).astype(np.float32)
    octaves = [cv2.GaussianBlur(noise, (0, 0), size, borderType=cv2.BORDER_REFLECT) * size for size in (1, 2, 4, 8)]
    card, point = shot.cards(frame, shot.grid)
    x, y = np.moveaxis((point + 60).astype(np.float32), -1, 0)
    return np.clip(0.4 + 0.04 * card[..., None] + 0.1 * cv2.remap(sum(octaves), x, y, cv2.INTER_CUBIC), 0, 1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, np.ndarray]]:
    """Footage on disk with a planted flicker, and the same frames without it."""
    shot, folder = LayeredShot(SIZE, count=24), tmp_path_factory.mktemp("clip")
    write_shot(folder, list(shot.frames), SIZE)
    clean = {frame: np.float32(light(frame)) * natural(shot, frame) for frame in shot.frames}
    for frame, image in clean.items():
        rng = np.random.default_rng(frame)
        noise = 0.02 * rng.standard_normal(image.shape).astype(np.float32)
        planted = np.clip(image * np.float32(1 + 0.04 * rng.choice([-1, 1])) + noise, 0, 1)
        write_file(folder / "beauty" / f"{frame:06d}.png", encode_png(planted))
    return folder, clean


def test_a_planted_flicker_goes_and_a_lamp_that_is_dimmed_is_kept(clip: tuple) -> None:
    folder, clean = clip
    planted = Shot.open(folder)
    made = frames(planted, window=8)
    before = [planted.beauty(frame).mean() / image.mean() - 1 for frame, image in clean.items()]
    after = [made[frame].mean() / image.mean() - 1 for frame, image in clean.items()]
    assert np.std(after) < 0.5 * np.std(before)
    assert np.max(np.abs(np.diff(after))) < 0.5 * np.max(np.abs(np.diff(before)))  # at the switch of the lamp too
    truth = layered(count=18)
    flicker, left = (change(truth, run, 1) - change(truth, clean.__getitem__, 1) for run in (planted.beauty, made.get))
    assert left < 0.4 * flicker


def test_the_mean_takes_noise_away(shot: LayeredShot) -> None:
    clean = {frame: natural(shot, frame) for frame in shot.frames}
    noise = {frame: 0.04 * np.random.default_rng(frame).standard_normal(clean[frame].shape) for frame in clean}
    noisy = {frame: np.clip(image + noise[frame], 0, 1).astype(np.float32) for frame, image in clean.items()}
    made = smoothed(shot, noisy.__getitem__, shot.beauty, blend="mean", window=4)
    before, after = (np.square(run[9] - clean[9]).mean() for run in (noisy, made))
    assert after < 0.35 * before


def frames(shot: Shot, wanted: list[int] | None = None, **settings: object) -> dict[int, np.ndarray]:
    events = list(deflicker(shot, None, from_keywords("deflicker", **settings), wanted or shot.frames, {}))
    steps = [event for event in events if isinstance(event, Step)]
    assert steps[-1].done == steps[-1].total
    return {event.frame: event.image for event in events if isinstance(event, FrameDone)}


@pytest.mark.parametrize("blend", ["strokes", "mean", "patches"])
def test_a_frame_does_not_depend_on_which_others_are_wanted(blend: str, tmp_path: Path) -> None:
    write_shot(tmp_path, [1, 2, 3, 4], (64, 48))
    shot = Shot.open(tmp_path)
    whole = frames(shot, blend=blend)
    assert list(whole) == [1, 2, 3, 4]
    assert all(image.shape == (48, 64, 3) and image.dtype == np.float32 for image in whole.values())
    assert np.array_equal(frames(Shot.open(tmp_path), [3], blend=blend)[3], whole[3])


def still_shot(folder: Path, pictures: list[np.ndarray]) -> Shot:
    size = pictures[0].shape[1::-1]
    write_shot(folder, list(range(1, len(pictures) + 1)), size)
    for frame, picture in enumerate(pictures, 1):
        write_file(folder / "beauty" / f"{frame:06d}.png", encode_png(picture))
    return Shot.open(folder)


def test_a_still_scene_becomes_the_mean_of_all_frames_or_the_strokes_of_one(tmp_path: Path) -> None:
    """methods.md 5(e) of DiffSynth: static camera, static scene."""
    still = LayeredShot((64, 48), count=5)
    still.velocity = 0 * still.velocity
    noisy = {k: 0.5 + 0.1 * np.random.default_rng(k).random((48, 64, 3), np.float32) for k in still.frames}
    still.cards = lambda frame, points, cards=LayeredShot.cards: cards(still, 1, points)
    mean = smoothed(still, noisy.__getitem__, still.beauty, blend="mean")
    everything = np.mean(list(noisy.values()), axis=0)
    assert all(np.abs(image - everything).max() < 1e-6 for image in mean.values())
    kept = smoothed(still, noisy.__getitem__, still.beauty)
    assert max(np.abs(kept[frame] - kept[1]).max() for frame in kept) < 0.01


@pytest.mark.parametrize("blend", ["strokes", "mean", "patches"])
def test_frames_of_one_colour_are_fixed_points(blend: str, tmp_path: Path) -> None:
    grey = np.full((48, 64, 3), 128 / 255, np.float32)
    for image in frames(still_shot(tmp_path, [grey] * 4), blend=blend).values():
        assert np.abs(image - grey).max() < 1e-5


def test_takes_share_nothing(tmp_path: Path) -> None:
    dark, light = np.full((48, 64, 3), 0.2, np.float32), np.full((48, 64, 3), 0.8, np.float32)
    still_shot(tmp_path, [dark, dark, light, light])
    plain = Shot.open(tmp_path)
    info = (tmp_path / "shot.json").read_text().replace('"cuts": []', '"cuts": [3]')
    (tmp_path / "shot.json").write_text(info)
    assert plain.info.cuts != Shot.open(tmp_path).info.cuts
    made = frames(Shot.open(tmp_path))
    assert np.allclose(made[2], 0.2, atol=1e-4) and np.allclose(made[3], 0.8, atol=1e-4)


def test_stylized_frames_lie_beside_their_source(tmp_path: Path) -> None:
    write_shot(tmp_path / "shot", [1, 2, 3], (64, 48))
    shot = Shot.open(tmp_path / "shot")
    folder = tmp_path / "painted"
    folder.mkdir()
    for frame in (1, 2, 3):
        write_file(folder / f"{frame:06d}.png", encode_png(1 - shot.beauty(frame)))
    made = frames(shot, stylized=str(folder))
    assert all(np.abs(image - (1 - shot.beauty(frame))).mean() < 0.05 for frame, image in made.items())
    (folder / "000002.png").unlink()
    with pytest.raises(UserError, match="has no 000002"):
        frames(shot, stylized=str(folder))
    write_file(folder / "000002.png", encode_png(np.zeros((20, 20, 3), np.float32)))
    with pytest.raises(UserError, match="20 x 20 pixels"):
        frames(shot, stylized=str(folder))


def test_references_reach_every_frame_within_the_window() -> None:
    for count in (1, 2, 9, 40, 61, 62, 200):
        clip = range(5, 5 + count)
        first = references(clip, 30, 0)
        assert max(min(abs(frame - k) for k in first) for frame in clip) <= 31
        assert set(first) <= set(clip) and {5, 4 + count} <= {*references(clip, 30, 1)}
        for frame in clip:
            shares = nearest(first, frame)
            assert sum(shares.values()) == pytest.approx(1)
            assert nearest(first, first[0]) == {first[0]: 1.0}


