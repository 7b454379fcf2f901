"""What only PyTorch's own index has: resolved there, fetched by the checksum that it gives, and refused without one."""

from __future__ import annotations

import base64
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backend.bridge.environment import standing
from backend.bridge.errors import UserError
from backend.bridge.install import index as indexes
from backend.bridge.install import phases
from backend.bridge.install.lock import Wheel
from backend.bridge.install.phases import Plan
from tests.bridge.install_kit import MACHINE, refused, told
from tests.bridge.wheels import HERE, Index, make_wheel, sha256, write_lock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the locks of these tests are for Linux")
TAGS = f"cp{HERE.replace('.', '')}-cp{HERE.replace('.', '')}-manylinux_2_28_x86_64"
UV = Path(sys.executable).with_name("uv")  # as the environment of these tests has it


@pytest.fixture
def pytorch(tmp_path: Path) -> Iterator[Index]:
    """Serve a build "grain" for several machines, and what it needs; canvas, which the lock has, in another version."""
    folder = tmp_path / "pytorch"
    for tags in (TAGS, "cp39-cp39-manylinux_2_28_x86_64", TAGS.replace("manylinux_2_28_x86_64", "win_amd64")):
        make_wheel(folder, "grain", 300_000, "1.0+cu1", tags, needs="pigment==2.0")
    make_wheel(folder, "grain", 0, "1.1+cu1", TAGS)
    make_wheel(folder, "pigment", 50_000, "2.0", needs="canvas")
    make_wheel(folder, "canvas", 0, "0.5")
    served = Index(folder)
    served.old = True
    yield served
    served.close()


@pytest.fixture(params=["pip", "uv"])
def open_plan(plan: Plan, pytorch: Index, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan whose lock has canvas, and leaves grain to PyTorch's index."""
    if request.param == "uv":
        monkeypatch.setenv("PATH", f"{UV.parent}:/usr/bin:/bin")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("PIP_RETRIES", "0")
    return lock_open(plan, pytorch)


def lock_open(plan: Plan, pytorch: Index) -> Plan:
    wheels = [plan.folder.parent / "served" / "canvas-1.0-py3-none-any.whl"]
    more = {"open": ["grain==1.0"], "index": f"{pytorch.address}/simple", "open_size": 400_000}
    write_lock(plan.locks, wheels, **more)
    return plan


def test_the_file_that_fits_is_fetched_checked_and_kept_on_record(open_plan: Plan, pytorch: Index) -> None:
    heard = told(open_plan)
    asked = {name for name, _ in pytorch.log if name.endswith(".whl")}
    wanted = {f"grain-1.0+cu1-{TAGS}.whl", "pigment-2.0-py3-none-any.whl"}
    assert wanted <= asked
    assert not [name for name in asked if "win_amd64" in name or "cp39" in name or name.startswith("grain-1.1")]
    record = json.loads((open_plan.folder / "checksums.json").read_text())
    assert record == {name: sha256(pytorch.folder / name) for name in wanted}
    canvas = next(open_plan.environment.rglob("canvas-*.dist-info"))
    assert canvas.name == "canvas-1.0.dist-info", "what the lock has is not taken from elsewhere"
    fetched = [event for event in heard if event.phase == "download" and event.total]
    assert fetched[-1].done == fetched[-1].total > 600_000
    assert [event.done for event in fetched] == sorted(event.done for event in fetched)
    phases.remove(open_plan.folder)
    assert not list(open_plan.folder.iterdir())


def test_a_file_without_a_checksum_is_refused(open_plan: Plan, pytorch: Index) -> None:
    pytorch.vouching = False
    assert "gives no checksum for grain-1.0" in refused(open_plan)
    pytorch.vouching = True
    told(open_plan)


def test_a_file_that_is_not_what_the_index_says_is_refused(open_plan: Plan, pytorch: Index) -> None:
    pytorch.says = {"pigment-2.0-py3-none-any.whl": "0" * 64}
    assert "HASHES" in (sentence := refused(open_plan)) or "checksum differs" in sentence
    pytorch.says = {}
    shutil.rmtree(open_plan.folder / "cache", ignore_errors=True)
    (open_plan.folder / "checksums.json").unlink(missing_ok=True)
    told(open_plan)


def test_another_file_of_the_same_name_is_never_taken(open_plan: Plan, pytorch: Index) -> None:
    told(open_plan)
    make_wheel(pytorch.folder, "pigment", 10, "2.0")
    shutil.rmtree(open_plan.folder / "cache", ignore_errors=True)
    with pytest.raises(UserError, match=r"is not the file that .* gave before"):
        phases.repair(open_plan, MACHINE, lambda _: None)
    phases.remove(open_plan.folder)
    told(open_plan)


def test_a_record_that_is_damaged_does_not_pass_for_an_empty_one(open_plan: Plan) -> None:
    open_plan.folder.mkdir()
    (open_plan.folder / "checksums.json").write_bytes(b'{"grain')
    assert "checksums.json is damaged" in refused(open_plan)
    phases.remove(open_plan.folder)
    told(open_plan)


def test_a_big_file_is_gone_on_with(open_plan: Plan, pytorch: Index) -> None:
    name = f"grain-1.0+cu1-{TAGS}.whl"
    part = open_plan.folder / "wheels" / (name + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes((pytorch.folder / name).read_bytes()[:123_456])
    told(open_plan)
    assert (name, 123_456) in pytorch.log


def test_an_index_that_is_gone_is_told(open_plan: Plan, pytorch: Index) -> None:
    pytorch.down = True
    assert "grain==1.0 cannot be had from 127.0.0.1" in refused(open_plan)
    pytorch.down = False
    told(open_plan)


def test_a_wheelhouse_has_it_too(open_plan: Plan, pytorch: Index, tmp_path: Path) -> None:
    house = tmp_path / "wheel house"
    shutil.copytree(pytorch.folder, house)
    for path in house.glob("canvas*"):
        path.unlink()
    offline = replace(open_plan, wheelhouse=house, online=False)
    assert "grain==1.0 cannot be had from the wheelhouse" in refused(offline)
    shutil.copy(tmp_path / "served" / "canvas-1.0-py3-none-any.whl", house)
    pytorch.down = True
    told(offline)
    assert standing(offline.environment) == "ready"
    assert not pytorch.log


def test_an_unsafe_address_is_refused() -> None:
    link = indexes.Link("http://example.org/grain-1.0.whl", "0" * 64)
    with pytest.raises(UserError, match="unsafe address"):
        indexes.vouched("https://example.org/simple", link)


@pytest.mark.parametrize("old", [True, False])
def test_a_listing_is_read_in_both_forms(old: bool, index: Index) -> None:
    index.old = old
    links = indexes.listing(f"{index.address}/simple/", "Canvas")
    path = index.folder / "canvas-1.0-py3-none-any.whl"
    assert [(link.file, link.sha256) for link in links] == [(path.name, sha256(path))]
    assert links[0].url == f"{index.address}/{path.name}"


def test_a_login_in_the_address_of_a_studios_mirror_is_used(
    plan: Plan, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{index.address}/simple".replace("//", "//artist:s%40cret@"))
    told(plan)
    assert base64.b64decode(index.login.removeprefix("Basic ")) == b"artist:s@cret"


def test_the_login_is_not_for_whomever_the_mirror_sends_on_to(index: Index, pytorch: Index) -> None:
    index.moved = pytorch.address
    indexes.listing(f"{index.address}/simple".replace("//", "//artist:secret@"), "grain")
    assert index.login and not pytorch.login


@pytest.mark.parametrize("old", [False, True])
def test_an_index_that_has_no_file_of_a_project_says_so(tmp_path: Path, old: bool) -> None:
    served = Index(tmp_path)
    served.old = old
    assert indexes.listing(f"{served.address}/simple", "grain") == []
    wheel = Wheel(f"grain-1.0-{TAGS}.whl", "0" * 64, 10)
    with pytest.raises(UserError, match=r"No package index has grain-1\.0"):
        indexes.find_wheel(wheel, [f"{served.address}/simple"])
    served.close()
