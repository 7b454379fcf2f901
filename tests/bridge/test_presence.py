"""Panels learn which files are there without waiting for a drive that does not answer."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.bridge import presence
from backend.bridge.presence import Presence


def test_a_file_is_there_until_it_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "FRESH_SECONDS", 0.0)
    seen, file = Presence(10.0), tmp_path / "file"
    assert not seen.there(str(file))
    file.touch()
    assert seen.there(str(file))
    file.unlink()
    assert not seen.there(str(file))
    assert not seen.there(str(tmp_path / ("long" * 100)))


def test_what_was_there_is_not_looked_for_at_every_draw_but_what_was_not_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "FRESH_SECONDS", 3600.0)
    seen, file = Presence(10.0), tmp_path / "file"
    assert not seen.there(str(file))
    file.touch()
    assert seen.there(str(file))
    file.unlink()
    assert seen.there(str(file))


def test_a_drive_that_does_not_answer_is_asked_once_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    wakes, asked = threading.Event(), []

    def asleep(path: str) -> bool:
        asked.append(path)
        return not wakes.wait(30.0)

    monkeypatch.setattr(os.path, "exists", asleep)
    seen, paths = Presence(5.0), [f"//drive/{number}" for number in range(200)]
    threads, before = threading.active_count(), time.monotonic()
    assert all(seen.there("//drive/file") for _ in range(200))
    assert all(map(seen.there, paths)) and threading.active_count() == threads + 1
    assert asked == ["//drive/file"] and time.monotonic() - before < 10.0  # one of them was waited for
    wakes.set()
    while len(asked) < 201:
        time.sleep(0.01)
    assert asked[1:201] == paths
    end = time.monotonic() + 10.0
    while seen.there("//drive/file"):
        assert time.monotonic() < end
        time.sleep(0.01)


class Slow(dict[str, threading.Event]):
    """Paths that are asked for, among which the next is found slowly."""

    def __iter__(self) -> Iterator[str]:
        found = super().__iter__()
        time.sleep(0.02)
        return found


def test_what_is_asked_for_while_the_next_path_is_chosen_is_looked_for_too() -> None:
    seen = Presence(0.0)
    seen._asked = Slow()
    end, paths = time.monotonic() + 10.0, [f"/not/there/{number}" for number in range(10)]
    while any([seen.there(path) for path in paths]):  # each of them is asked for
        assert time.monotonic() < end
        time.sleep(0.01)
