"""The active job in the status bar."""

import bpy

from ..operators import session
from . import jobs


def draw(header: bpy.types.Header, _context: bpy.types.Context) -> None:
    """Draw the job that is worked on, if one is."""
    job = next((job for job in session.current().jobs if job.active), None)
    if job is not None:
        row = header.layout.row(align=True)
        row.ui_units_x = 16
        row.progress(factor=job.progress, text=f"{job.name}: {jobs.doing(job)}", translate=False)
        jobs.draw_cancel(row, job)


def register() -> None:
    """Add to the status bar."""
    bpy.types.STATUSBAR_HT_header.append(draw)


def unregister() -> None:
    """Leave the status bar."""
    bpy.types.STATUSBAR_HT_header.remove(draw)
