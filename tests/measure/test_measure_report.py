"""The measure of a job folder, as an artist gets it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from backend.bridge.errors import UserError
from backend.bridge.files import write_file
from backend.bridge.job import Job
from backend.measure.report import measure, table
from backend.shot.pictures import encode_png, read_picture
from tests.footage import make_job, picture

SIZE = (96, 72)


def finish(job: Job, frames: int, style) -> Job:
    for frame in range(1, frames + 1):
        write_file(job.frame_path(frame), encode_png(style(frame)))
    return job


def noisy(seed: int, strength: float):
    def style(frame: int) -> np.ndarray:
        rng = np.random.default_rng((seed, frame))
        return 0.8 * picture(frame, SIZE)[..., ::-1] + strength * rng.normal(size=(*SIZE[::-1], 3))

    return style


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    steady = finish(make_job(folder / "steady", 10, SIZE), 10, noisy(0, 0.02))
    flickering = finish(make_job(folder / "flickering", 10, SIZE), 10, noisy(1, 0.1))
    return steady, flickering


def test_a_job_is_measured_against_an_independent_one(jobs):
    steady, flickering = jobs
    found = measure(steady.folder, flickering.folder)
    assert json.loads((steady.folder / "measure.json").read_text()) == found
    assert found["against"] == flickering.name
    assert 0.9 > found["plain_ratio"]["1"] > 0
    assert found["independent"]["1"] > 2 * found["change"]["1"]["mean"]
    assert found["floor"]["1"] is None  # footage has no surfaces that a texture could lie on
    assert found["passed"]["structure"] is None
    assert found["admissible"] in (None, False)
    text = table(found)
    assert "blur-equivalent ratio R" in text
    assert "consistency C" in text


def test_without_an_independent_run_the_table_says_what_it_lacks(jobs):
    found = measure(jobs[0].folder)
    assert found["ratio"] == dict.fromkeys(("1", "8", "first-last", "sigma"))
    assert "relative to an independent run" in table(found)
    assert found["change"]["1"]["mean"] > 0


def test_heat_maps_show_where_it_changes(jobs, tmp_path):
    job = make_job(tmp_path / "job", 10, SIZE)

    def style(frame: int) -> np.ndarray:
        image = picture(frame, SIZE)
        image[50:60, 70:80] += 0.2 * (frame % 2)  # flickers where nothing moves
        return image

    measure(finish(job, 10, style).folder)
    maps = sorted((job.folder / "heatmap").iterdir())
    assert [path.name for path in maps] == [f"{frame:06d}.png" for frame in range(1, 11)]
    heat = read_picture(maps[4])[0]
    assert heat.shape == (72, 96, 3)
    assert heat[52:58, 72:78].mean() > 0.5
    assert heat[52:58, 85:92].mean() < 0.2
    assert np.ptp(heat[0, 0]) < 0.01  # grey: nothing can be told at the border of the frame


def test_what_cannot_be_measured_is_said_in_a_sentence(jobs, tmp_path):
    unfinished = finish(make_job(tmp_path / "unfinished", 10, SIZE), 7, noisy(0, 0.1))
    with pytest.raises(UserError, match="7 of 10 frames"):
        measure(unfinished.folder)
    shorter = finish(make_job(tmp_path / "shorter", 6, SIZE), 6, noisy(0, 0.1))
    with pytest.raises(UserError, match="another shot"):
        measure(jobs[0].folder, shorter.folder)
    single = finish(make_job(tmp_path / "single", 1, SIZE), 1, noisy(0, 0.1))
    with pytest.raises(UserError, match="one frame"):
        measure(single.folder)
    write_file(unfinished.frame_path(8), encode_png(np.zeros((10, 10, 3))))
    finish(unfinished, 7, noisy(0, 0.1))
    for frame in (9, 10):
        write_file(unfinished.frame_path(frame), encode_png(np.zeros((72, 96, 3))))
    with pytest.raises(UserError, match="10 x 10 pixels"):
        measure(unfinished.folder)
