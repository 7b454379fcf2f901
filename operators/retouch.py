"""Operators: paint over a finished frame in the Image Editor, and carry the paint through the shot."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import IntProperty

from ..backend.bridge.errors import UserError
from .job import Job
from .jobs import OfOneJob, find_job
from .preview_job import fill, image_editors
from .stylize import StartsJobs

NOTE = "tempera"  # the custom property of an image: which frame of which job it is


def edited(context: bpy.types.Context) -> bpy.types.Image | None:
    """Return the finished frame that is open for painting: the editor's under the mouse, else the last one opened."""
    here = getattr(context.space_data, "image", None)
    if here is not None and NOTE in here:
        return here
    return next((image for image in reversed(bpy.data.images) if NOTE in image), None)


def open_frame(job: Job, frame: int) -> bpy.types.Image:
    """Return an image of finished ``frame``, packed, so that painting and saving leave the job's own file alone."""
    image = bpy.data.images.load(str(job.files.frame_path(frame)))
    image.name = f"{job.name} {frame}"
    image.pack()
    image.filepath_raw = ""
    image[NOTE] = {"folder": str(job.folder), "frame": frame}
    return image


def put_away(image: bpy.types.Image, key: Path) -> None:
    """Remove ``image``; the Image Editors in which it was painted on show the picture ``key`` from now on."""
    shown = bpy.data.images.load(str(key), check_existing=True)
    for area in image_editors():
        if area.spaces[0].image == image:
            area.spaces[0].image, area.spaces[0].mode = shown, "VIEW"
    bpy.data.images.remove(image)


class TEMPERA_OT_edit_frame(OfOneJob, bpy.types.Operator):
    """Open a finished frame for painting."""

    bl_idname = "tempera.edit_frame"
    bl_label = "Edit Key Frame"
    bl_description = "Open the finished frame at the playhead in the Image Editor, to paint over it"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    frame: IntProperty(
        name="Frame",
        description="The frame to paint over; by default the finished one nearest to the playhead",
        options={"SKIP_SAVE"},
    )

    def act(self, context: bpy.types.Context, job: Job) -> None:
        """Open the frame and let an Image Editor show it, ready to paint."""
        if job.state != "done":
            raise UserError(f"{job.name} is not finished. Resume it, then edit its frames.")
        wanted = self.frame if self.properties.is_property_set("frame") else (job.scene or context.scene).frame_current
        image = open_frame(job, min(job.finished, key=lambda frame: (abs(frame - wanted), frame)))
        if not bpy.app.background and not image_editors():
            bpy.ops.render.view_show("INVOKE_DEFAULT")
        for area in image_editors()[:1]:
            area.spaces[0].image = image
            area.spaces[0].mode = "PAINT"
            fill(area)


class TEMPERA_OT_use_as_key(StartsJobs, bpy.types.Operator):
    """Carry what was painted over a finished frame to all frames that show it."""

    bl_idname = "tempera.use_as_key"
    bl_label = "Use as Key"
    bl_description = "Carry what you painted over this frame along the motion to all frames that show it"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Say that there is nothing to use."""
        if edited(context) is None:
            cls.poll_message_set("No finished frame is open. Edit one of a job's key frames first.")
            return False
        return True

    def start(self, context: bpy.types.Context) -> list[Job]:
        """Save the image into the job and let the worker carry the paint."""
        image = edited(context)
        if image is None:
            return []
        note = image[NOTE].to_dict()
        job = find_job(context, note["folder"])
        with tempfile.TemporaryDirectory(dir=bpy.app.tempdir) as folder:
            path = Path(folder) / "painted.png"
            image.file_format = "PNG"
            image.save(filepath=str(path))
            job.retouch(note["frame"], path)
        put_away(image, job.files.retouches()[-1][2])
        return [job]


classes = (TEMPERA_OT_edit_frame, TEMPERA_OT_use_as_key)
