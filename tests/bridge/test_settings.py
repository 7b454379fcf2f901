"""Settings: declared once, checked once, to JSON and back."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from backend.bridge.errors import UserError
from backend.bridge.settings import (
    METHODS,
    Settings,
    from_json,
    from_keywords,
    groups,
    homes,
    layer_name,
    specs,
    to_json,
)
from backend.bridge.settings.declaration import SECTIONS


@pytest.mark.parametrize("method", [method[0] for method in METHODS])
def test_defaults_survive_json(method: str) -> None:
    made = from_keywords(method, seed=7)
    assert from_json(json.loads(json.dumps(to_json(made)))) == made


def test_every_declaration_is_whole() -> None:
    for group in (Settings, *groups().values()):
        for name, (kind, default, spec) in specs(group).items():
            assert kind in (bool, int, float, str), name
            assert isinstance(default, kind), name
            assert spec.label and spec.help and not spec.help.endswith("."), name
            if kind in (int, float):
                assert spec.low is not None and spec.high is not None and spec.low <= default <= spec.high, name


def test_no_method_hides_a_common_setting() -> None:
    for group in groups().values():
        assert not set(specs(group)) & set(specs(Settings))


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"steps": 0}, "below"),
        ({"steps": 10**6}, "above"),
        ({"steps": 2.5}, "whole number"),
        ({"steps": True}, "whole number"),
        ({"strength": math.nan}, "below"),
        ({"noise": "pink"}, "Choose one of"),
        ({"prompt": 3}, "a text"),
        ({"stepps": 3}, "no setting"),
    ],
)
def test_a_wrong_value_is_named_in_one_sentence(keywords: dict, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        from_keywords("framewise", **keywords)
    assert next(iter(keywords)) in str(caught.value)


def test_unknown_method_and_damaged_json() -> None:
    with pytest.raises(UserError, match="Choose one of"):
        from_keywords("magic")
    for plain in (None, [], {}, {"method": 3}, {"method": "exemplar", "exemplar": [1]}):
        with pytest.raises(UserError):
            from_json(plain)


def test_settings_cannot_change_under_a_run() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().seed = 3  # type: ignore[misc]
    assert isinstance(Settings(method="framewise").chosen, groups()["framewise"])


def test_every_setting_has_one_home_and_a_section() -> None:
    for method, group in groups().items():
        assert set(homes(group)) == set(specs(group))
        for name, home in homes(group).items():
            assert name in specs(home)
            spec = specs(group)[name][2]
            assert spec.section in SECTIONS
            if spec.needs:
                choices = [choice[0] for choice in specs(group)[spec.needs[0]][2].choices]
                assert set(spec.needs[1:]) <= set(choices), name
            shared = home is not group
            assert (layer_name(home) == method) is not shared
    assert len({homes(group)["prompt"] for group in groups().values() if "prompt" in homes(group)}) == 1


def test_evaluations_are_those_of_the_steps_that_run() -> None:
    assert from_keywords("exemplar").chosen.evaluations(24) == 0
    assert from_keywords("framewise", steps=20, strength=0.6, guidance=7.5).chosen.evaluations(10) == 240
    assert from_keywords("framewise", steps=4, strength=1.0, guidance=1.0).chosen.evaluations(10) == 40


def test_what_changes_over_time_counts_as_at_the_frame_that_asks_for_most() -> None:
    def evaluations(**over_time: float) -> int:
        run = from_keywords("tokenflow", steps=10, strength=0.2, guidance=1.0, over_time={3: over_time})
        return run.evaluations(10)

    alone = evaluations()
    assert (evaluations(guidance=3.0), evaluations(guidance=0.5)) == (2 * alone, alone)
    assert (evaluations(strength=0.6), evaluations(strength=0.1)) == (3 * alone, alone)
