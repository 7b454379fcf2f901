"""From a scene or a strip to a running job: what a script calls, and the two operators that artists click."""

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import bpy

from ..backend.bridge.errors import UserError
from ..backend.bridge.job import Job as JobFolder
from ..backend.bridge.settings import Settings
from ..preferences import jobs_folder, preferences, worker_python
from ..properties.problems import key_problem, linked_problem, missing_key
from . import session
from .capture import check_cameras, frames_seen
from .following import mark, source_of, standing_of
from .job import Job
from .objects import resolved
from .over_time import as_set
from .render_beauty import png_header
from .render_tools import frame_size
from .reporting import attempt
from .versions import Strip, handles, selected_strips, sequencer_scene, show_in_sequencer

LONGEST_FOLDER = 960  # bytes: Blender's own paths end at 1024, and the frames lie below the folder


def stylize(
    source: bpy.types.Scene | Strip,
    run: Settings,
    keys: Mapping[int, Path],
    *,
    folder: Path | None = None,
    frames: Iterable[int] | None = None,
    beauty: str = "",
) -> Job:
    """Start a job for the scene or strip ``source`` and return it.

    ``keys`` are the key frames, PNG files by frame. ``folder`` is the job's, a new one beside the file when None.
    ``frames`` are the frames of a scene, its own range and step when None. ``beauty`` names frames of a scene that are
    rendered already (see :func:`~.capture.capture_scene`). UserError when something is missing; then nothing is made.
    """
    scene, strip = (source, None) if isinstance(source, bpy.types.Scene) else (source.id_data, source)
    if strip and (frames is not None or beauty):
        raise UserError("A strip is always taken as it is. Trim it to choose its frames.")
    if strip and strip.type != "SCENE" and run.objects:
        raise UserError("Footage has no objects that could be told apart. Leave them out.")
    wanted = sorted(set(frames)) if frames is not None else frames_of(source)
    if strip:
        frames_seen(strip)
    else:
        check_cameras(scene, wanted)
    run = resolved(run)
    check(scene, wanted, run, keys)
    name = strip.name if strip else scene.name
    if folder:
        check_length(folder)
    folder = folder or new_folder(name, scene.tempera.folder)
    if strip:
        mark(strip)
    origin = origin_of(source) | {"frames": None if strip else wanted, "beauty": beauty}
    return launch(make_files(folder.absolute(), run, origin, keys), scene)


def make_files(folder: Path, run: Settings, origin: dict[str, Any], keys: Mapping[int, Path]) -> JobFolder:
    """Make the folder of a new job with its key frames; UserError, and nothing left of it, where that fails."""
    files = JobFolder.create(folder, folder.name, run, origin)
    try:
        for frame, path in keys.items():
            files.add_key(frame, path)
    except UserError:
        files.remove()
        raise
    return files


def launch(files: JobFolder, scene: bpy.types.Scene) -> Job:
    """Start the new job in ``files`` for ``scene`` and return it; UserError, and nothing left of it, where it fails."""
    here = session.current()
    job = here.add(files, scene)
    try:
        job.resume()
    except UserError:
        here.forget(job)
        files.remove()
        raise
    scene.tempera.last_job = str(files.folder)
    return job


def origin_of(source: bpy.types.Scene | Strip) -> dict[str, Any]:
    """Return what a new job notes of the scene or strip that it comes from."""
    is_scene = isinstance(source, bpy.types.Scene)
    return {
        "id": uuid.uuid4().hex,
        "blend": bpy.data.filepath,
        "scene": source.name if is_scene else source.id_data.name,
        "strip": "",
        "at": [],
        **({} if is_scene else standing_of(source)),
    }


def restyle(job: Job, run: Settings, keys: Mapping[int, Path]) -> Job:
    """Run ``job`` again on the same captured shot, with other settings and key frames; its strip is kept.

    UserError when it runs, or when something that it needs is missing.
    """
    if job.active:
        raise UserError(f"{job.name} is running. Cancel it first.")
    if not job.captured:
        raise UserError(f"The shot of {job.name} is not whole yet. Resume it first.")
    if job.scene:
        check(job.scene, job.shot_frames, run, keys)
    job.files.change(run, keys)
    return job.resume()


def rerun(job: Job) -> Job:
    """Render the shot of ``job`` anew and stylize it with the same settings and key frames, as a new job.

    UserError when its scene or strip is not in the open file, or something else is missing.
    """
    scene, source = job.scene, job.files.source
    if scene is None:
        raise UserError(f"The scene of {job.name} is not in this file. Open its file first.")
    keys = {frame: job.files.key_path(frame) for frame in job.files.key_frames()}
    if not source.get("strip"):
        frames, beauty = source.get("frames"), str(source.get("beauty", ""))
        return stylize(scene, job.files.settings, keys, frames=frames, beauty=beauty)
    strip = source_of(scene, source)
    if strip is None:
        raise UserError(f"The strip {source['strip']} is gone. Bring it back, then run again.")
    return stylize(strip, job.files.settings, keys)


def frames_of(source: bpy.types.Scene | Strip) -> list[int]:
    """Return the frames of a scene, by its range and step, or of a strip, by its handles on the timeline."""
    if isinstance(source, bpy.types.Scene):
        return list(range(source.frame_start, source.frame_end + 1, source.frame_step))
    return list(range(*handles(source)))


def new_folder(name: str, place: str = "") -> Path:
    """Make and return an empty folder for a new job: ``name`` and the first free number, see ``jobs_folder``.

    UserError when it cannot be made.
    """
    parent = jobs_folder(place)
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:60]
    number = 1
    while True:
        folder = parent / f"{plain}-{number:03d}"
        check_length(folder)
        try:
            folder.mkdir(parents=True)  # making it is claiming it: another Blender may count too
        except FileExistsError:
            number += 1
        except OSError as error:
            raise UserError(f"{parent} cannot be written ({error.strerror}). Choose another jobs folder.") from error
        else:
            return folder


def check_length(folder: Path) -> None:
    """Raise UserError where Blender could not name the frames in a job's ``folder``."""
    if len(os.fsencode(folder)) > LONGEST_FOLDER:
        raise UserError(f"The path of the job's folder {folder.name} is too long for Blender. Choose a shorter one.")


def check(scene: bpy.types.Scene, frames: Sequence[int], run: Settings, keys: Mapping[int, Path]) -> None:
    """Raise UserError for what would only come to light after the shot is rendered."""
    worker_python(preferences().worker_python)
    problem = linked_problem(scene) or (key_problem(frames, keys) if run.method == "exemplar" else "")
    if problem:
        raise UserError(problem)
    for frame, path in keys.items():
        if frame not in frames:
            raise UserError(f"There is a key of frame {frame}, but the shot has no such frame. Remove that key.")
        _check_key(frame, path, frame_size(scene))


def _check_key(frame: int, path: Path, size: tuple[int, int]) -> None:
    if not path.is_file():
        raise UserError(missing_key(frame, path))
    header = png_header(path)
    if header is None:
        raise UserError(f"The key of frame {frame} is no PNG: {path.name}. Save it as PNG.")
    if header[:2] != size:
        raise UserError(
            f"The key of frame {frame} is {header[0]} x {header[1]} pixels, the shot {size[0]} x {size[1]}. "
            "Paint it at the shot's size."
        )


class StartsJobs:
    """Mixed into the operators that start jobs: they wait in background, and listen for Esc in the window."""

    bl_options: ClassVar = {"REGISTER"}

    def start(self, context: bpy.types.Context) -> Iterable[Job]:
        """Start the jobs and return them; those before one that cannot be started go on."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start the jobs; in background, where nothing else would drive them, also wait for them."""

        def act() -> None:
            for job in self.start(context):
                if bpy.app.background:
                    job.wait()

        return attempt(self, act)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Start the jobs and listen for Esc while they run."""
        self._jobs: list[Job] = []

        def act() -> None:
            for job in self.start(context):
                self._jobs.append(job)

        outcome = attempt(self, act)
        if not self._jobs:
            return outcome
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Cancel the jobs on Esc, unless it stops the playback; let everything else through."""
        active = [job for job in self._jobs if job.active]
        if not active and event.type == "MOUSEMOVE":  # Blender lets nothing see the event that ends an operator
            attempt(self, lambda: [job.wait() for job in self._jobs])  # returns at once, or says why one failed
            return {"FINISHED", "PASS_THROUGH"}
        if not active or event.type != "ESC" or event.value != "PRESS" or context.screen.is_animation_playing:
            return {"PASS_THROUGH"}
        for job in active:
            job.cancel()
        return {"FINISHED"}


class TEMPERA_OT_stylize_render(StartsJobs, bpy.types.Operator):
    """Render the scene's frame range with its motion, paint it, and put it into the sequencer."""

    bl_idname = "tempera.stylize_render"
    bl_label = "Stylize Render"
    bl_description = "Render the frame range with its exact motion, stylize it, and put it into the sequencer"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Say what is missing."""
        problems = context.scene.tempera.render_problems()
        if problems:
            cls.poll_message_set(problems[0].text)
        return not problems

    def start(self, context: bpy.types.Context) -> list[Job]:
        """Start one job for the scene."""
        scene = context.scene
        show_in_sequencer(context, scene)
        return [_stylize_as_set(scene, scene)]


class TEMPERA_OT_stylize_strips(StartsJobs, bpy.types.Operator):
    """Paint the selected strips, each as a job of its own, and put the results above them."""

    bl_idname = "tempera.stylize_strips"
    bl_label = "Stylize Strips"
    bl_description = "Stylize the selected strips, one after the other, and put the results above them"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Say what is missing."""
        scene = sequencer_scene(context)
        problems = scene.tempera.strip_problems([range(*handles(strip)) for strip in selected_strips(scene)])
        if problems:
            cls.poll_message_set(problems[0].text)
        return not problems

    def start(self, context: bpy.types.Context) -> Iterator[Job]:
        """Start one job for each selected strip."""
        scene = sequencer_scene(context)
        return (_stylize_as_set(scene, strip) for strip in selected_strips(scene))


def _stylize_as_set(scene: bpy.types.Scene, source: bpy.types.Scene | Strip) -> Job:
    """Start a job as the panel is set, with those of the scene's key frames that lie in the shot."""
    frames = set(frames_of(source))
    keys = {frame: path for frame, path in scene.tempera.key_paths().items() if frame in frames}
    return stylize(source, as_set(source, frames), keys)


classes = (TEMPERA_OT_stylize_render, TEMPERA_OT_stylize_strips)
