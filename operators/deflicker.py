"""Operator: take the flicker out of any strip."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import bpy

from ..backend.bridge.deflickering import deflicker_job
from ..backend.bridge.errors import UserError
from ..backend.bridge.job import Job as JobFolder
from ..backend.bridge.settings import Settings, from_keywords
from . import timeline
from .job import Job
from .stylize import StartsJobs, check, launch, new_folder, stylize
from .versions import Strip, selected_strips, sequencer_scene


def deflicker(strip: Strip, run: Settings) -> Job:
    """Start a job that takes the flicker out of ``strip`` and return it.

    ``run`` are settings of the method "deflicker". A strip that shows one of Tempera's jobs is deflickered along the
    motion of that job's shot, exact where it was rendered; any other is captured, and its motion estimated.
    """
    made = shown_job(strip)
    if made is None:
        return stylize(strip, run, {})
    scene = strip.id_data
    check(scene, (), run, {})
    origin = {**made.source, "id": uuid.uuid4().hex, "blend": bpy.data.filepath, "scene": scene.name}
    origin["shot"] = str(made.shot_folder.absolute())
    folder = new_folder(strip.name, scene.tempera.folder)
    return launch(deflicker_job(made, folder.absolute(), run, origin), scene)


def shown_job(strip: Strip) -> JobFolder | None:
    """Return the job whose result ``strip`` shows; None where it shows none, or one that is gone."""
    folder = timeline.folder(strip)
    try:
        return JobFolder.open(Path(folder)) if folder else None
    except UserError:
        return None


class TEMPERA_OT_deflicker(StartsJobs, bpy.types.Operator):
    """Take the flicker out of the selected strips, each as a job of its own, and put the results above them."""

    bl_idname = "tempera.deflicker"
    bl_label = "Deflicker Strips"
    bl_description = (
        "Take the flicker out of the selected strips, wherever they come from, and put the results above them. Results "
        "of Tempera are deflickered along the exact motion of their shots"
    )
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Say what is missing."""
        if selected_strips(sequencer_scene(context)):
            return True
        cls.poll_message_set("No strip is selected. Select one that has pictures.")
        return False

    def start(self, context: bpy.types.Context) -> Iterator[Job]:
        """Start one job for each selected strip, as the panel is set where it is set to this method."""
        scene = sequencer_scene(context)
        chosen = scene.tempera
        run = chosen.settings() if chosen.method == "deflicker" else from_keywords("deflicker")
        return (deflicker(strip, run) for strip in selected_strips(scene))


classes = (TEMPERA_OT_deflicker,)
