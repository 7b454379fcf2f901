"""A job that deflickers another job's frames."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backend.__main__ import main
from backend.bridge.deflickering import deflicker_job, shared
from backend.bridge.errors import UserError
from backend.bridge.job import Job
from backend.bridge.settings import from_keywords
from tests.footage import make_job


@pytest.fixture
def made(tmp_path: Path) -> Job:
    job = make_job(tmp_path / "made", frames=3)
    for frame in (1, 2, 3):
        shutil.copy(job.key_path(1), job.frame_path(frame))
    return job


def test_the_shot_is_shared_and_the_frames_are_read_where_they_lie(made: Job, tmp_path: Path) -> None:
    job = Job.open(deflicker_job(made, tmp_path / "new", from_keywords("deflicker", window=5), {"id": "x"}).folder)
    assert list(shared(made.shot_folder, job.shot_folder)) == [(n, 4) for n in range(1, 5)]
    assert job.settings.method == "deflicker"
    assert (job.settings.deflicker.window, job.source) == (5, {"id": "x"})
    assert Path(job.settings.deflicker.stylized) == made.frames_folder
    files = sorted(path.relative_to(made.shot_folder) for path in made.shot_folder.rglob("*") if path.is_file())
    assert len(files) == 4
    for file in files:
        assert (job.shot_folder / file).samefile(made.shot_folder / file)


def test_a_job_without_frames_has_no_flicker(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no frames to deflicker"):
        deflicker_job(make_job(tmp_path / "made"), tmp_path / "new", from_keywords("deflicker"))
    assert not (tmp_path / "new").exists()


def test_a_disk_without_links_gets_copies(made: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links")

    monkeypatch.setattr("os.link", refuse)
    job = deflicker_job(made, tmp_path / "new", from_keywords("deflicker"))
    steps = shared(made.shot_folder, job.shot_folder)
    next(steps)
    steps.close()  # broken off, a shot is not whole, and sharing it goes on
    assert not (job.shot_folder / "shot.json").exists()
    assert list(shared(made.shot_folder, job.shot_folder))[-1] == (4, 4)
    copied = job.shot_folder / "beauty" / "000002.png"
    assert copied.read_bytes() == (made.shot_folder / "beauty" / "000002.png").read_bytes()
    assert not copied.samefile(made.shot_folder / "beauty" / "000002.png")


def test_the_command_line_makes_it_and_goes_on_with_it(made: Job, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert main(["deflicker", str(made.folder), str(folder)]) == 0
    assert Job.open(folder).finished() == [1, 2, 3]
    (folder / "frames" / "000002.png").unlink()
    (folder / "shot" / "shot.json").unlink()  # as if it had been stopped before the shot was whole
    assert main(["deflicker", str(made.folder), str(folder)]) == 0
    assert Job.open(folder).finished() == [1, 2, 3]
