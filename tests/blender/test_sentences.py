"""A sentence with values in it is translated by the template that it was made from, wherever it was made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import pytest


@pytest.fixture
def sentences(module: Callable[[str], ModuleType]) -> ModuleType:
    return module("operators.sentences")


def shouted(text: str) -> str:
    """A language that has the templates below, and writes all but their values in capitals."""
    parts = text.replace("{", "\0{").replace("}", "}\0").split("\0")
    return "".join(part if part.startswith("{") else part.upper() for part in parts)


def test_what_really_goes_wrong_is_translated_with_its_values(
    sentences: ModuleType, module: Any, tmp_path: Path
) -> None:
    job = module("backend.bridge.job").Job
    with pytest.raises(module("backend.bridge.errors").UserError) as raised:
        job.open(tmp_path / "a folder. With dots")
    said = str(raised.value)
    assert said in sentences.in_words_of(said, lambda text: text)  # a language that knows none of it
    told = f"{tmp_path / 'a folder. With dots'} HOLDS NO JOB. CHOOSE A FOLDER THAT TEMPERA MADE."
    assert sentences.in_words_of(said, shouted_but_known) == told
    assert bpy.app.translations.locale in ("", "en_US") and sentences.translated(said) == said


def shouted_but_known(text: str) -> str:
    return shouted(text) if text == "{folder} holds no job. Choose a folder that Tempera made." else text


def test_a_sentence_without_values_needs_no_template(sentences: ModuleType) -> None:
    assert sentences.in_words_of("Add one.", {"Add one.": "Füge eine hinzu."}.get) == "Füge eine hinzu."


def test_every_sentence_with_values_has_a_template_that_fits_it(sentences: ModuleType, module: Any) -> None:
    found = sentences.templates()
    assert len(found) > 100
    for template, pattern in found.items():
        names = pattern.groupindex
        values = {name: f"value. {number}" for name, number in names.items()}
        made = template.format(**values)
        assert pattern.fullmatch(made), template
