"""The installer against real faults: each ends in one clear sentence, and the next try works."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from backend.bridge.environment import find_python, marker, python_in, standing
from backend.bridge.errands import Ended, Errand, decode
from backend.bridge.errors import UserError
from backend.bridge.install import fetch, phases
from backend.bridge.install.machine import Machine
from backend.bridge.install.phases import Plan
from backend.bridge.install.tool import Tool
from tests.bridge.install_kit import MACHINE, begun, find_python_of_user, refused, told, wait_for
from tests.bridge.wheels import HERE, Index, locked, make_wheel, write_lock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the locks of these tests are for Linux")
SEARCHED = os.environ.get("PATH", "")


def test_an_install_goes_through_its_phases_and_counts_bytes(plan: Plan, index: Index) -> None:
    heard = told(plan)
    assert list(dict.fromkeys(event.phase for event in heard)) == list(phases.PHASES)
    fetched = [event for event in heard if event.phase == "download"]
    total = sum(path.stat().st_size for path in index.folder.iterdir())
    assert fetched[-1].done == fetched[-1].total == total
    assert [event.done for event in fetched] == sorted(event.done for event in fetched)
    assert standing(plan.environment) == "ready"
    assert marker(plan.environment)["python"] == HERE
    assert find_python("", plan.folder) == python_in(plan.environment)
    assert not (plan.folder / "wheels").exists()
    asked = len(index.log)
    told(plan)
    assert len(index.log) == asked, "an environment that is whole is left as it is"


def test_a_network_that_is_gone_says_so_and_what_arrived_is_kept(plan: Plan, index: Index) -> None:
    index.cut, index.dies = [150_000], True
    assert "cannot be reached" in refused(plan)
    index.down, before = False, len(index.log)
    told(plan)
    assert index.log[before][1] >= 150_000, "the second try begins behind what the first brought"


def test_a_line_that_breaks_off_again_and_again_is_taken_up(plan: Plan, index: Index) -> None:
    index.cut = [50_000, 60_000, 10_000, 70_000]
    told(plan)
    starts = [start for name, start in index.log if name.startswith("canvas")]
    assert starts == [0, 50_000, 110_000, 120_000, 190_000]


def test_a_server_without_the_file_is_named(plan: Plan, index: Index) -> None:
    hidden = (index.folder / "grain-1.0-py3-none-any.whl").rename(index.folder.parent / "hidden")
    assert "No package index has grain-1.0-py3-none-any.whl" in refused(plan)
    hidden.rename(index.folder / "grain-1.0-py3-none-any.whl")
    told(plan)


def test_a_wheel_that_was_changed_on_its_way_is_not_used(plan: Plan, index: Index) -> None:
    index.spoil = lambda data: data[:-5] + b"evil!"
    assert "checksum differs" in refused(plan)
    assert not list(plan.folder.rglob("*.whl*"))
    index.spoil = bytes
    told(plan)


def test_a_wheel_that_was_damaged_on_the_disk_is_fetched_again(plan: Plan, index: Index) -> None:
    wheel = plan.folder / "wheels" / "canvas-1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(b"torn")
    told(plan)
    assert ("canvas-1.0-py3-none-any.whl", 0) in index.log


def test_a_wheel_that_cannot_be_installed_is_told(plan: Plan, index: Index) -> None:
    whole = (index.folder / "grain-1.0-py3-none-any.whl").read_bytes()
    (index.folder / "grain-1.0-py3-none-any.whl").write_bytes(b"no archive at all")
    write_lock(plan.locks, sorted(index.folder.iterdir()))
    assert "Installing the packages failed" in refused(plan)
    (index.folder / "grain-1.0-py3-none-any.whl").write_bytes(whole)
    write_lock(plan.locks, sorted(index.folder.iterdir()))
    told(plan)


def test_packages_that_do_not_work_are_not_called_installed(plan: Plan, index: Index) -> None:
    wheels = sorted(index.folder.iterdir())
    write_lock(plan.locks, wheels, proof=("-c", "raise SystemExit('canvas is torn')"))
    sentence = refused(plan)
    assert "canvas is torn" in sentence
    assert "Repair" in sentence
    with pytest.raises(UserError, match="was not finished"):
        find_python_of_user(plan)
    write_lock(plan.locks, wheels)
    phases.repair(plan, MACHINE, lambda _: None)
    assert find_python_of_user(plan) == python_in(plan.environment)


def test_too_little_room_is_told_before_anything_is_fetched(plan: Plan, index: Index) -> None:
    lock = json.loads((plan.locks / "linux-cpu.json").read_text())
    lock["wheels"][0]["size"] = 10**16
    (plan.locks / "linux-cpu.json").write_text(json.dumps(lock))
    assert "GB are needed" in refused(plan)
    assert not index.log


def test_a_disk_that_fills_up_meanwhile_is_told(plan: Plan) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
        "from backend.bridge.install.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["install", "--folder", str(plan.folder), "--accelerator", "cpu", "--locks", str(plan.locks)]
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=phases.ROOT)
    last = decode(done.stdout.splitlines()[-1])
    assert isinstance(last, Ended)
    assert (done.returncode, last.state, last.phase) == (1, "failed", "download")
    assert "is full" in last.message
    told(plan)


def test_a_folder_that_may_not_be_written_is_told(plan: Plan) -> None:
    (plan.folder.parent / "file").write_text("")
    for folder in (plan.folder.parent / "file" / "below", Path("/sys/tempera")):
        assert "Choose another folder" in refused(replace(plan, folder=folder))
    told(plan)


@pytest.mark.parametrize("held", [3, 10_000])
def test_a_file_that_a_scanner_holds_is_waited_for(held: int, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, refusals = Path.replace, iter(range(held))

    def scanned(source: Path, target: Path) -> Path:
        if source.name.startswith("grain") and next(refusals, None) is not None:
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(source))
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", scanned)
    if held == 3:
        told(plan)
    else:
        monkeypatch.setattr(fetch.move, "__defaults__", (0.2,))
        assert "held by another program" in refused(plan)
        monkeypatch.setattr(Path, "replace", rename)
        told(plan)


def test_a_long_path_in_any_script_is_fine(plan: Plan) -> None:
    folder = plan.folder
    while len(str(folder)) < 250:
        folder = folder / "Künstlerin 作品"
    told(replace(plan, folder=folder))


def test_a_killed_installer_leaves_an_unfinished_environment_and_its_bytes(plan: Plan, index: Index) -> None:
    index.slow.clear()
    running = begun(plan)
    wait_for(running, lambda: running.progress.done > 0)
    running.poll()
    os.killpg(running.process.pid, signal.SIGKILL)
    wait_for(running, lambda: not running.poll())
    assert running.ended is not None
    assert running.ended.state == "failed"
    assert "ended from outside" in running.ended.message
    assert standing(plan.environment) == "unfinished"
    with pytest.raises(UserError, match="was not finished"):
        find_python_of_user(plan)
    index.slow.set()
    before = len(index.log)
    again = begun(plan)
    wait_for(again, lambda: not again.poll())
    assert again.ended is not None
    assert again.ended.state == "done", again.ended
    assert index.log[before][1] > 0


def test_cancel_ends_everything_at_once_and_install_goes_on(plan: Plan, index: Index) -> None:
    index.slow.clear()
    running = begun(plan)
    wait_for(running, lambda: running.progress.done > 0)
    running.cancel()
    assert not running.poll()
    assert running.ended is not None
    assert running.ended.state == "cancelled"
    index.slow.set()
    told(plan)


def test_an_installer_whose_owner_is_gone_ends(plan: Plan, index: Index) -> None:
    index.slow.clear()
    running = begun(plan)
    wait_for(running, lambda: running.progress.done > 0)
    assert running.process.stdin is not None
    running.process.stdin.close()
    running.process.wait(timeout=10)


def test_a_report_tells_what_is_needed_and_names_nobody(plan: Plan, index: Index) -> None:
    index.down = True
    running = begun(plan, {"HOME": str(plan.folder.parent)})
    wait_for(running, lambda: not running.poll())
    assert running.ended is not None
    text = running.ended.report
    assert "Tempera 0.1.0" in text
    assert "phase download" in text
    assert "Linux" in text
    assert "~/backend" in text
    assert str(plan.folder.parent) not in text


def test_a_wheelhouse_needs_no_network_and_says_what_it_lacks(plan: Plan, index: Index, tmp_path: Path) -> None:
    house = tmp_path / "wheelhouse"
    offline = replace(plan, wheelhouse=house, online=False)
    make_wheel(house, "canvas", filler=200_000)
    assert "lacks grain-1.0" in refused(offline)
    (house / "grain-1.0-py3-none-any.whl").write_bytes(b"another")
    assert "checksum differs" in refused(offline)
    make_wheel(house, "grain", filler=200_000)
    wheels = sorted(house.iterdir())
    write_lock(plan.locks, wheels)
    told(offline)
    assert not index.log
    assert sorted(house.iterdir()) == wheels


def test_a_wheelhouse_is_filled_where_there_is_a_network(plan: Plan, index: Index, tmp_path: Path) -> None:
    filled = replace(plan, folder=tmp_path / "carried")
    running = Errand("backend.bridge.install", ["wheelhouse", *filled.arguments, "--platform", "linux"])
    wait_for(running, lambda: not running.poll())
    assert running.ended is not None
    assert running.ended.message == f"The wheelhouse is {filled.folder / 'wheels'}."
    index.down = True
    told(replace(plan, wheelhouse=filled.folder / "wheels", online=False))


def test_an_update_that_fails_no_longer_counts_as_installed(plan: Plan, index: Index) -> None:
    told(plan)
    make_wheel(index.folder, "grain", filler=10)
    (index.folder / "canvas-1.0-py3-none-any.whl").write_bytes(b"no archive at all")
    write_lock(plan.locks, sorted(index.folder.iterdir()))
    assert "Installing the packages failed" in refused(plan)
    make_wheel(index.folder, "canvas", filler=10)
    write_lock(plan.locks, sorted(index.folder.iterdir()))
    told(plan)


def test_another_accelerator_begins_with_an_empty_environment(plan: Plan, index: Index) -> None:
    told(plan)
    left = next(plan.environment.rglob("grain.py")).with_name("left_from_the_other.py")
    left.touch()
    write_lock(plan.locks, sorted(index.folder.iterdir()), accelerator="xpu")
    told(replace(plan, accelerator="xpu"))
    assert marker(plan.environment)["accelerator"] == "xpu"
    assert not left.exists()


def test_removing_leaves_what_tempera_did_not_install(plan: Plan) -> None:
    told(plan)
    (plan.folder / "jobs").mkdir()
    assert phases.remove(plan.folder) == ["jobs"]
    assert standing(plan.environment) == "absent"
    assert phases.remove(plan.folder) == ["jobs"]


def test_uv_brings_its_own_python_and_is_fetched_by_its_checksum(
    plan: Plan, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for uv that hands on to venv and pip shows what uv is told, and that it is told enough."""
    program = (
        f"#!{sys.executable}\nimport subprocess, sys, pathlib\n"
        "if sys.argv[1] == '--version': sys.exit(print('uv 9.0.0'))\n"
        f"pathlib.Path({str(plan.folder)!r}, 'uv.log').open('a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "if '--managed-python' in sys.argv: sys.exit('no Python can be fetched')\n"
        "venv = [sys.executable, '-m', 'venv', '--without-pip', sys.argv[4]]\n"
        "if sys.argv[1] == 'venv': sys.exit(subprocess.call(venv))\n"
        "at = sys.argv.index('--python')\n"
        "pip = [sys.executable, '-m', 'pip', '--python', sys.argv[at + 1], 'install', *sys.argv[at + 2:]]\n"
        "sys.exit(subprocess.call(pip))\n"
    )
    wheel = index.folder / "uv-9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("uv-9.data/scripts/uv", program)
    known = locked(wheel)
    (plan.locks / "uv.json").write_text(json.dumps({"linux": known}))
    told(plan)
    asked = (plan.folder / "uv.log").read_text().splitlines()
    assert [line.split()[0] for line in asked] == ["venv", "venv", "pip"]
    assert "--managed-python --python 3.12" in asked[0]
    assert sys.executable in asked[1]
    (plan.folder / "uv.log").unlink()
    phases.remove(plan.folder)
    (plan.locks / "uv.json").write_text(json.dumps({"linux": known | {"sha256": "0" * 64}}))
    told(plan)
    assert not (plan.folder / "uv.log").exists(), "another program than the one that is known is not run"


@pytest.mark.parametrize("says", ["uv 0.7.22", "nonsense", "uv 0.13.9 (x86_64)"])
def test_a_uv_on_the_path_is_used_unless_it_is_too_old(
    says: str, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n[ $1 = --version ] && echo '{says}' && exit\necho uv was asked; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    if "13" in says:
        assert "uv was asked" in refused(plan)
    else:
        told(plan)


@pytest.mark.parametrize(
    ("machine", "accelerator", "sentence"),
    [
        (replace(MACHINE, glibc=(2, 17)), "cpu", r"glibc in version 2\.17"),
        (replace(MACHINE, glibc=(0, 0)), "cpu", "another C library"),
        (Machine("Darwin", "x86_64"), "mps", "Macs with an Intel"),
        (MACHINE, "cuda", "No card of NVIDIA was found"),
        (MACHINE, "tpu", "no environment for tpu .* cpu"),
    ],
)
def test_a_machine_that_cannot_is_told_before_anything_is_done(
    machine: Machine, accelerator: str, sentence: str, plan: Plan, index: Index
) -> None:
    with pytest.raises(UserError, match=sentence):
        phases.install(replace(plan, accelerator=accelerator), machine, lambda _: None)
    assert not plan.environment.exists()
    assert not index.log


def test_a_python_that_no_wheel_fits_says_that_uv_is_needed(plan: Plan, index: Index) -> None:
    wheels = sorted(index.folder.iterdir())
    write_lock(plan.locks, wheels, pythons=["3.1"])
    assert f"Python {HERE} is none that PyTorch fits" in refused(plan)
    write_lock(plan.locks, wheels)
    told(plan)


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_any_python_that_a_blender_may_bring_installs(version: str, plan: Plan, tmp_path: Path) -> None:
    """Blender 5.1 has 3.13, and what distributions build may have a newer one: the environment is of the same."""
    python = shutil.which(f"python{version}", path=SEARCHED)
    if python is None or subprocess.run([python, "-c", "import venv"], check=False, capture_output=True).returncode:
        pytest.skip(f"there is no Python {version} here")
    write_lock(plan.locks, sorted((tmp_path / "served").iterdir()), pythons=["3.11", version])
    command = [python, "-m", "backend.bridge.install", "install", *plan.arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=phases.ROOT)
    last = decode(done.stdout.splitlines()[-1])
    assert isinstance(last, Ended)
    assert last.state == "done", last
    assert marker(plan.environment)["python"] == version


def test_a_python_that_nothing_fits_gets_the_one_that_uv_brings(tmp_path: Path) -> None:
    tool = Tool(tmp_path, tmp_path / "uv")
    assert [command[-3:] for command in tool.make_commands(tmp_path, ["3.1"], online=True)] == [
        ["--managed-python", "--python", "3.12"]
    ]
    assert tool.make_commands(tmp_path, ["3.1"], online=False) == []
