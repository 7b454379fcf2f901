"""Objects with words, strengths and seeds of their own, or left alone, on cards whose true coverage is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from backend.bridge.errors import UserError
from backend.bridge.settings import Settings, from_keywords
from backend.bridge.settings.objects import ObjectSettings
from backend.diffusion.model import open_model
from backend.diffusion.protocol import Model
from backend.methods import FrameDone, Step
from backend.methods.conditions import Conditions
from backend.methods.diffsynth import diffsynth
from backend.methods.exemplar import exemplar
from backend.methods.framewise import framewise
from backend.methods.noise import RunNoise, ShotNoise
from backend.methods.objects import Objects, left_alone
from backend.methods.rerender import rerender
from backend.methods.synchronized import synchronized
from backend.methods.tokenflow import tokenflow
from backend.motion.geometry import SceneObject
from backend.shot.shot import Shot
from tests.diffusion import tiny
from tests.footage import write_shot
from tests.methods.layered_shot import BAR, COLOURS, DISC, FINE, GROUND, STYLE, LayeredShot

SIZE = (64, 48)
CARDS = {"Ground": GROUND, "Disc": DISC, "Bar": BAR}
METHODS: dict[str, Callable[..., Any]] = {
    "framewise": framewise, "synchronized": synchronized, "rerender": rerender, "tokenflow": tokenflow,
    "diffsynth": diffsynth,
}  # fmt: skip
CHEAP: dict[str, dict[str, Any]] = {
    "rerender": {"key_distance": 1}, "diffsynth": {"deflicker_every": 0, "finish": False, "noise": "shared"},
    "synchronized": {"final_fusion": False, "noise": "shared"}, "tokenflow": {"noise": "shared", "finish": False},
}  # fmt: skip


class Scene(LayeredShot):
    """The cards with names; the disc is an instance that the object "Emitter" makes."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**{"size": SIZE, "count": 3, **changes})
        objects = tuple(
            SceneObject(name, "Emitter:3" if name == "Disc" else "", 0.0, index, True) for name, index in CARDS.items()
        )
        self.info = SimpleNamespace(objects=objects, cuts=(), data_frames=self.frames)

    def coverage(self, frame: int, card: int) -> np.ndarray:
        """How much of each pixel a card truly covers."""
        step = (np.arange(FINE) + 0.5) / FINE - 0.5
        seen = [self.cards(frame, self.grid + np.array([dx, dy]))[0] == card for dx in step for dy in step]
        return np.mean(seen, 0, dtype=np.float32)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@pytest.fixture(scope="module")
def short() -> Scene:
    return Scene(count=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.set_num_threads(1)
    return open_model(tiny.save_sd(tmp_path_factory.mktemp("model")))


def told(*entries: dict[str, Any]) -> list[ObjectSettings]:
    return [ObjectSettings(**entry) for entry in entries]


def within(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask whose neighbours are all in it."""
    return cv2.erode(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))) > 0


def test_mattes_are_as_smooth_as_the_picture(scene: Scene) -> None:
    objects = Objects(scene, told({"name": "Disc"}, {"name": "Bar"}))
    for row, card in enumerate((DISC, BAR)):
        true, soft = scene.coverage(3, card), objects.mattes(3)[row]
        hard = (objects.shown(3) == row).astype(np.float32)
        assert soft.dtype == np.float32 and soft.shape == (SIZE[1], SIZE[0])
        edge = (true > 0) & (true < 1)
        assert np.abs(soft - true)[edge].mean() < 0.5 * np.abs(hard - true)[edge].mean()
        assert np.array_equal(soft[~edge & (true == hard)] > 0.5, hard[~edge & (true == hard)] > 0.5)
    assert objects.mattes(3).sum(0).max() <= 1 + 1e-5
    assert objects.mattes(3).min() >= -1e-6


def test_objects_are_found_by_name_by_collection_and_by_what_makes_them(scene: Scene) -> None:
    def shown(*entries: dict[str, Any]) -> np.ndarray:
        return Objects(scene, told(*entries)).shown(1)

    card = scene.layer(1).index
    assert np.array_equal(shown({"name": "Disc"}) == 0, card == DISC)
    assert np.array_equal(shown({"name": "Emitter"}) == 0, card == DISC)
    assert np.array_equal(shown({"name": "Set", "members": ("Ground", "Bar")}) == 0, np.isin(card, (GROUND, BAR)))
    assert (shown({"name": "Nobody"}) == -1).all()
    both = shown({"name": "All", "members": ("Ground", "Disc")}, {"name": "Disc"})  # the later one counts
    assert np.array_equal(both == 1, card == DISC) and np.array_equal(both == 0, card == GROUND)


def test_cells_hold_the_share_of_their_pixels_and_go_on_over_the_border(scene: Scene) -> None:
    objects = Objects(scene, told({"name": "Ground"}, {"name": "Disc"}))
    cells, mattes = objects.cells(1, (7, 9), 8), objects.mattes(1)
    assert cells.shape == (2, 7, 9) and cells.dtype == np.float32
    assert cells[0, 5, 2] == pytest.approx(float(mattes[0, 40:48, 16:24].mean()), abs=1e-6)
    assert cells[0, 6, 8] == pytest.approx(float(mattes[0, -1, -1]), abs=1e-6)


def test_footage_has_no_objects(tmp_path: Path, model: Model) -> None:
    write_shot(tmp_path, [1, 2])
    footage = Shot.open(tmp_path)
    with pytest.raises(UserError, match="Footage has no objects"):
        Objects(footage, told({"name": "Fox"}))
    events = list(left_alone(footage, Settings(), [FrameDone(1, footage.beauty(2))]))
    assert np.array_equal(events[0].image, footage.beauty(2))


def test_what_is_left_alone_is_the_source_and_its_outline_is_smooth(scene: Scene) -> None:
    objects = Objects(scene, told({"name": "Disc", "keep": True}))
    painted, source = scene.painted(2), scene.beauty(2)
    restored = objects.restored(painted, 2)
    matte = scene.coverage(2, DISC)
    outside = within(objects.shown(2) != 0)
    assert np.array_equal(restored[outside], painted[outside])
    inner = within(objects.shown(2) == 0)
    assert np.array_equal(restored[inner], source[inner])
    mixed_palette = np.where(np.arange(4)[:, None] == DISC, COLOURS, STYLE)
    truth = scene.coloured(2, mixed_palette, 0.0, (1, 1))
    edge = (matte > 0) & (matte < 1)
    pasted = np.where((objects.shown(2) == 0)[..., None], source, painted)
    assert np.abs(restored - truth)[edge].mean() < 0.6 * np.abs(pasted - truth)[edge].mean()


def run(scene: Any, model: Any, method: str, **given: Any) -> dict[int, np.ndarray]:
    settings = from_keywords(method, **{"steps": 3, "strength": 0.4, "prompt": "oil", **CHEAP.get(method, {}), **given})
    events = METHODS[method](scene, model, settings, scene.frames, {})
    return {event.frame: event.image for event in left_alone(scene, settings, events) if isinstance(event, FrameDone)}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_alone_what_is_to_be_left_alone(method: str, short: Scene, model: Model) -> None:
    scene, made = short, run(short, model, method, objects=[{"name": "Ground", "keep": True}])
    for frame, image in made.items():
        inside = within(scene.layer(frame).index == GROUND)
        assert inside.any()
        assert np.array_equal(image[inside], scene.beauty(frame)[inside])
        sky = scene.coverage(frame, 0) == 1
        assert np.abs(image[sky] - scene.beauty(frame)[sky]).mean() > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_every_method_knows_words_strengths_and_seeds_of_objects(method: str, short: Scene, model: Model) -> None:
    """What an object is told changes it."""
    plain = run(short, model, method)
    for own in ({"prompt": "ink", "negative_prompt": "blur"}, {"strength": 2.0}, {"seed": 7}):
        other = run(short, model, method, objects=[{"name": "Ground", **own}])
        for frame, image in other.items():
            change = np.abs(image - plain[frame]).mean(-1)
            assert change[short.coverage(frame, GROUND) == 1].mean() > 1e-4, own


def test_an_object_of_lower_strength_waits(scene: Scene, model: Model) -> None:
    """Its cells are as they would be in a frame of that strength, but for what they see of others."""
    settings = from_keywords("framewise", strength=1.0, objects=[{"name": "Ground", "strength": 0.25}])
    conditions = Conditions(scene, model, settings)
    (parts,) = conditions.strengths([1])
    assert [strength for strength, _ in parts] == [1.0, 0.25]
    assert torch.allclose(sum(share for _, share in parts), torch.ones(6, 8))
    assert conditions.begin == 1.0


def test_the_run_begins_where_the_strongest_does(scene: Scene, model: Model) -> None:
    def begin(**given: Any) -> float:
        return Conditions(scene, model, from_keywords("framewise", strength=0.4, **given)).begin

    assert begin() == 0.4
    assert begin(objects=[{"name": "Disc", "strength": 2.0}]) == 0.8
    assert begin(objects=[{"name": "Disc", "strength": 9.0}]) == 1.0
    assert begin(objects=[{"name": "Disc", "strength": 9.0, "keep": True}]) == 0.4
    assert begin(over_time={2: {"strength": 0.7}, 3: {"strength": 0.1}}) == 0.7


def test_a_seed_changes_the_noise_of_its_object_alone(scene: Scene) -> None:
    shape = (4, 6, 8)
    own = Settings(seed=3, objects=told({"name": "Ground", "seed": 9}))
    for stream in (0, 1):
        mixed = ShotNoise("fresh", scene, own, 8).of([1, 2], shape)(stream)
        run_noise, other = (RunNoise("fresh", scene, seed, 8).of([1, 2], shape)(stream) for seed in (3, 9))
        ground = torch.from_numpy(Objects(scene, own.objects).cells(2, (6, 8), 8)[0] > 0.5)
        assert ground.any() and not ground.all()
        assert torch.equal(mixed[1][:, ground], other[1][:, ground])
        assert torch.equal(mixed[1][:, ~ground], run_noise[1][:, ~ground])
    plain = ShotNoise("fresh", scene, Settings(seed=3), 8).of([1], shape)(0)
    assert torch.equal(plain, RunNoise("fresh", scene, 3, 8).of([1], shape)(0))


def test_words_weights_and_regions_are_those_of_the_frame(scene: Scene, model: Model) -> None:
    settings = from_keywords(
        "framewise", prompt="oil", objects=[{"name": "Disc", "prompt": "ink"}, {"name": "Bar", "keep": True}],
        over_time={2: {"prompt": "gouache", "negative_prompt": "blur"}},
    )  # fmt: skip
    conditions = Conditions(scene, model, settings)
    first, second = conditions[1], conditions[2]
    oil, gouache, ink, blur, nothing = model.encode_text(["oil", "gouache", "ink", "blur", ""])
    assert torch.equal(first.text.tokens, oil.tokens) and torch.equal(first.negative.tokens, nothing.tokens)
    assert torch.equal(second.text.tokens, gouache.tokens) and torch.equal(second.negative.tokens, blur.tokens)
    for condition in (first, second):
        (region,) = condition.regions
        assert torch.equal(region.text.tokens, ink.tokens) and region.negative is None
        assert 0 < float(region.matte.sum()) < region.matte.numel()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_follows_what_changes_over_time(method: str, short: Scene, model: Model) -> None:
    plain = run(short, model, method)
    made = run(short, model, method, over_time={1: {"strength": 0.0}, 2: {"strength": 1.0, "prompt": "ink"}})
    assert np.array_equal(made[1], short.beauty(1))
    assert np.abs(made[2] - plain[2]).mean() > 1e-3


def test_a_frame_is_what_it_is_in_a_run_of_its_own_settings(scene: Scene, model: Model) -> None:
    over_time = {2: {"strength": 0.75, "prompt": "ink", "negative_prompt": "blur", "guidance": 4.0}}
    changing = run(scene, model, "framewise", over_time=over_time)
    constant = run(scene, model, "framewise", **over_time[2])
    assert np.array_equal(changing[2], constant[2])


@pytest.mark.parametrize("method", METHODS)
def test_guidance_may_come_and_go(method: str, short: Scene, model: Model) -> None:
    """Attention keeps what it knows of both halves of guidance, so all frames have both or none has."""
    plain = run(short, model, method, guidance=1.0)
    made = run(short, model, method, guidance=1.0, over_time={2: {"guidance": 9.0}})
    assert np.abs(made[2] - plain[2]).mean() > 1e-4


def test_painted_keys_leave_alone_too(scene: Scene) -> None:
    settings = from_keywords("exemplar", objects=[{"name": "Bar", "keep": True}, {"name": "Disc", "strength": 0.0}])
    keys = {1: scene.painted(1), 3: scene.painted(3)}
    events = left_alone(scene, settings, exemplar(scene, None, settings, [2, 3], keys))
    made = {event.frame: event.image for event in events if isinstance(event, FrameDone)}
    for frame, image in made.items():
        kept = within(np.isin(scene.layer(frame).index, (BAR, DISC)))
        assert kept.any()
        assert np.array_equal(image[kept], scene.beauty(frame)[kept])
        assert np.abs(image - scene.beauty(frame))[scene.coverage(frame, GROUND) == 1].mean() > 0.05


def test_steps_pass_through(scene: Scene) -> None:
    events = [Step(1, 2, "frame 1"), FrameDone(1, scene.painted(1))]
    passed = list(left_alone(scene, Settings(), events))
    assert passed[0] == events[0]
    assert np.array_equal(passed[1].image, scene.painted(1))


def test_settings_of_an_object_are_plain_values() -> None:
    entry = ObjectSettings("Fox", members=("Head", "Body"))
    assert ObjectSettings(**dataclasses.asdict(entry)) == entry
