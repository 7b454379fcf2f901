"""A small shot of footage on disk, as capture leaves one for a movie strip: pictures and no data layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.bridge.files import write_file, write_json
from backend.bridge.job import Job
from backend.bridge.settings import from_keywords
from backend.shot.pictures import encode_png

SIZE = (64, 48)


def picture(frame: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return frame ``frame`` of a textured disc that moves 1 px a frame over a textured ground."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    ground = 0.5 + 0.2 * np.sin(x / 3.1) * np.cos(y / 2.7)
    cx = width / 3 + frame
    disc = np.hypot(x - cx, y - height / 2) < height / 4
    spots = 0.5 + 0.4 * np.sin((x - cx) / 1.7) * np.sin(y / 2.3)
    return np.dstack([np.where(disc, spots, ground), ground, np.where(disc, 0.9, ground * 0.5)]).astype(np.float32)


def write_shot(folder: Path, frames: list[int], size: tuple[int, int] = SIZE) -> None:
    """Write the shot of ``frames`` into ``folder``, shot.json last."""
    (folder / "beauty").mkdir(parents=True, exist_ok=True)
    for frame in frames:
        write_file(folder / "beauty" / f"{frame:06d}.png", encode_png(picture(frame, size)))
    write_json(
        folder / "shot.json",
        {
            "format": 1, "name": "Disc", "source": "strip", "blender": "5.0.1", "frames": frames, "data_frames": [],
            "fps": 24.0, "size": list(size), "pixel_aspect": [1.0, 1.0], "alpha": False,
            "colour": {"display": "sRGB", "view_transform": "Standard", "look": "None", "exposure": 0.0, "gamma": 1.0},
            "cuts": [], "view_layer": "", "cameras": {}, "objects": [],
            "vector": {"trusted": False, "reason": "The strip has no render data."}, "notes": [],
        },
    )  # fmt: skip


def make_job(folder: Path, frames: int = 6, size: tuple[int, int] = SIZE, **settings: object) -> Job:
    """Make a job of the exemplar method over a shot of ``frames`` frames whose first is painted (its negative)."""
    job = Job.create(folder, "Disc", from_keywords("exemplar", **settings))
    write_shot(job.shot_folder, list(range(1, frames + 1)), size)
    write_file(job.key_path(1), encode_png(1.0 - picture(1, size)))
    return job
