"""The worker as Blender meets it: a real process, told over a pipe, killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.bridge import messages
from backend.bridge.client import Worker, clean_environment
from backend.bridge.errors import UserError
from backend.bridge.files import read_json, write_file
from backend.bridge.job import Job, State
from backend.bridge.settings import from_keywords
from backend.shot.pictures import encode_png, read_picture
from tests.diffusion import tiny
from tests.footage import SIZE, make_job, picture, write_shot

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 240.0  # seconds: a busy machine may take one to start a worker


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    started = Worker.start(Path(sys.executable), ROOT, tmp_path / "worker.log")
    yield started
    started.kill()


def listen(worker: Worker, until: Callable[[messages.Message], bool]) -> list[messages.Message]:
    """Return the events up to the first that ``until`` accepts."""
    heard: list[messages.Message] = []
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for event in worker.poll():
            heard.append(event)
            if until(event):
                return heard
        time.sleep(0.005)
    raise AssertionError(f"heard only {heard[-3:]}")


def ended(event: messages.Message) -> bool:
    return isinstance(event, messages.Ended)


def frame_bytes(job: Job) -> dict[int, bytes]:
    return {frame: job.frame_path(frame).read_bytes() for frame in job.finished()}


def test_a_job_runs_to_its_end_and_says_so(worker: Worker, tmp_path: Path) -> None:
    job = make_job(tmp_path / "Jöb 日本")
    worker.send(messages.Run(str(job.folder)))
    heard = listen(worker, ended)
    assert worker.hello is not None and worker.hello.protocol == messages.PROTOCOL
    assert isinstance(heard[0], messages.Started)
    assert heard[-1] == messages.Ended(str(job.folder), "done", "")
    assert [event.frame for event in heard if isinstance(event, messages.Frame)] == sorted(job.finished())
    assert job.finished() == [1, 2, 3, 4, 5, 6] and job.state.state == "done"
    report = read_json(job.folder / "report.json")
    assert report["method"] == "exemplar" and "DIS" in str(report["motion"])
    styled, _ = read_picture(job.frame_path(1))
    np.testing.assert_allclose(styled, 1.0 - picture(1), atol=1 / 255)


def test_cancel_keeps_what_is_finished_and_resume_goes_on(worker: Worker, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", frames=30)
    worker.send(messages.Run(str(job.folder)))
    listen(worker, lambda event: isinstance(event, messages.Frame))
    worker.send(messages.Cancel(str(job.folder)))
    last = listen(worker, ended)[-1]
    kept = frame_bytes(job)
    assert isinstance(last, messages.Ended) and last.state == "cancelled" and 0 < len(kept) < 30
    assert f"{len(kept)} of 30" in last.message
    worker.send(messages.Run(str(job.folder)))
    heard = listen(worker, ended)
    assert {event.frame for event in heard if isinstance(event, messages.Frame)} == set(range(1, 31)) - set(kept)
    assert frame_bytes(job).items() >= kept.items()


def test_a_waiting_job_can_be_cancelled(worker: Worker, tmp_path: Path) -> None:
    first, second = make_job(tmp_path / "first"), make_job(tmp_path / "second")
    worker.send(messages.Run(str(first.folder)))
    worker.send(messages.Run(str(second.folder)))
    worker.send(messages.Cancel(str(second.folder)))
    heard = listen(worker, lambda event: ended(event) and event.job == str(second.folder))  # type: ignore[union-attr]
    assert [event.state for event in heard if isinstance(event, messages.Ended)] == ["done", "cancelled"]
    assert second.finished() == []


def test_bad_input_ends_in_a_sentence_and_the_worker_lives_on(worker: Worker, tmp_path: Path) -> None:
    no_keys = make_job(tmp_path / "no keys")
    no_keys.key_path(1).unlink()
    small = make_job(tmp_path / "small")
    write_file(small.key_path(1), encode_png(picture(1, (32, 24))))
    see_through = make_job(tmp_path / "see-through")
    write_file(see_through.key_path(1), encode_png(picture(1), np.full(SIZE[::-1], 0.5)))
    outside = make_job(tmp_path / "outside")
    write_file(outside.key_path(99), encode_png(picture(1)))
    hole = make_job(tmp_path / "hole")
    (hole.shot_folder / "beauty" / "000003.png").unlink()
    damaged = make_job(tmp_path / "damaged")
    png = (damaged.shot_folder / "beauty" / "000002.png").read_bytes()
    (damaged.shot_folder / "beauty" / "000002.png").write_bytes(png[: len(png) // 2])
    expected = {
        no_keys: "key frame", small: "32", see_through: "see-through", outside: "99", hole: "3",
        damaged: "cannot be read", tmp_path / "nothing": "holds no job",
    }  # fmt: skip
    for job, words in expected.items():
        folder = str(job.folder if isinstance(job, Job) else job)
        worker.send(messages.Run(folder))
        last = listen(worker, ended)[-1]
        assert isinstance(last, messages.Ended) and last.state == "failed"
        assert words in last.message and "Traceback" not in last.message and last.message.endswith(".")
    good = make_job(tmp_path / "good")
    worker.send(messages.Run(str(good.folder)))
    assert listen(worker, ended)[-1] == messages.Ended(str(good.folder), "done", "")


def finished_job(folder: Path, frames: int = 6) -> Job:
    """A job that is done, every frame the negative of its source."""
    job = make_job(folder, frames)
    for frame in range(1, frames + 1):
        write_file(job.frame_path(frame), encode_png(1.0 - picture(frame)))
    job.write_state(State("done", "as it was"))
    return job


def test_a_job_is_measured_and_its_state_stays(worker: Worker, tmp_path: Path) -> None:
    job, against = finished_job(tmp_path / "job"), finished_job(tmp_path / "against")
    worker.send(messages.Measure(str(job.folder), ""))
    heard = listen(worker, ended)
    assert isinstance(heard[0], messages.Started)
    assert heard[-1] == messages.Ended(str(job.folder), "done", "")
    steps = [event for event in heard if isinstance(event, messages.Progress)]
    assert [step.done for step in steps] == list(range(1, len(steps) + 1))
    assert {step.total for step in steps} == {len(steps)}
    assert read_json(job.measure_path)["against"] is None
    assert sorted(path.name for path in job.heat_map_folder.iterdir()) == [f"{frame:06d}.png" for frame in range(1, 7)]
    worker.send(messages.Measure(str(job.folder), str(against.folder)))
    listen(worker, ended)
    assert read_json(job.measure_path)["against"] == against.name
    assert job.state == against.state == State("done", "as it was")


def test_keys_are_suggested_for_a_job_that_never_ran(worker: Worker, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    job.key_path(1).unlink()
    worker.send(messages.SuggestKeys(str(job.folder), 2))
    heard = listen(worker, ended)
    assert heard[-1] == messages.Ended(str(job.folder), "done", "")
    steps = [event for event in heard if isinstance(event, messages.Progress)]
    assert steps[-1].done == steps[-1].total == 36
    found = read_json(job.suggestion_path)
    assert len(found["keys"]) == len(found["coverage"]) <= 2
    assert found["coverage"] == sorted(found["coverage"])
    assert found["sentence"].endswith(f"{100 * found['coverage'][-1]:.0f} % of the shot")
    assert job.state == State("new") and job.finished() == []
    write_file(job.key_path(6), encode_png(picture(6)))
    worker.send(messages.SuggestKeys(str(job.folder), 2))
    listen(worker, ended)
    assert read_json(job.suggestion_path)["keys"][0] == 6  # the artist's own


def test_a_question_that_fails_or_is_cancelled_leaves_the_job_as_it_was(worker: Worker, tmp_path: Path) -> None:
    job, fresh = finished_job(tmp_path / "job", frames=60), make_job(tmp_path / "fresh")
    refusals = {
        messages.Measure(str(fresh.folder), ""): "has 0 of 6 frames",
        messages.Measure(str(job.folder), str(tmp_path / "nothing")): "holds no job",
        messages.SuggestKeys(str(fresh.folder), 0): "at least one",
        messages.SuggestKeys(str(tmp_path / "nothing"), 3): "holds no job",
    }
    for question, words in refusals.items():
        worker.send(question)
        last = listen(worker, ended)[-1]
        assert isinstance(last, messages.Ended) and last.state == "failed" and words in last.message
    worker.send(messages.Measure(str(job.folder), ""))
    listen(worker, lambda event: isinstance(event, messages.Progress))
    worker.send(messages.Cancel(str(job.folder)))
    assert listen(worker, ended)[-1] == messages.Ended(str(job.folder), "cancelled", "")
    assert not job.measure_path.exists()
    assert (job.state, fresh.state) == (State("done", "as it was"), State("new"))


def test_nonsense_on_the_pipe_is_passed_over(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    run = subprocess.run(
        [sys.executable, "-s", "-u", "-m", "backend", "worker"],
        cwd=ROOT, env=clean_environment(os.environ), check=False, capture_output=True, timeout=PATIENCE,
        input=b"\n{}\nnonsense\n" + b"[" * 100_000 + b"\n",
    )  # fmt: skip
    assert run.returncode == 0 and run.stderr.count(b"ignored") == 4
    said = [messages.decode(line) for line in run.stdout.splitlines()]
    assert all(isinstance(message, messages.Hello | messages.Heartbeat) for message in said)
    assert job.finished() == []


def test_the_worker_leaves_with_its_owner(tmp_path: Path) -> None:
    """A parent killed without a chance to say good-bye must not leave a worker behind."""
    script = (
        "import sys, time; from pathlib import Path; from backend.bridge.client import Worker\n"
        "worker = Worker.start(Path(sys.executable), Path.cwd(), Path(sys.argv[1]))\n"
        "while worker.hello is None: worker.poll(); time.sleep(0.01)\n"
        "print(worker._process.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        os.kill(pid, 0)
        owner.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "the worker outlived its owner"
        time.sleep(0.05)


def test_a_dead_worker_is_told_with_its_last_words(worker: Worker, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", frames=30)
    worker.send(messages.Run(str(job.folder)))
    listen(worker, lambda event: isinstance(event, messages.Frame))
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(UserError, match="stopped unexpectedly"):
        listen(worker, ended)
    assert not worker.alive
    with pytest.raises(UserError, match="finished frames are kept"):
        worker.send(messages.Run(str(job.folder)))


def test_no_python_is_said() -> None:
    with pytest.raises(UserError, match="cannot be started"):
        Worker.start(Path("/nowhere/python"), ROOT, Path(os.devnull))


def test_killed_twenty_times_the_result_is_that_of_an_unbroken_run(tmp_path: Path) -> None:
    frames = 60
    unbroken = make_job(tmp_path / "unbroken", frames=frames)
    run = [sys.executable, "-m", "backend", "run"]
    subprocess.run([*run, str(unbroken.folder)], cwd=ROOT, check=True, capture_output=True)
    broken = make_job(tmp_path / "broken", frames=frames)
    dice = random.Random(5)
    for _ in range(20):
        before = {frame: broken.frame_path(frame).stat().st_mtime_ns for frame in broken.finished()}
        with subprocess.Popen([*run, str(broken.folder)], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            wait_for_work(process, broken, len(before) + dice.choice((0, 0, 1, 2)))
            time.sleep(dice.uniform(0.0, 0.05))
            process.kill()
        after = {frame: broken.frame_path(frame).stat().st_mtime_ns for frame in broken.finished()}
        assert after.items() >= before.items(), "a finished frame was made again"
    assert len(broken.finished()) < frames, "the kills came too late to prove anything"
    subprocess.run([*run, str(broken.folder)], cwd=ROOT, check=True, capture_output=True)
    assert frame_bytes(broken) == frame_bytes(unbroken)
    assert not list(broken.folder.rglob("*.tmp"))


def wait_for_work(process: subprocess.Popen[bytes], job: Job, frames: int) -> None:
    """Wait until the run has taken the job up and has finished ``frames`` frames in all."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        if job.state.state == "running" and len(job.finished()) >= frames:
            return
        time.sleep(0.005)


def test_a_preview_forms_step_by_step_and_ends_as_the_run_will(worker: Worker, tmp_path: Path) -> None:
    settings = {
        "model": str(tiny.save_sd(tmp_path / "sd")), "prompt": "a fox", "steps": 4, "strength": 1.0, "guidance": 1.0,
        "noise": "fresh",
    }  # fmt: skip
    job = Job.create(tmp_path / "job", "Disc", from_keywords("framewise", seed=5, **settings))
    write_shot(job.shot_folder, [1, 2, 3], SIZE)
    preview = Job.create(tmp_path / "preview", "Preview", job.settings, {"preview": [1, 3]})
    worker.send(messages.Preview(str(preview.folder), str(job.shot_folder)))
    heard = listen(worker, ended)
    assert heard[-1] == messages.Ended(str(preview.folder), "done", "")
    pictures = [event for event in heard if isinstance(event, messages.Picture)]
    assert len(pictures) >= 1 + 1 + 2  # the source, something on the way, both results
    assert preview.finished() == [1, 3] and job.finished() == [] and preview.state.state == "new"
    sheet, _ = read_picture(preview.preview_picture)
    source, _ = read_picture(preview.source_picture)
    np.testing.assert_allclose(source[:, SIZE[0] :], picture(3), atol=0.5 / 255 + 1e-6)
    worker.send(messages.Run(str(job.folder)))
    assert listen(worker, ended)[-1] == messages.Ended(str(job.folder), "done", "")
    for number, frame in enumerate((1, 3)):
        assert preview.frame_path(frame).read_bytes() == job.frame_path(frame).read_bytes()
        shown = sheet[:, number * SIZE[0] : (number + 1) * SIZE[0]]
        np.testing.assert_array_equal(shown, read_picture(job.frame_path(frame))[0])


def test_a_preview_of_painted_keys_needs_only_its_frame_and_the_keys(worker: Worker, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job")
    preview = Job.create(tmp_path / "preview", "Preview", job.settings, {"preview": [1]})
    preview.add_key(1, job.key_path(1))
    worker.send(messages.Preview(str(preview.folder), str(job.shot_folder)))
    assert listen(worker, ended)[-1] == messages.Ended(str(preview.folder), "done", "")
    np.testing.assert_allclose(read_picture(preview.preview_picture)[0], 1.0 - picture(1), atol=1 / 255)
    outside = Job.create(tmp_path / "outside", "Preview", job.settings, {"preview": [99]})
    worker.send(messages.Preview(str(outside.folder), str(job.shot_folder)))
    last = listen(worker, ended)[-1]
    assert isinstance(last, messages.Ended) and "Frame 99 is not in the shot" in last.message


def test_paint_is_carried_through_the_shot_and_can_be_carried_again(worker: Worker, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", 4)
    worker.send(messages.Run(str(job.folder)))
    listen(worker, ended)
    before = frame_bytes(job)
    painted, _ = read_picture(job.frame_path(2))
    painted = painted.copy()
    painted[20:28, 18:26] = (1.0, 0.0, 0.0)  # on the disc
    write_file(tmp_path / "painted.png", encode_png(painted))
    job.add_retouch(2, tmp_path / "painted.png")
    worker.send(messages.Retouch(str(job.folder)))
    heard = listen(worker, ended)
    assert heard[-1] == messages.Ended(str(job.folder), "done", "")
    after = frame_bytes(job)
    assert {event.frame for event in heard if isinstance(event, messages.Frame)} == {1, 2, 3, 4}
    for frame in (1, 3, 4):
        red = (read_picture(job.frame_path(frame))[0] == (1.0, 0.0, 0.0)).all(-1)
        rows, columns = np.nonzero(red)
        assert 40 <= red.sum() <= 80, frame
        assert abs(rows.mean() - 23.5) < 1 and abs(columns.mean() - (21.5 + frame - 2)) < 1  # by estimated motion
    assert {path.name: path.read_bytes() for path in job.untouched_folder.iterdir()} == {
        f"{frame:06d}.png": content for frame, content in before.items()
    }
    with Image.open(job.frame_path(3)) as frame_3:
        frame_3.save(job.frame_path(3), compress_level=9)  # the same picture, as another encoder writes it
    assert frame_bytes(job) != after
    after = frame_bytes(job)
    worker.send(messages.Retouch(str(job.folder)))  # nothing is painted twice
    assert not [event for event in listen(worker, ended) if isinstance(event, messages.Frame)]
    assert frame_bytes(job) == after
    job.change(job.settings, {1: job.key_path(1)})
    assert job.retouches() == [] and not job.untouched_folder.exists()


def test_frames_are_written_as_openexr_too_where_that_is_asked_for(worker: Worker, tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", 3, exr=True)
    worker.send(messages.Run(str(job.folder)))
    assert listen(worker, ended)[-1] == messages.Ended(str(job.folder), "done", "")
    assert sorted(path.name for path in (job.folder / "exr").iterdir()) == ["000001.exr", "000002.exr", "000003.exr"]
    job.remove()
    assert not job.folder.exists()
