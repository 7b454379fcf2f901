"""Tempera is installed by dropping its zip onto Blender's window, and works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_window import NAME, PLACE, SIZE, Blender, Screen


@pytest.fixture
def fresh(package: Path) -> Iterator[Blender]:
    """Blender as it comes."""
    assert package.is_file()
    screen = Screen(PLACE / "fresh-screen.log")
    blender = Blender(screen, "fresh", profile="fresh-settings")
    yield blender
    blender.close()
    screen.close()


def test_the_zip_is_dropped_onto_the_window(fresh: Blender, package: Path) -> None:
    assert fresh.ask(f"'{NAME}' in bpy.context.preferences.addons") == "False"
    middle = SIZE[0] // 3, SIZE[1] // 2
    fresh.move(*middle)
    fresh.drop(package, *middle)
    fresh.picture("40-dropped")
    fresh.press("Return")
    fresh.until(f"'{NAME}' in bpy.context.preferences.addons")
    assert fresh.ask("scene.tempera.method") == "exemplar"
    fresh.picture("41-installed")
