"""Around an installer: portals that answer for everybody, wrong clocks, other Blenders, links, forbidden programs."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backend.bridge.environment import MARKER, standing
from backend.bridge.errands import Ended
from backend.bridge.errors import UserError
from backend.bridge.install import fetch, phases, tool
from backend.bridge.install.lock import Wheel
from backend.bridge.install.phases import Plan
from tests.bridge.install_kit import begun, refused, told, wait_for
from tests.bridge.wheels import Index, Portal, sha256

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the locks of these tests are for Linux")


@pytest.fixture
def portal(plan: Plan, index: Index, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    served = Portal(index.folder)
    monkeypatch.setenv("PIP_INDEX_URL", f"{served.address}/simple")
    tool.package_indexes.cache_clear()
    yield served
    served.close()


@pytest.mark.parametrize("closed", ["/", "simple", ".whl"])
def test_a_network_that_wants_a_sign_in_is_told_and_costs_nothing_that_has_arrived(
    closed: str, plan: Plan, portal: Portal
) -> None:
    portal.cut, portal.dies = [60_000], True
    refused(plan)
    (part,) = (plan.folder / "wheels").glob("*.part")
    portal.down, portal.closed = False, closed
    assert "wants you to sign in" in refused(plan)
    assert part.stat().st_size == 60_000
    portal.closed = ""
    told(plan)
    assert 60_000 in [start for _, start in portal.log], "it goes on behind what has arrived"


def test_a_certificate_that_is_not_trusted_speaks_of_the_clock(tmp_path: Path, index: Index) -> None:
    """A clock that is wrong puts each certificate out of its time; a company's proxy signs with its own."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", str(key), "-out", str(certificate)], capture_output=True, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    index._server.socket = context.wrap_socket(index._server.socket, server_side=True)
    address = index.address.replace("http://", "https://")
    with pytest.raises(UserError, match=r"is not trusted here \(.*self-signed certificate.*\)\. Check the clock"):
        fetch.fetch_small(f"{address}/simple/grain/")
    with pytest.raises(UserError, match="Check the clock"):
        fetch.fetch(f"{address}/grain-1.0-py3-none-any.whl", tmp_path / "grain.whl", "", lambda _: None)


def test_settings_of_pip_that_it_cannot_read_are_told_in_its_own_words(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.conf").write_text("[global\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    tool.package_indexes.cache_clear()
    sentence = refused(plan)
    assert "pip.conf" in sentence and "Mend its settings" in sentence
    assert "create_command" not in sentence
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    told(plan)


def test_of_two_blenders_one_installs_and_the_other_says_so(plan: Plan, index: Index) -> None:
    index.slow.clear()
    first = begun(plan)
    wait_for(first, lambda: first.progress.phase == "download" and first.progress.done > 0)
    second = begun(plan)
    wait_for(second, lambda: not second.poll())
    assert isinstance(second.ended, Ended)
    assert second.ended.message.startswith("Another Blender installs or removes the backend")
    index.slow.set()
    wait_for(first, lambda: not first.poll())
    assert first.ended is not None and first.ended.state == "done", first.ended
    assert not (plan.folder / phases.LOCK).exists()


def test_an_installer_that_was_killed_holds_nothing(plan: Plan, index: Index) -> None:
    index.slow.clear()
    killed = begun(plan)
    wait_for(killed, lambda: killed.progress.phase == "download")
    os.kill(killed.process.pid, signal.SIGKILL)
    killed.cancel()
    index.slow.set()
    again = begun(plan)
    wait_for(again, lambda: not again.poll())
    assert again.ended is not None and again.ended.state == "done", again.ended


def test_a_removal_that_was_cut_off_is_taken_up_by_remove_and_by_install(plan: Plan) -> None:
    """Of a package that is removed in part pip still finds the record, and would leave it as it is."""
    told(plan)
    for after in ("install", "remove"):
        _removed_in_part(plan)
        assert standing(plan.environment) == "unfinished"
        if after == "install":
            told(plan)
            assert standing(plan.environment) == "ready"
        else:
            assert phases.remove(plan.folder) == []
    assert standing(plan.environment) == "absent"


def _removed_in_part(plan: Plan) -> None:
    """Remove the environment, and be killed where the first package's module is gone."""
    script = (
        "import os, shutil, signal, sys\nfrom pathlib import Path\nfrom backend.bridge.install import phases\n"
        "def rmtree(path):\n    next(path.rglob('grain.py')).unlink()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "shutil.rmtree = rmtree\nphases.remove(Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(plan.folder)], cwd=phases.ROOT, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("content", [b"", b'{"version": "0.1', b"\xff\xfe\x00", b"[]"])
def test_notes_that_were_half_written_do_not_count(content: bytes, plan: Plan) -> None:
    told(plan)
    for note in (MARKER, phases.BEGUN):
        (plan.environment / note).write_bytes(content)
    assert standing(plan.environment) == "unfinished"
    told(plan)
    assert standing(plan.environment) == "ready"


def test_an_environment_that_is_a_link_says_what_to_choose_instead(plan: Plan, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    plan.folder.mkdir()
    plan.environment.symlink_to(other)
    assert "choose the folder that it leads to as Backend Folder" in refused(plan)
    assert phases.remove(plan.folder) == []
    assert (other / "mine.txt").is_file(), "what the artist linked to is left alone"
    told(plan)


@pytest.mark.parametrize("name", ['it\'s "mine", 100% #1; $HOME', "two\nlines", "-r", "a  b", "~"])
def test_a_folder_of_any_name_will_do(name: str, plan: Plan) -> None:
    told(replace(plan, folder=plan.folder.parent / name))


def test_what_is_installed_under_a_strict_mask_is_its_owners(plan: Plan) -> None:
    before = os.umask(0o077)
    try:
        told(plan)
    finally:
        os.umask(before)
    assert plan.environment.stat().st_mode & 0o077 == 0


def test_where_no_program_may_be_run_pip_does_without_uv(plan: Plan) -> None:
    """A disk may forbid programs, and a scanner take them away; uv's wheel is here, and its program is no use."""
    plan.folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(plan.folder)], check=False).returncode:
        pytest.skip("only root may forbid programs on a disk")
    try:
        pinned = _uv(plan.folder / "wheels")
        assert tool.find_tool(plan.folder, pinned, None, False, lambda _: None).uv is None
        told(plan)
    finally:
        subprocess.run(["umount", "--lazy", str(plan.folder)], check=True)


def test_a_program_that_a_scanner_took_away_is_named(plan: Plan, tmp_path: Path) -> None:
    said = tool.run([str(tmp_path / "uv"), "venv"], tmp_path / "log", {})
    assert said == f"{tmp_path / 'uv'} cannot be started: No such file or directory"


def _uv(folder: Path) -> Wheel:
    """Put a wheel into ``folder`` whose program calls itself uv."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "uv-9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("uv-9.data/scripts/uv", "#!/bin/sh\necho uv 9.0.0\n")
    return Wheel(path.name, sha256(path), path.stat().st_size)
