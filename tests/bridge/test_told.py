"""What single objects are told, and what changes from frame to frame: checked once, to JSON and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.bridge.errors import UserError
from backend.bridge.settings import METHODS, from_json, from_keywords, groups, specs, to_json
from backend.bridge.settings.objects import ObjectSettings


def test_objects_and_what_changes_survive_json() -> None:
    fox = {"name": "Fox", "prompt": "a clay fox", "strength": 2}
    objects = [fox, ObjectSettings("Set", keep=True, members=("A", "B"))]
    made = from_keywords("framewise", objects=objects, over_time={3: {"strength": 1}, -4: {"prompt": "ink"}})
    assert [told.name for told in made.objects] == ["Fox", "Set"]
    assert made.objects[0].strength == 2.0
    assert from_json(json.loads(json.dumps(to_json(made)))) == made


def test_a_run_that_tells_neither_says_nothing_of_them() -> None:
    assert not {"objects", "over_time"} & set(to_json(from_keywords("framewise")))


def test_settings_at_a_frame_are_those_baked_for_it() -> None:
    over_time = {3: {"strength": 0.9}, 4: {"prompt": "ink"}}
    made = from_keywords("framewise", strength=0.5, prompt="oil", over_time=over_time)
    seen = [made.at(frame).framewise for frame in (2, 3, 4)]
    assert [(each.strength, each.prompt) for each in seen] == [(0.5, "oil"), (0.9, "oil"), (0.5, "ink")]
    assert made.at(3).over_time == {}


def test_objects_with_words_of_their_own_take_more_evaluations() -> None:
    words, both, kept = {"prompt": "ink"}, {"prompt": "ink", "negative_prompt": "blur"}, {"prompt": "ink", "keep": True}

    def count(guidance: float, *told: dict[str, Any]) -> int:
        objects = [{"name": "Fox", **each} for each in told]
        return from_keywords("framewise", steps=10, strength=1.0, guidance=guidance, objects=objects).evaluations(3)

    assert [count(7.5), count(7.5, words), count(7.5, both), count(7.5, kept, {"seed": 3})] == [60, 90, 120, 60]
    assert [count(1.0), count(1.0, words), count(1.0, both)] == [30, 60, 60]
    assert from_keywords("exemplar", objects=[{"name": "Fox", "prompt": "ink"}]).evaluations(3) == 0


def test_an_object_is_itself_or_what_its_collection_holds() -> None:
    assert ObjectSettings("Fox").names == {"Fox"}
    assert ObjectSettings("Set", members=("A", "B")).names == {"A", "B"}
    assert ObjectSettings("Fox", strength=0).kept and ObjectSettings("Fox", keep=True).kept
    assert not ObjectSettings("Fox", strength=0.1).kept


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"objects": [{"prompt": "ink"}]}, "names no object"),
        ({"objects": [{"name": "Fox", "colour": "red"}]}, "list of mappings"),
        ({"objects": "Fox"}, "list of mappings"),
        ({"objects": {"Fox": {"keep": True}}}, "list of mappings"),
        ({"objects": [{"name": "Fox", "strength": -1.0}]}, "strength is -1.0, below"),
        ({"over_time": {1: {"steps": 3}}}, "steps cannot change over time"),
        ({"over_time": {7: {"strength": 3.0}}}, "strength at frame 7 is 3.0, above"),
        ({"over_time": {"first": {}}}, "frames as numbers"),
        ({"over_time": [0.1, 0.2]}, "frames as numbers"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        from_keywords("framewise", **told)


@pytest.mark.parametrize("method", [method[0] for method in METHODS])
def test_every_method_with_a_model_changes_over_time_in_the_same_settings(method: str) -> None:
    changing = {name for name, (_, _, spec) in specs(groups()[method]).items() if spec.over_time}
    with_model = "model" in specs(groups()[method])
    known = {"prompt", "negative_prompt", "strength", "control_scale", "control_scale_2", "guidance"}
    assert changing == (known if with_model else set())
