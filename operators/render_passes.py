"""Render one shot into the job folder, inside a child Blender and on a copy of the artist's file.

``capture.py`` starts it; whatever is changed here is lost with the copy. A frame whose file is there already is not
rendered again, so an interrupted capture goes on where it was. With ``shot.json``, written last, the shot is whole.
When the child's standard input closes, the Blender that started it is gone, and it ends too.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import render_data, render_notes
from .render_beauty import WHOLE_FRAME, prepare_beauty, read_beauty, render_beauty, render_strip, scene_behind
from .render_tools import CaptureError, Report, ShotFolder, assign, frame_size, pin, pixel_aspect, place
from .versions import Strip, all_strips

PINNED = render_data.PINNED | {f"render.{name}" for name in WHOLE_FRAME}

FORMAT = 1


def main(request_path: str) -> None:
    """Do what the request file says, and exit: 0 when the shot is whole, else 1 with the reason in the report."""
    threading.Thread(target=end_with_the_parent, daemon=True).start()
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    report = Report(Path(request["report"]))
    code = 1
    try:
        run(request, report)
        code = 0
    except CaptureError as error:
        report.write(error=str(error))
    except OSError as error:
        traceback.print_exc()
        reason = f"{error.strerror or error}: {error.filename}"
        report.write(error=f"The shot cannot be written ({reason}). Make room there, then start the capture again.")
    except Exception:  # noqa: BLE001 - the boundary of the process: the log gets the traceback, the artist a sentence
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is written; Blender's own way out can hang (4.5, after the sequencer) or crash in an add-on


def end_with_the_parent() -> None:
    """Wait for the end of standard input, then leave at once; frames are placed whole, so none is harmed."""
    while os.read(0, 1):  # not sys.stdin, whose lock would hold up the interpreter's own end
        pass
    os._exit(1)


def run(request: dict[str, Any], report: Report) -> None:
    """Render what is missing, then write ``matrices.npy`` and ``shot.json``."""
    if not bpy.app.binary_path:  # the module has no command line that opens the file
        bpy.ops.wm.open_mainfile(filepath=request["blend"], use_scripts=request["trusted"])
    scene = bpy.data.scenes[request["scene"]]
    strip = None
    if request["strip"]:
        strip = next(each for each in all_strips(scene.sequence_editor) if each.name == request["strip"])
    source, offset, notes = geometry_of(scene, strip)
    frames = request["frames"]
    data_frames = list(range(frames[0], frames[-1] + 1)) if source else []
    report.total = len(frames) + len(data_frames)
    shot = ShotFolder(Path(request["shot"]), Path(request["scratch"]), frames, report)

    pin(PINNED)
    prepare_beauty(scene)
    if strip:
        render_strip(shot, scene, strip.name)
    elif request["beauty"]:
        read_beauty(shot, scene, [Path(picture) for picture in request["beauty"]])
    else:
        render_beauty(shot, scene)
    described = describe(scene, strip)  # before the scene is turned into one for data
    described |= {"frames": frames, "data_frames": data_frames, "notes": request["notes"] + notes}
    write_shot(shot, described | geometry(shot, source, data_frames, offset, described["notes"]))


def geometry_of(scene: bpy.types.Scene, strip: Strip | None) -> tuple[bpy.types.Scene | None, int, list[str]]:
    """Return the scene that gives the data layer (None for footage), its frame offset, and notes."""
    if strip is None:
        return scene, 0, render_notes.notes_on(scene)
    if strip.type != "SCENE":
        return None, 0, []
    behind = scene_behind(scene, strip)
    if isinstance(behind, str):
        return None, 0, [behind]
    source, offset = behind
    if strip.scene_camera:
        source.camera = strip.scene_camera
        for marker in source.timeline_markers:
            marker.camera = None
    return source, offset, render_notes.notes_on(source)


def describe(scene: bpy.types.Scene, strip: Strip | None) -> dict[str, Any]:
    """Return the part of ``shot.json`` that does not come from the geometry."""
    view = scene.view_settings
    return {
        "format": FORMAT,
        "name": strip.name if strip else scene.name,
        "source": "strip" if strip else "scene",
        "blender": ".".join(map(str, bpy.app.version)),
        "fps": scene.render.fps / scene.render.fps_base,
        "size": frame_size(scene),
        "pixel_aspect": pixel_aspect(scene),
        "alpha": strip is not None or scene.render.film_transparent,
        "colour": {
            "display": scene.display_settings.display_device,
            "view_transform": view.view_transform,
            "look": view.look,
            "exposure": view.exposure,
            "gamma": view.gamma,
        },
    }


def geometry(
    shot: ShotFolder, source: bpy.types.Scene | None, frames: list[int], offset: int, notes: list[str]
) -> dict[str, Any]:
    """Render the data layer of ``source``, write ``matrices.npy``, and return their part of ``shot.json``."""
    if source is None:
        trust = {"trusted": True, "reason": ""}
        return {"cuts": [], "view_layer": "", "cameras": {}, "objects": [], "vector": trust}
    assign(source.render, WHOLE_FRAME)
    layer = render_data.prepare_data(source)
    recorder = render_data.render_data(shot, source, frames, offset)
    if recorder.left_out:
        notes.append(f"Only the first {render_data.MAX_ROWS} instances are followed by their matrices.")
    matrices = shot.scratch / "matrices.npy"
    np.save(matrices, recorder.stacked(frames))
    place(matrices, shot.folder / "matrices.npy")
    return {
        "cuts": render_notes.cuts_between(recorder.cameras),
        "view_layer": layer.name,
        "cameras": recorder.cameras,
        "objects": list(recorder.objects.values()),
        "vector": render_notes.vector_trust(recorder.cameras, bpy.app.version),
    }


def write_shot(shot: ShotFolder, described: dict[str, Any]) -> None:
    """Write ``shot.json``: from now on the shot is whole."""
    written = shot.scratch / "shot.json"
    written.write_text(json.dumps(described, ensure_ascii=False, indent=1), encoding="utf-8")
    place(written, shot.folder / "shot.json")
