"""This Blender's jobs and its one worker: what runs, what waits, how far it is.

Everything here is plain Python that undo, redo and the loading of files pass by. One timer drives it on the main
thread; where timers do not fire (in background, or while a script waits), :meth:`Job.wait` does.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import bpy

from ..backend.bridge import messages
from ..backend.bridge.client import Worker
from ..backend.bridge.errors import UserError
from ..backend.bridge.job import Job as JobFolder
from ..preferences import preferences, user_folder, worker_python
from . import answers, following, timeline, timers
from .costs import Costs
from .job import Job, rendering
from .preview_job import Preview
from .standing import Question
from .thumbnails import Thumbnails

TICK_SECONDS = 0.1
STOPPED = "Stopped. Resume to go on; finished frames are kept."
IDLE_SECONDS = 1.0  # between two looks at an idle worker
_ROOT = Path(__file__).resolve().parent.parent  # the folder that holds ``backend``


class Session:
    """The jobs that this Blender knows, in the order in which they were started, and the worker."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self._worker: Worker | None = None
        self._log: Path | None = None  # takes the worker's words
        self._dying: Worker | None = None  # the last that was ended; it is the worker still where it had work
        self._running: Job | None = None
        self.preview: Preview | None = None  # a look at some frames, which goes before all jobs that wait
        self._moved = False  # whether strips may have been moved that others follow
        self._costs: Costs | None = None
        self._thumbnails: Thumbnails | None = None

    @property
    def costs(self) -> Costs:
        """What runs cost on this machine."""
        if self._costs is None:
            self._costs = Costs(user_folder() / "costs.json")
        return self._costs

    @property
    def thumbnails(self) -> Thumbnails:
        """The pictures of the jobs."""
        if self._thumbnails is None:
            self._thumbnails = Thumbnails()
        return self._thumbnails

    @property
    def idle(self) -> bool:
        """Whether a worker waits for work, and holds memory meanwhile."""
        return self._worker is not None and self._running is None

    @property
    def _clearing(self) -> bool:
        """Whether a worker that was ended is not gone yet: until then it holds memory, and the job it worked on."""
        dying = self._dying
        return dying is not None and (dying is self._worker or dying.alive)

    def free(self) -> None:
        """Let an idle worker leave, with all the memory that it holds; the next run starts another."""
        if self.idle:
            self._lose_worker()
            redraw()

    def find(self, folder: Path) -> Job | None:
        """Return the job in ``folder``, None when this session does not know it."""
        return next((job for job in self._all if job.folder == folder), None)

    def add(self, files: JobFolder, scene: bpy.types.Scene | None) -> Job:
        """Know a job from now on, and return it; it rests until :meth:`start`."""
        job = Job(self, files, scene)
        job.take_stock()
        job.stay_open()
        self.thumbnails.take(job)
        self.jobs.append(job)
        self.list_jobs()
        self.look_after_strips()
        return job

    def show_preview(self, files: JobFolder, scene: bpy.types.Scene, shot: Path | None) -> Preview:
        """Start a preview (see :class:`Preview`) in the place of the last one, and return it."""
        self.drop_preview()
        self.preview = Preview(self, files, scene, shot)
        self.start(self.preview)
        return self.preview

    def drop_preview(self) -> None:
        """End the preview, if there is one, and delete what it made."""
        last, self.preview = self.preview, None
        if last is not None:
            if last.active:
                self.cancel(last)
            last.drop()

    @property
    def _all(self) -> list[Job]:
        """The preview, if there is one, and the jobs."""
        return [*filter(None, [self.preview]), *self.jobs]

    def start(self, job: Job) -> None:
        """Let ``job`` capture what is not captured, then wait for the worker; UserError when it runs already."""
        if job.active:
            raise UserError(f"{job.name} is running already. Wait for it, or cancel it first.")
        job.begin(held=self._clearing and job.files.held)
        self.wake()

    def ask(self, job: Job, question: Question) -> None:
        """Let the worker answer ``question`` about ``job`` when its turn comes; UserError when ``job`` runs."""
        if job.active:
            raise UserError(f"{job.name} is running. Wait for it, or cancel it first.")
        job.ask(question)
        self.wake()

    def cancel(self, job: Job) -> None:
        """Stop ``job``; the worker's at the end of its present step, or at once when it was asked before."""
        if job is not self._running:
            job.drop_capture()
            if job.active:
                job.rest("cancelled", STOPPED)
        elif self._worker is not None and (job.makes_way or not job.stopping):
            job.stopping, job.makes_way = True, False
            with contextlib.suppress(UserError):  # it has died: the next tick tells
                self._worker.send(messages.Cancel(str(job.folder)))
        elif self._worker is not None:
            self._dying = self._worker
            self._worker.kill()  # it holds the job until it is gone: listening tells
        self.wake()

    def forget(self, job: Job) -> None:
        """Know ``job`` no longer; UserError while it runs."""
        if job.active:
            raise UserError(f"{job.name} is running. Cancel it first.")
        job.let_go()
        self.jobs.remove(job)
        self.list_jobs()

    def list_jobs(self) -> None:
        """Let the window list the jobs, the newest first."""
        bpy.context.window_manager.tempera.show([str(job.folder) for job in reversed(self.jobs)])

    def tick(self) -> bool:
        """Do a little of everything that is due; return whether there is more to come."""
        if rendering():
            self._make_way()
        before = [(job.active, job.state, job.note, job.progress) for job in self._all]
        self._capture_next()
        self._listen()
        self._run_next()
        self._show_next()
        self._follow()
        if before != [(job.active, job.state, job.note, job.progress) for job in self._all]:
            redraw()
        return self._moved or any(job.active or job.stale for job in self._all)

    def _capture_next(self) -> None:
        job = next((job for job in self._all if job.state == "capturing"), None)
        if job is not None:
            try:
                job.go_on_capturing()
            except UserError as error:
                job.drop_capture()
                job.rest("failed", str(error))

    def _listen(self) -> None:
        worker = self._worker  # which a render's thread may take away while it is idle
        if worker is None:
            return
        try:
            events = worker.poll()
        except UserError as error:
            job, ended = self._running, worker is self._dying
            self._lose_worker("" if ended else str(error))
            if job is not None and ended:
                job.rest("cancelled", STOPPED)
            return
        for event in events:
            if self._running is not None and getattr(event, "job", None) == str(self._running.folder):
                job = self._running
                job.hear(event)
                if isinstance(event, messages.Ended):
                    self._running = None
                    self._learn(job, event)

    def _learn(self, job: Job, event: messages.Ended) -> None:
        if job not in self.jobs:
            return
        self.thumbnails.take(job)
        if job.state == event.state == "done":
            self.costs.learn(job.files.settings, answers.report(job.files))

    def _make_way(self) -> None:
        """Leave the GPU to a render: what runs stops after its step, and goes on when the render is done."""
        self.free()
        job = self._running
        if self._worker is not None and job is not None and job.question is None and not job.stopping:
            job.stopping = job.makes_way = True
            with contextlib.suppress(UserError):  # it has died: listening tells
                self._worker.send(messages.Cancel(str(job.folder)))

    def _run_next(self) -> None:
        if rendering():
            return
        job = next((job for job in self._all if job.state == "ready" or job.question is not None), None)
        if job is None or self._running is not None:
            return
        if self._clearing:
            job.note = "Waiting for the last worker to end"
            return
        self._running = job  # from now on no render's thread takes the worker away
        try:
            if self._worker is None:
                python = worker_python(preferences().worker_python)
                self._log = user_folder() / f"worker-{os.getpid()}.log"
                self._worker = Worker.start(python, _ROOT, self._log)
            self._worker.send(job.request)
        except UserError as error:
            self._lose_worker()
            job.rest("failed", str(error))
            return
        job.hand_over()

    def _lose_worker(self, reason: str = "") -> None:
        """Bury the worker, if there is one; the job that it worked on fails for ``reason``."""
        if self._worker is not None:
            self._worker.kill()
            self._worker, self._dying = None, self._worker
        job, self._running = self._running, None
        if job is not None and reason:
            job.rest("failed", reason)

    def _show_next(self) -> None:
        """Bring at most one strip up to date, and none while Blender renders, which would not survive it."""
        job = next((job for job in self._all if job.stale), None)
        if job is not None and not rendering():
            with apart():
                job.show()

    def look_after_strips(self) -> None:
        """Let results follow their sources, which may have been moved, as soon as that can be."""
        self._moved = True
        self.wake()

    def _follow(self) -> None:
        if self._moved and not following.dragging() and not rendering():
            self._moved = False
            misfits: dict[str, str] = {}
            for scene in bpy.data.scenes:
                if scene.library is None:
                    with apart():
                        misfits |= {timeline.shown(strip): source for strip, source in following.follow(scene)}
            for job in self.jobs:
                job.note_speeds(misfits.get(timeline.job_id(job.files), ""))

    def wake(self) -> None:
        """Let the timer go on, if it does not."""
        timers.start(_timer)

    def fail(self, message: str) -> None:
        """Let every active job fail for one reason."""
        self._lose_worker()
        for job in self._all:
            if job.active:
                job.drop_capture()
                job.rest("failed", message)

    def release(self, patience: float = 0.0) -> None:
        """End the worker while it has nothing to do, so that it holds no memory and no file; UserError while it has.

        It is waited for ``patience`` seconds at most.
        """
        if self._running is not None:
            raise UserError(f"{self._running.name} is worked on. Wait for it, or cancel it first.")
        worker = self._worker
        if worker is not None:
            self._lose_worker()
            worker.wait(patience)

    def close(self) -> None:
        """End the worker and the captures, and let go of all jobs; what was active can be resumed."""
        self.drop_preview()
        self._lose_worker()
        for job in self._all:
            if job.active:
                job.drop_capture()
                job.rest("cancelled", "Stopped when Tempera was switched off. Resume to go on.")
        for job in self.jobs:
            job.let_go()
        if self._log is not None:
            with contextlib.suppress(OSError):  # Windows removes nothing that the worker, which is on its way, holds
                self._log.unlink(missing_ok=True)
        if self._thumbnails is not None:
            self._thumbnails.close()
        self._log = self._thumbnails = None


_session = Session()


def current() -> Session:
    """Return this Blender's session."""
    return _session


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Do what no run depends on: what goes wrong in the sequencer is told on the console, and stops no job."""
    try:
        yield
    except Exception:  # noqa: BLE001 - the boundary
        traceback.print_exc()


def redraw() -> None:
    """Draw again what shows jobs."""
    for window in bpy.context.window_manager.windows:
        if all(each.bl_idname.startswith("TEMPERA_OT_") for each in window.modal_operators):
            with bpy.context.temp_override(window=window):  # the only way to have the status bar drawn again; a tool
                window.workspace.status_text_set_internal(None)  # at work there has words of its own in it
        for area in window.screen.areas:
            if area.type in {"PROPERTIES", "SEQUENCE_EDITOR"}:
                for region in area.regions:
                    if region.type == ("UI" if area.type == "SEQUENCE_EDITOR" else "WINDOW"):
                        region.tag_redraw()


def _timer() -> float | None:
    try:
        busy = _session.tick()
    except Exception as error:  # noqa: BLE001 - the boundary: a timer that raises is never called again
        traceback.print_exc()
        _session.fail(f"Tempera met an error of its own ({error}). See the system console; finished frames are kept.")
        return None
    if busy:
        return TICK_SECONDS
    return IDLE_SECONDS if _session.idle else None


def reopen() -> None:
    """Have the jobs open again that were known when Tempera was switched off."""
    for job in _session.jobs:
        job.stay_open()


def close() -> None:
    """End the worker, the captures and the timer, and let other Blenders have the jobs."""
    timers.stop(_timer)
    _session.close()
