"""The worker: runs one job at a time, told what to do on standard input, telling what it did on standard output.

The process may be killed at any moment: everything that counts is in the job folder (see ``bridge.job``).
"""

from __future__ import annotations

import importlib
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .bridge import VERSION, allocator, messages
from .bridge.errors import UserError
from .bridge.files import write_file, write_json
from .bridge.job import Job, State
from .bridge.messages import PROTOCOL, Message, Work
from .bridge.resident import most_resident
from .methods import FrameDone, Step
from .shot.exr import write_picture as write_exr
from .shot.pictures import encode_png, levels, read_picture
from .shot.shot import Shot

HEARTBEAT_SECONDS = 1.0

Emit = Callable[[Message], None]


def run_job(folder: Path, emit: Emit, cancelled: Callable[[], bool]) -> State:
    """Work on the job in ``folder`` until it is done, failed or cancelled, and return where it came to rest.

    Frames that are already finished are kept. ``cancelled`` is asked at the end of every step.
    """

    def run(job: Job) -> State:
        job.write_state(State("running"))
        state = _work(job, emit, cancelled)
        job.write_state(state)
        return state

    def note_failure(job: Job, state: State) -> None:
        try:
            job.write_state(state)
        except UserError as error:  # a full disk cannot even hold the state; the event still tells the artist
            job.log(str(error))

    return _attempt(folder, emit, run, note_failure)


def answer(
    question: messages.Measure | messages.SuggestKeys | messages.ContactSheet, emit: Emit, cancelled: Callable[[], bool]
) -> State:
    """Find out what is asked about a job and leave it in its folder; return how that ended.

    The job's own state stays as it is. ``cancelled`` is asked at the end of every step.
    """

    def tell(step: Step) -> None:
        emit(messages.Progress(question.job, step.done, step.total, step.note))
        if cancelled():
            raise _CancelledError

    def find_out(job: Job) -> State:
        try:
            if isinstance(question, messages.Measure):
                against = Path(question.against) if question.against else None
                importlib.import_module(".measure.report", __package__).measure(job.folder, against, tell)
            elif isinstance(question, messages.ContactSheet):
                sheets = importlib.import_module(".measure.contact_sheet", __package__)
                sheets.contact_sheet(job.folder, Path(question.path))
            else:
                importlib.import_module(".measure.coverage", __package__).suggest_keys(job.folder, question.most, tell)
        except _CancelledError:
            return State("cancelled")
        return State("done")

    return _attempt(Path(question.job), emit, find_out)


def preview(request: messages.Preview, emit: Emit, cancelled: Callable[[], bool]) -> State:
    """Paint the few frames of a preview, showing them as they form; return how that ended."""

    def paint(job: Job) -> State:
        frames = [int(frame) for frame in job.source["preview"]]
        shot = Shot.open(Path(request.shot))
        if not job.source.get("whole"):
            shot = shot.only({*frames, *job.key_frames()})
        pictures = {frame: shot.beauty(frame) for frame in frames}
        write_file(job.source_picture, encode_png(np.hstack(list(pictures.values()))))

        def show(frame: int, image: np.ndarray) -> None:
            if frame in pictures:
                pictures[frame] = image
                write_file(job.preview_picture, encode_png(np.hstack(list(pictures.values()))))
                emit(messages.Picture(str(job.folder), str(job.preview_picture)))

        show(frames[0], pictures[frames[0]])

        def form(model: Any) -> State:
            if model is not None:
                forming = importlib.import_module(".methods.forming", __package__)
                forming.Forming(model, (shot.height, shot.width), show)
            for step in _method(job, shot, model, frames):
                if isinstance(step, FrameDone):
                    write_file(job.frame_path(step.frame), encode_png(step.image, shot.alpha(step.frame)))
                    show(step.frame, step.image)
                else:
                    emit(messages.Progress(str(job.folder), step.done, step.total, step.note))
                if cancelled():
                    return State("cancelled")
            return State("done")

        return _with_model(job, shot, form)

    return _attempt(Path(request.job), emit, paint)


def retouch(request: messages.Retouch, emit: Emit, cancelled: Callable[[], bool]) -> State:
    """Bring the finished frames up to date with what was painted over some of them; return how that ended.

    A frame that changes is kept as it was beside, so that this can be done again, and be interrupted, at any time.
    """

    def carry(job: Job) -> State:
        touches = importlib.import_module(".methods.retouch", __package__).Retouch
        paint = [touches(frame, *(read_picture(path)[0] for path in paths)) for frame, *paths in job.retouches()]
        shot, frames = Shot.open(job.shot_folder), job.finished()
        for number, frame in enumerate(frames, 1):
            _repaint(job, shot, frame, paint, emit)
            emit(messages.Progress(request.job, number, len(frames), f"frame {frame}"))
            if cancelled():
                return State("cancelled")
        job.measure_path.unlink(missing_ok=True)
        return State("done")

    return _attempt(Path(request.job), emit, carry)


def _repaint(job: Job, shot: Shot, frame: int, paint: list[Any], emit: Emit) -> None:
    """Write a finished frame with all ``paint`` on it, if that is not what it shows."""
    path, kept = job.frame_path(frame), job.untouched_folder / job.frame_path(frame).name
    image, alpha = read_picture(kept if kept.is_file() else path)
    for touch in paint:
        image = touch.on(frame, image, shot.motion)
    if not np.array_equal(levels(image), levels(read_picture(path)[0])):  # not bytes: encoders change
        kept.parent.mkdir(exist_ok=True)
        if not kept.is_file():
            write_file(kept, path.read_bytes())
        if job.settings.exr:
            write_exr(job.exr_path(frame), image, alpha)
        write_file(path, encode_png(image, alpha))
        emit(messages.Frame(str(job.folder), frame, str(path)))


class _CancelledError(Exception):
    """The question was cancelled."""


def _attempt(
    folder: Path, emit: Emit, work: Callable[[Job], State],
    note_failure: Callable[[Job, State], None] = lambda _job, _state: None,
) -> State:
    """Hold the job in ``folder`` while ``work`` goes on; what goes wrong becomes one sentence and a line in its log."""
    try:
        job = Job.open(folder)
    except UserError as error:
        return _end(emit, folder, State("failed", str(error)))
    try:
        with job.locked():
            emit(messages.Started(str(folder)))
            state = work(job)
    except UserError as error:
        state = State("failed", str(error))
    except Exception as error:  # noqa: BLE001 - the boundary: whatever went wrong becomes one sentence and a log
        job.log(traceback.format_exc())
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        message = f"Tempera met an error of its own ({reason}). See {job.log_path}; finished frames are kept."
        state = State("failed", message)
    if state.state == "failed":
        job.log(state.message)
        note_failure(job, state)
    return _end(emit, folder, state)


def _end(emit: Emit, folder: Path, state: State) -> State:
    emit(messages.Ended(str(folder), state.state, state.message))
    return state


def _work(job: Job, emit: Emit, cancelled: Callable[[], bool]) -> State:
    """Run the job's method over the frames that are still missing, writing each frame as it comes."""
    shot = Shot.open(job.shot_folder)
    if cancelled():
        return _stopped(job, shot)

    def paint(model: Any) -> State:
        return _paint(job, shot, model, emit, cancelled)

    return _with_model(job, shot, paint)


def _paint(job: Job, shot: Shot, model: Any, emit: Emit, cancelled: Callable[[], bool]) -> State:
    """Run the job's method with ``model``, None where it needs none."""
    finished = set(job.finished())
    wanted = [frame for frame in shot.frames if frame not in finished]
    started = time.monotonic()
    for step in _method(job, shot, model, wanted):
        if isinstance(step, FrameDone):
            if job.settings.exr:
                write_exr(job.exr_path(step.frame), step.image, shot.alpha(step.frame))
            job.finish(step.frame, encode_png(step.image, shot.alpha(step.frame)))
            emit(messages.Frame(str(job.folder), step.frame, str(job.frame_path(step.frame))))
        else:
            emit(messages.Progress(str(job.folder), step.done, step.total, step.note))
        if cancelled():
            return _stopped(job, shot)
    missing = [frame for frame in shot.frames if frame not in set(job.finished())]
    if missing:
        raise RuntimeError(f"{job.settings.method} left frames {missing[:5]} undone")
    _report(job, shot, wanted, time.monotonic() - started, model.evaluations if model else 0)
    return State("done")


def _stopped(job: Job, shot: Shot) -> State:
    return State("cancelled", f"Stopped. Finished frames: {len(job.finished())} of {len(shot.frames)}.")


def _with_model(job: Job, shot: Shot, run: Callable[[Any], State]) -> State:
    """Return what ``run`` comes to with the model that the job's method runs, None where it runs none."""
    if not hasattr(job.settings.chosen, "model"):
        return run(None)
    return importlib.import_module(".diffusion.fitting", __package__).fit(job, shot.info.size, run)


def _method(job: Job, shot: Shot, model: Any, wanted: list[int]) -> Iterator[Step | FrameDone]:
    """Start the job's method; the module is imported only now, so that no method costs another's imports."""
    name = job.settings.method
    method = getattr(importlib.import_module(f".methods.{name}", __package__), name)
    restore = importlib.import_module(".methods.objects", __package__).left_alone
    return restore(shot, job.settings, method(shot, model, job.settings, wanted, _keys(job)))


def _keys(job: Job) -> dict[int, np.ndarray]:
    """Return the artist's key frames as ``{frame: (H, W, 3) float32}``; UserError for one that is see-through."""
    keys = {}
    for frame in job.key_frames():
        colour, alpha = read_picture(job.key_path(frame))
        if alpha is not None and float(alpha.min()) < 1.0:
            share = float((alpha < 1.0).mean())
            raise UserError(
                f"The key of frame {frame} is see-through in {share:.0%} of its pixels. Paint it over the whole frame, "
                "or save it without alpha."
            )
        keys[frame] = colour
    return keys


def _report(job: Job, shot: Shot, made: list[int], seconds: float, evaluations: int) -> None:
    write_json(
        job.report_path,
        {
            "version": VERSION,
            "method": job.settings.method,
            "frames": len(shot.frames),
            "frames_made_in_this_run": len(made),
            "seconds": round(seconds, 3),
            "evaluations": evaluations,
            "memory": peak_memory(),
            "size": list(shot.info.size),
            "motion": shot.motion.describe(),
            "notes": list(shot.info.notes),
        },
    )


def serve() -> None:
    """Answer requests until standard input ends. Never returns while Blender holds the other end of the pipe."""
    emit = _take_stdout()
    requests: queue.SimpleQueue[Work] = queue.SimpleQueue()
    unwanted: set[str] = set()
    emit(messages.Hello(PROTOCOL, VERSION, device()))
    threading.Thread(target=_beat, args=(emit,), daemon=True).start()
    threading.Thread(target=_read, args=(sys.stdin.buffer, requests, unwanted), daemon=True).start()
    while True:
        _serve_one(requests.get(), emit, unwanted)


def _serve_one(request: Work, emit: Emit, unwanted: set[str]) -> None:
    def cancelled() -> bool:
        return request.job in unwanted

    if isinstance(request, messages.Run):
        run_job(Path(request.job), emit, cancelled)
    elif isinstance(request, messages.Preview):
        preview(request, emit, cancelled)
    elif isinstance(request, messages.Retouch):
        retouch(request, emit, cancelled)
    else:
        answer(request, emit, cancelled)
    unwanted.discard(request.job)
    memory = sys.modules.get(f"{__package__}.diffusion.memory", allocator)
    memory.give_back()  # of the device too, if a model was loaded: while nothing is to be done, it is others'


def _take_stdout() -> Emit:
    """Keep standard output for messages alone: whatever a library prints from now on goes to standard error."""
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    lock = threading.Lock()

    def emit(message: Message) -> None:
        with lock:
            try:
                channel.write(messages.encode(message))
            except OSError:  # Blender is gone; so is every reason to go on
                os._exit(0)

    return emit


def _beat(emit: Emit) -> None:
    while True:
        time.sleep(HEARTBEAT_SECONDS)
        emit(messages.Heartbeat())


def _read(stdin: BinaryIO, requests: queue.SimpleQueue[Work], unwanted: set[str]) -> None:
    """Take requests off standard input; leave the process when it ends, since nobody is left to work for."""
    try:
        for line in stdin:
            try:
                request = messages.decode(line)
            except messages.MessageError as error:
                sys.stderr.write(f"ignored {error}\n")
                continue
            if isinstance(request, Work):
                unwanted.discard(request.job)
                requests.put(request)
            elif isinstance(request, messages.Cancel):
                unwanted.add(request.job)
    finally:
        os._exit(0)


def peak_memory() -> int:
    """Return the most bytes that were ever held: of the GPU's memory where networks run there, else of this process."""
    if device() == "cuda":
        import torch

        return torch.cuda.max_memory_reserved()
    return most_resident()


def device() -> str:
    """Return what networks run on here: "cuda", "mps" or "cpu"."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
