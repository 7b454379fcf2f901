"""What happens to the file: it is opened, saved, changed, undone or rendered, and the session takes it in."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
from bpy.app.handlers import persistent

from ..backend.bridge.errors import UserError
from ..backend.bridge.job import Job as JobFolder
from ..preferences import jobs_folder, preferences, worker_problem
from . import session, timeline, timers
from .job import Job

RELEASE_SECONDS = 2.0  # at most, for memory that a render needs
TAKE_SECONDS = 0.01  # between two jobs that are found, so that the window stays alive over hundreds of them


@dataclass(frozen=True)
class Search:
    """What jobs of an opened file are known by: its path, its scenes, the folders for jobs, and those that it names."""

    blend: str
    scenes: frozenset[str]
    places: frozenset[Path]
    named: tuple[tuple[Path, str], ...]  # a job's folder and its scene; the last one is drawn first

    @classmethod
    def here(cls) -> Search:
        """Return the search for the jobs of the open file."""
        scenes = bpy.data.scenes
        places = {jobs_folder(), *(jobs_folder(scene.tempera.folder) for scene in scenes)}
        named = [(each, scene.name) for scene in scenes for each in (*timeline.folders(scene), scene.tempera.last_job)]
        return cls(
            bpy.data.filepath,
            frozenset(scene.name for scene in scenes),
            frozenset(places),
            tuple((Path(bpy.path.abspath(each)), name) for each, name in named if each),
        )

    def run(self) -> Iterator[tuple[JobFolder, str]]:
        """Yield the jobs with the names of their scenes: those that came from the file, oldest first, then the named.

        So a job is known again whose strip was never saved. Of files that were never saved only those that did not end
        and that no Blender has.
        Asks nothing of Blender: it may run in a thread.
        """
        specs: list[tuple[float, Path]] = []
        for place in self.places:
            with contextlib.suppress(OSError):  # a drive that is not there has no jobs
                specs += [(spec.stat().st_mtime, spec) for spec in place.glob("*/job.json")]
        for _, spec in sorted(specs):
            with contextlib.suppress(UserError):  # a job that is gone or cannot be read is none
                files = JobFolder.open(spec.parent)
                if self._is_of_this_file(files):
                    yield files, str(files.source["scene"])
        for folder, scene in self.named:
            with contextlib.suppress(UserError):
                yield JobFolder.open(folder), scene

    def _is_of_this_file(self, files: JobFolder) -> bool:
        here, blend = self.blend, str(files.source.get("blend", ""))
        moved_along = Path(here).name == Path(blend).name and files.folder.parent == Path(here).parent / "tempera"
        same = blend == here and (here or (files.state.state != "done" and not files.in_use))
        return str(files.source.get("scene")) in self.scenes and bool(same or (here and moved_along))


_search: Search | None = None
_found: queue.SimpleQueue[tuple[Search, JobFolder | None, str]] = queue.SimpleQueue()


@persistent
def _after_load(_path: str) -> None:
    """Let the jobs find their scenes, and find out which belong to the file that was opened."""
    global _search  # noqa: PLW0603 - the last one counts
    here = session.current()
    worker_problem.cache_clear()
    worker_problem(preferences().worker_python)
    here.drop_preview()
    for job in here.jobs:
        job.settle(job.scene_after_load())
    here.list_jobs()  # the window may have come with the file, which lists what was known when it was saved
    here.look_after_strips()
    _search = Search.here()
    looking = threading.Thread(target=_look, args=(_search,), daemon=True)
    looking.start()
    if bpy.app.background:
        looking.join()
        while _take() is not None:
            pass
    else:
        timers.start(_take)


def _look(search: Search) -> None:
    try:
        for files, scene in search.run():
            _found.put((search, files, scene))
    finally:
        _found.put((search, None, ""))


def _take() -> float | None:
    """Know one of the jobs that were found, as long as the file is open that they were looked for."""
    try:
        search, files, name = _found.get_nowait()
    except queue.Empty:
        return TAKE_SECONDS
    scene = bpy.data.scenes.get(name)
    if search is _search and files and scene and not session.current().find(files.folder):
        with contextlib.suppress(UserError):  # a shot that cannot be read; a timer that raises is never called again
            _note_saved([session.current().add(files, scene)])  # its strip may have come from a file that never was
    return None if search is _search and files is None else TAKE_SECONDS


def _look_around() -> None:
    """Know the jobs of the file that was open when Tempera was switched on."""
    _after_load(bpy.data.filepath)


@persistent
def _after_save(_path: str) -> None:
    _note_saved(session.current().jobs)


def _note_saved(jobs: Iterable[Job]) -> None:
    """Let ``jobs`` belong to the file that was saved. A thread tells their folders, and Blender ends after it."""
    homeless = [job for job in jobs if job.note_saved()]

    def tell() -> None:
        for job in homeless:
            job.write_home()

    telling = threading.Thread(target=tell)
    if homeless:
        telling.start()
        if bpy.app.background:
            telling.join()


@persistent
def _after_undo(_scene: bpy.types.Scene) -> None:
    """Bring the strips up to date: undo also took back what they have grown since."""
    for job in session.current().jobs:
        job.stale = True
    session.current().look_after_strips()


@persistent
def _after_change(scene: bpy.types.Scene, _depsgraph: bpy.types.Depsgraph) -> None:
    if scene.sequence_editor:
        session.current().look_after_strips()


@persistent
def _before_render(_scene: bpy.types.Scene) -> None:
    """Leave the memory to the render. Nothing is drawn: this is told in the render's own thread, which can wait."""
    if session.current().idle:
        session.current().release(RELEASE_SECONDS)


_HANDLERS = (
    (bpy.app.handlers.load_post, _after_load),
    (bpy.app.handlers.depsgraph_update_post, _after_change),
    (bpy.app.handlers.render_init, _before_render),
    (bpy.app.handlers.save_post, _after_save),
    (bpy.app.handlers.undo_post, _after_undo),
    (bpy.app.handlers.redo_post, _after_undo),
)


def register() -> None:
    """Begin to follow what happens to the file."""
    for handlers, handler in _HANDLERS:
        handlers.append(handler)
    timers.start(_look_around)


def unregister() -> None:
    """Follow nothing any more."""
    for handlers, handler in _HANDLERS:
        handlers.remove(handler)
    for timer in (_look_around, _take):
        timers.stop(timer)
