"""The job folder: whole files only, one process at a time, and clear words when something is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backend.bridge.errors import UserError
from backend.bridge.files import read_json, write_file, write_json
from backend.bridge.job import FORMAT, Job, State
from backend.bridge.settings import from_keywords

ROOT = Path(__file__).resolve().parents[2]
ODD_NAMES = ["plain", "Über Größe 日本", "x" * 200, "a b'c\"d"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_job_is_found_again_as_it_was_made(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / name
    made = Job.create(folder, name, from_keywords("exemplar", seed=3), {"scene": name})
    found = Job.open(folder)
    assert (found.settings, found.name, found.source) == (made.settings, name, {"scene": name})
    assert found.state == State("new")
    assert found.finished() == [] and found.key_frames() == []


def test_frames_are_known_by_their_whole_files(tmp_path: Path) -> None:
    job = Job.create(tmp_path / "job", "job", from_keywords("exemplar"))
    for frame in (-2, 0, 7, 1234567):
        write_file(job.frame_path(frame), b"png")
    (job.frames_folder / ".000009.png.abc.tmp").write_bytes(b"half")
    (job.frames_folder / "notes.txt").write_bytes(b"")
    assert job.finished() == [-2, 0, 7, 1234567]
    with job.locked():
        assert not list(job.frames_folder.glob("*.tmp"))


def test_under_other_settings_frames_stay_until_they_are_made_again(tmp_path: Path) -> None:
    job = Job.create(tmp_path / "job", "job", from_keywords("exemplar"))
    for frame in (1, 2):
        job.finish(frame, b"png")
    for frame in (1, 4):
        write_file(job.key_path(frame), b"old")
    job.change(from_keywords("exemplar", seed=9), {4: job.key_path(1), 7: job.key_path(4)})
    assert job.finished() == [] and Job.open(job.folder).settings.seed == 9
    assert job.key_frames() == [4, 7] and job.state == State("ready")
    assert job.outdated() == [1, 2] and job.frame_path(2).read_bytes() == b"png"
    job.finish(2, b"new")
    assert (job.finished(), job.outdated()) == ([2], [1]) and job.frame_path(2).read_bytes() == b"new"
    job.change(from_keywords("exemplar"), {})
    assert (job.finished(), job.outdated()) == ([], [1, 2])


def test_what_was_painted_over_frames_is_never_deleted(tmp_path: Path) -> None:
    job = Job.create(tmp_path / "job", "job", from_keywords("exemplar"))
    job.finish(1, b"made")
    painted = tmp_path / "painted.png"
    for number in (1, 2):
        write_file(painted, b"paint %d" % number)
        job.add_retouch(1, painted)
        job.change(from_keywords("exemplar", seed=number), {})
        assert job.retouches() == []
        job.finish(1, b"made")
    kept = sorted((job.folder / "painted").rglob("*-after.png"))
    assert [path.read_bytes() for path in kept] == [b"paint 1", b"paint 2"]
    shutil.rmtree(job.folder / "painted" / "001")  # the artist tidies up
    job.add_retouch(1, painted)
    job.change(from_keywords("exemplar"), {})
    assert sorted(path.name for path in (job.folder / "painted").iterdir()) == ["002", "003"]
    job.remove()
    assert not job.folder.exists()


def test_a_change_that_cannot_be_made_changes_nothing(tmp_path: Path) -> None:
    job = Job.create(tmp_path / "job", "job", from_keywords("exemplar", seed=3))
    write_file(job.frame_path(1), b"png")
    write_file(job.key_path(1), b"old")
    with pytest.raises(UserError, match="is missing"):
        job.change(from_keywords("exemplar", seed=9), {2: job.key_path(1), 5: tmp_path / "gone.png"})
    with job.locked(), pytest.raises(UserError, match="already running"):
        Job.open(job.folder).change(from_keywords("exemplar", seed=9), {})
    assert (job.finished(), job.key_frames(), Job.open(job.folder).settings.seed) == ([1], [1], 3)


def test_the_artists_own_folder_is_never_a_job(tmp_path: Path) -> None:
    (tmp_path / "shot.blend").write_bytes(b"precious")
    with pytest.raises(UserError, match="not empty"):
        Job.create(tmp_path, "job", from_keywords("exemplar"))
    job = Job.create(tmp_path / "job", "job", from_keywords("exemplar"))
    own = {"notes.txt", "open-shading", "open-questions.txt", "open-7"}
    for name in sorted(own):
        if "." in name:
            (job.folder / name).write_bytes(b"precious")
        else:
            (job.folder / name).mkdir()
            (job.folder / name / "mine.blend").write_bytes(b"precious")
    (job.folder / "open-12345").write_bytes(b"")  # of a process that was killed
    for stray in ("0001.png", "000012.jpg", "x000012.png"):
        (job.frames_folder / stray).write_bytes(b"")
    assert job.finished() == []
    job.remove()
    assert {path.name for path in job.folder.iterdir()} == own
    assert all((job.folder / name / "mine.blend").is_file() for name in ("open-shading", "open-7"))


def test_a_second_process_cannot_run_the_same_job(tmp_path: Path) -> None:
    job = Job.create(tmp_path / "job", "job", from_keywords("exemplar"))
    script = (
        "import sys; from pathlib import Path; from backend.bridge.job import Job\n"
        "with Job.open(Path(sys.argv[1])).locked(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(job.folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="already running"), job.locked():
            pass
        with pytest.raises(UserError, match="already running"):
            job.remove()
        other.kill()
        other.wait()
    with job.locked():  # the lock died with its process
        pass
    job.remove()
    assert not job.folder.exists()


def test_a_full_disk_is_said_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The kernel refuses to let this process write past a limit, as it refuses on a full disk."""
    target = tmp_path / "frame.png"
    target.write_bytes(b"old")
    script = (
        "import signal, resource, sys; from pathlib import Path; from backend.bridge.files import write_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_file(Path(sys.argv[1]), b'x' * 5000)"
    )
    command = [sys.executable, "-c", script, str(target)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "The disk is full" in run.stderr and "finished frames are kept" in run.stderr
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


LIMITED = (
    "import signal, resource, sys; from pathlib import Path; from backend.bridge.job import Job\n"
    "from backend.bridge.settings import from_keywords\n"
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    "limit, folder, *keys = sys.argv[1:]\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))\n"
)


def on_a_full_disk(code: str, limit: int, *paths: Path) -> str:
    """Run ``code`` where files may have ``limit`` bytes, and return what it raises."""
    command = [sys.executable, "-c", LIMITED + code, str(limit), *map(str, paths)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr


def test_a_job_that_cannot_be_made_whole_leaves_nothing(tmp_path: Path) -> None:
    said = on_a_full_disk("Job.create(Path(folder), 'job', from_keywords('exemplar'))", 100, tmp_path / "job")
    assert "The disk is full" in said and list(tmp_path.iterdir()) == []


def test_a_change_for_which_there_is_no_room_changes_nothing(tmp_path: Path) -> None:
    job = Job.create(tmp_path / "job", "job", from_keywords("exemplar"))
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    small.write_bytes(b"new")
    large.write_bytes(b"x" * 9000)
    for frame in (1, 2, 3):
        write_file(job.key_path(frame), b"old")
    before = {path: path.read_bytes() for path in job.folder.rglob("*.*")}
    change = "Job.open(Path(folder)).change(from_keywords('exemplar', seed=5), {1: Path(keys[0]), 2: Path(keys[1])})"
    assert "The disk is full" in on_a_full_disk(change, 8000, job.folder, small, large)
    assert {path: path.read_bytes() for path in job.folder.rglob("*.*")} == before


def test_a_frame_made_anew_takes_its_old_openexr_away_where_none_is_wanted(tmp_path: Path) -> None:
    for exr in (False, True):
        job = Job.create(tmp_path / str(exr), "job", from_keywords("exemplar", exr=exr))
        job.exr_path(1).parent.mkdir()
        for frame in (1, 2):
            job.exr_path(frame).touch()
        job.finish(1, b"picture")
        assert (job.exr_path(1).exists(), job.exr_path(2).exists()) == (exr, True)


def test_a_folder_that_cannot_be_locked_is_not_held(tmp_path: Path) -> None:
    job = Job.create(tmp_path / "job", "job", from_keywords("exemplar"))
    (job.folder / "lock").mkdir()
    assert not job.held
    (job.folder / "lock").rmdir()
    with job.locked():
        assert job.held


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        Job.create(tmp_path / "file" / "job", "job", from_keywords("exemplar"))


def test_folders_that_are_no_job_of_ours(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no job"):
        Job.open(tmp_path)
    job = Job.create(tmp_path / "job", "job", from_keywords("exemplar"))
    with pytest.raises(UserError, match="already holds a job"):
        Job.create(tmp_path / "job", "job", from_keywords("exemplar"))
    spec = read_json(job.folder / "job.json")
    write_json(job.folder / "job.json", {**spec, "format": FORMAT + 1})
    with pytest.raises(UserError, match="newer Tempera"):
        Job.open(job.folder)
    for damaged in ("{", "[]", ""):
        (job.folder / "job.json").write_text(damaged)
        with pytest.raises(UserError):
            Job.open(job.folder)


def test_keys_are_copied_in(tmp_path: Path) -> None:
    job = Job.create(tmp_path / "job", "job", from_keywords("exemplar"))
    with pytest.raises(UserError, match="is missing"):
        job.add_key(4, tmp_path / "gone.png")
    (tmp_path / "key.png").write_bytes(b"painted")
    job.add_key(4, tmp_path / "key.png")
    (tmp_path / "key.png").unlink()
    assert job.key_frames() == [4] and job.key_path(4).read_bytes() == b"painted"


def test_json_holds_text_of_any_language(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"name": "Größe 日本"})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"name": "Größe 日本"}
