"""A contact sheet: some frames of a job, source above result, on one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..bridge.errors import UserError
from ..bridge.files import write_file
from ..bridge.job import Job
from ..shot.pictures import encode_png, read_picture
from ..shot.shot import Shot

GAP = 4  # px between pictures
BACKGROUND = 0.12


def contact_sheet(folder: Path, target: Path, count: int = 6, columns: int = 3) -> None:
    """Write a PNG to ``target`` with ``count`` frames of the job in ``folder``, evenly spread over the shot.

    ``columns`` frames stand side by side, each with its source above it. UserError when none is finished.
    """
    job = Job.open(folder)
    shot = Shot.open(job.shot_folder)
    finished = job.finished()
    if not finished:
        raise UserError(f"The job {job.name} has no finished frame yet. Run it first.")
    picks = [finished[round(i)] for i in np.linspace(0, len(finished) - 1, min(count, len(finished)))]
    rows = []
    for start in range(0, len(picks), columns):
        band = picks[start : start + columns]
        rows += [[shot.beauty(frame) for frame in band], [read_picture(job.frame_path(frame))[0] for frame in band]]
    write_file(target, encode_png(tiled(rows)))


def tiled(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Return pictures of one size, given row by row, as one picture with gaps between them."""
    height, width = rows[0][0].shape[:2]
    sheet = np.full(
        (len(rows) * (height + GAP) + GAP, len(rows[0]) * (width + GAP) + GAP, 3), BACKGROUND, dtype=np.float32
    )
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = GAP + y * (height + GAP), GAP + x * (width + GAP)
            sheet[top : top + height, left : left + width] = picture
    return sheet
