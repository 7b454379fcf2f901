"""Styles picked by their picture: prompts that the starter knows, and what they are about."""

from __future__ import annotations

import pytest

from backend.bridge import settings
from backend.bridge.styles import STARTER, STYLES, SUBJECT, restyled, style_of
from backend.starter.vocabulary import CAPTIONS


def test_the_starter_knows_every_style_by_its_prompt() -> None:
    assert [style.identifier.replace("_", " ") for style in STYLES] == list(CAPTIONS)
    for style in STYLES:
        assert style.form in CAPTIONS[style.identifier.replace("_", " ")]


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.identifier)
def test_what_the_prompt_is_about_stays_when_the_style_changes(style: object) -> None:
    for prompt, subject in (("a fox in a meadow", "a fox in a meadow"), ("", SUBJECT), ("an oil painting of it", "it")):
        dressed = restyled(prompt, style)
        assert style_of(dressed) is style and style.subject(dressed) == subject
        assert restyled(dressed, style) == dressed
    assert style_of("a fox in a meadow") is None


def test_what_the_starter_paints_well_with_are_settings() -> None:
    assert settings.from_keywords("framewise", **STARTER).framewise.steps == STARTER["steps"]
