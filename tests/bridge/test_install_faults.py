"""Faults of the machine itself, each real: a full disk, a kill, a lock, missing rights, in any phase of an install."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backend.bridge.environment import standing
from backend.bridge.errands import Ended, Progress, decode
from backend.bridge.install import __main__ as program
from backend.bridge.install import fetch, phases
from backend.bridge.install.machine import Machine
from backend.bridge.install.phases import Plan
from tests.bridge.install_kit import begun, find_python_of_user, told, wait_for
from tests.bridge.wheels import Index, locked, make_wheel, write_lock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the locks of these tests are for Linux")


def ended(plan: Plan, monkeypatch: pytest.MonkeyPatch, on: Callable[[Progress], None] = lambda _: None) -> Ended:
    """Run the installer as Blender does, but in this process, where ``on`` hears of its progress."""
    heard: list[Ended] = []

    def tell(event: Progress | Ended) -> None:
        heard.append(event) if isinstance(event, Ended) else on(event)

    monkeypatch.setattr(program, "tell", tell)
    program.main(["install", *plan.arguments])
    return heard[-1]


def clear(ended: Ended) -> str:
    """Return the sentences that an install failed with: what is wrong, then what to do."""
    assert ended.state == "failed"
    assert "error of its own" not in ended.message
    assert "\n" not in ended.message
    assert ended.message.count(". ") >= 1
    assert ended.report
    return ended.message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tempera", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root may make a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("phase", ["tool", "environment", "download", "install", "verify"])
def test_a_disk_that_fills_up_in_any_phase_is_told_and_goes_on_where_there_is_room(
    phase: str, plan: Plan, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(plan, folder=small_disk / "backend")
    ballast = small_disk / "ballast"

    def fill(event: Progress) -> None:
        if event.phase == phase and not ballast.exists():
            with ballast.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    pass

    assert "is full" in clear(ended(plan, monkeypatch, fill))
    assert standing(plan.environment) != "ready"
    ballast.unlink()
    assert ended(plan, monkeypatch).state == "done"


@pytest.mark.parametrize("phase", phases.PHASES)
def test_an_installer_that_is_killed_in_any_phase_goes_on(phase: str, plan: Plan, index: Index) -> None:
    slow = ("-c", "import time; time.sleep(2)")  # so that no machine is through before it is killed
    write_lock(plan.locks, sorted(index.folder.iterdir()), proof=slow)
    if phase == "download":
        index.slow.clear()
    running = begun(plan)
    wait_for(running, lambda: running.progress.phase in phases.PHASES[phases.PHASES.index(phase) :])
    os.killpg(running.process.pid, signal.SIGKILL)
    wait_for(running, lambda: not running.poll())
    assert running.ended is not None
    assert "ended from outside" in running.ended.message
    index.slow.set()
    assert standing(plan.environment) != "ready"
    told(plan)
    assert find_python_of_user(plan)


def test_packages_that_were_being_installed_when_it_was_killed_are_installed_anew(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there of a package by half would pass for it: the environment is made anew."""

    def killed(*_: object) -> None:
        half = next(plan.environment.rglob("grain-*.dist-info"))
        (half / "RECORD").unlink()
        (half.parent / "grain.py").write_text("SIZE = 3\nHALF = True\n")
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases, "verify", killed)
        with pytest.raises(KeyboardInterrupt):
            told(plan)
    assert ended(plan, monkeypatch).state == "done"
    assert "HALF" not in next(plan.environment.rglob("grain.py")).read_text()


def test_a_folder_that_another_program_holds_is_waited_for(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = plan.folder / "wheels"
    wheels.mkdir(parents=True)
    if not immutable(wheels, True):
        pytest.skip("this file system locks nothing")
    immutable(wheels, False)
    held = threading.Timer(1.0, immutable, (wheels, False))

    def hold(event: Progress) -> None:
        if event.phase == "download" and event.done and not held.is_alive() and not held.finished.is_set():
            immutable(wheels, True)
            held.start()

    monkeypatch.setattr(fetch.move, "__defaults__", (0.2,))
    assert "held by another program" in clear(ended(plan, monkeypatch, hold))
    held.join()
    assert ended(plan, monkeypatch).state == "done"


def immutable(folder: Path, held: bool) -> bool:
    """Let nothing in ``folder`` be made, renamed or removed, or let it again; return whether that could be."""
    if shutil.which("chattr") is None:
        return False
    change = ["chattr", "+i" if held else "-i", str(folder)]
    return subprocess.run(change, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("part", ["", "wheels", "environment"])
def test_without_the_right_to_write_it_says_where(part: str, plan: Plan) -> None:
    """The installer as one who is not all-powerful: root without the capability to pass over rights."""
    (plan.folder / part).mkdir(parents=True)
    (plan.folder / part).chmod(0o500)
    weak = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    command = [sys.executable, "-m", "backend.bridge.install", "install", *plan.arguments]
    if os.geteuid() == 0:
        if subprocess.run([*weak, "true"], check=False, capture_output=True).returncode != 0:
            pytest.skip("rights cannot be given up here")
        command = [*weak, *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=phases.ROOT)
    last = decode(done.stdout.splitlines()[-1])
    assert isinstance(last, Ended)
    assert str(plan.folder / part) in clear(last)
    (plan.folder / part).chmod(0o700)
    told(plan)


def test_a_line_that_is_cut_while_uv_is_fetched_leaves_the_rest_to_pip(
    plan: Plan, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = make_wheel(index.folder, "uv", filler=300_000)
    wheels = [path for path in sorted(index.folder.iterdir()) if path != uv]
    write_lock(plan.locks, wheels)
    (plan.locks / "uv.json").write_text(json.dumps({"linux": locked(uv)}))
    index.cut, index.dies = [100_000], True
    assert "cannot be reached" in clear(ended(plan, monkeypatch))
    index.down, index.dies = False, False
    index.spoil = lambda data: b"no uv" if len(data) == uv.stat().st_size else data
    assert ended(plan, monkeypatch).state == "done"


def test_a_driver_that_is_too_old_is_told_and_the_processor_will_do(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program_of_driver = tmp_path / "bin" / "nvidia-smi"
    program_of_driver.parent.mkdir()
    program_of_driver.write_text("#!/bin/sh\necho 'NVIDIA GeForce GTX 970, 470.82.01, 5.2'\n")
    program_of_driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program_of_driver.parent}:/usr/bin:/bin")
    write_lock(plan.locks, sorted((tmp_path / "served").iterdir()), accelerator="cuda")
    offered = program.offer(Machine.here(), plan.locks)
    assert offered["best"] == "cpu"
    assert "470.82, and 580 or newer is needed" in str(offered["reason"])
    assert "Update it from nvidia.com" in clear(ended(replace(plan, accelerator="cuda"), monkeypatch))
    assert ended(plan, monkeypatch).state == "done"
