"""Settings: declared once, checked once, to JSON and back."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from backend.bridge.errors import UserError
from backend.bridge.settings import METHODS, Settings, from_json, from_keywords, groups, specs, to_json


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
