"""An installer's plan, and the package index that it fetches from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.bridge.install import fetch, tool
from backend.bridge.install.phases import Plan
from tests.bridge.wheels import Index, make_wheel, write_lock


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    for name in ("grain", "canvas"):
        make_wheel(tmp_path / "served", name, filler=200_000)
    served = Index(tmp_path / "served")
    yield served
    served.close()


@pytest.fixture
def plan(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(fetch, "WAIT_SECONDS", 0.01)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # no uv: what is tested is what every Python has
    monkeypatch.setenv("PIP_INDEX_URL", f"{index.address}/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    tool.package_indexes.cache_clear()
    locks = write_lock(tmp_path / "locks", sorted(index.folder.iterdir()))
    return Plan(tmp_path / "backend", "cpu", locks=locks)
