"""Makes the demo: renders a shot, stylizes it twice, and cuts it all together.

    .venv/bin/python tools/demo.py [--only-shots]

Once its keys are painted and carried through the shot, by Tempera's own scripting API, as an artist's script would;
then the same shot is painted by Rerender A Video with the starter model. ``--only-shots`` stops when the first job is
there, which is all that the benchmark needs.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "demo"
WORKER = ROOT / ".venv-worker" / "bin" / "python"
KEYS = (1, 24, 48)
DIFFUSION = {
    "prompt": "an oil painting of a forest", "steps": 12, "strength": 1.0, "guidance": 2.0, "key_distance": 12,
}

# Blender's own preferences and caches stay out of the newcomer's home folder.
os.environ.setdefault("BLENDER_USER_RESOURCES", tempfile.mkdtemp(prefix="tempera-user-"))

import bpy  # noqa: E402
from extension import load_extension  # noqa: E402


def main(only_shots: bool) -> int:
    """Make the demo and return the exit status."""
    if only_shots and (DEMO / "job" / "report.json").is_file():
        return 0
    tempera = load_extension()
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    started = time.monotonic()
    bpy.ops.tempera.build_demo()
    scene = bpy.data.scenes["Tempera Demo"]
    bpy.ops.wm.save_as_mainfile(filepath=str(DEMO / "demo.blend"))
    keys = paint_keys(scene)
    job = stylize(tempera, scene, keys)
    if job.state != "done":
        sys.stderr.write(f"{job.message}\n")
        return 1
    if not only_shots:
        diffused = diffuse(tempera)
        cut_together(scene, Path(job.folder), diffused)
        worker("sheet", str(job.folder), str(DEMO / "contact-sheet.png"))
        worker("sheet", str(diffused), str(DEMO / "contact-sheet-diffusion.png"))
        worker("bench", str(job.folder), "--quick", "--report", str(DEMO / "report.md"))
    say(f"The demo is in {DEMO.relative_to(ROOT)}/, made in {time.monotonic() - started:.0f} s.")
    return 0


def paint_keys(scene: bpy.types.Scene) -> dict[int, str]:
    """Render the key frames and have each painted; return ``{frame: path of the painted PNG}``."""
    folder = DEMO / "keys"
    folder.mkdir(exist_ok=True)
    keys = {}
    for done, frame in enumerate(KEYS):
        bar("painting key frames", done, len(KEYS))
        rendered, painted = folder / f"{frame:06d}-render.png", folder / f"{frame:06d}.png"
        render_frame(scene, frame, rendered)
        command = [str(WORKER), "-m", "backend.starter.painter", str(rendered), str(painted), "--seed", str(frame)]
        subprocess.run(command, cwd=ROOT, check=True)
        keys[frame] = str(painted)
    bar("painting key frames", len(KEYS), len(KEYS))
    return keys


def render_frame(scene: bpy.types.Scene, frame: int, target: Path) -> None:
    """Render one frame of ``scene`` to a PNG, as an artist does before painting over it."""
    scene.frame_set(frame)
    use_output(scene, "IMAGE", "PNG")
    scene.render.filepath = str(target)
    quietly(lambda: bpy.ops.render.render(write_still=True, scene=scene.name))


def stylize(tempera: Any, scene: bpy.types.Scene, keys: dict[int, str]) -> Any:
    """Run the exemplar method over the shot, with a progress bar; return the job."""
    job = tempera.stylize(scene, method="exemplar", keys=keys, folder=str(DEMO / "job"))
    while not job.wait(timeout=0.2):
        bar(job.note or job.state, round(1000 * job.progress), 1000)
    bar(job.state, 1000, 1000)
    return job


def diffuse(tempera: Any) -> Path:
    """Paint the shot that the first job captured by Rerender A Video with the starter; return the job's folder.

    The job is made and run outside Blender, as on a farm.
    """
    bridge = f"{tempera.__name__}.backend.bridge"
    run = importlib.import_module(f"{bridge}.settings").from_keywords("rerender", **DIFFUSION)
    job = importlib.import_module(f"{bridge}.job").Job.create(DEMO / "diffusion", "diffusion", run)
    shutil.copytree(DEMO / "job" / "shot", job.shot_folder, dirs_exist_ok=True)
    say("painting by diffusion, with the starter model")
    worker("run", str(job.folder))
    return job.folder


def cut_together(scene: bpy.types.Scene, folder: Path, diffused: Path) -> None:
    """Put source and results into the scene's timeline, render the movies, save demo.blend."""
    strips = strips_of(scene)
    styled = next(strip for strip in strips if strip.type == "IMAGE")
    styled.name = "Stylized"
    channel = styled.channel
    styled.channel = channel + 1
    source = sequence(scene, "Source", folder / "shot" / "beauty", channel)
    rerendered = sequence(scene, "Rerendered", diffused / "frames", channel + 2)
    width = scene.render.resolution_x
    movie(scene, "rerendered.mp4")
    rerendered.mute = styled.mute = True
    movie(scene, "source.mp4")
    styled.mute = False
    movie(scene, "stylized.mp4")
    scene.render.resolution_x = 2 * width
    source.transform.offset_x, styled.transform.offset_x = -width / 2, width / 2
    styled.blend_type = "ALPHA_OVER"
    movie(scene, "side-by-side.mp4")
    scene.render.resolution_x = width
    source.transform.offset_x = styled.transform.offset_x = 0
    styled.blend_type = "REPLACE"
    scene.render.filepath = "//render/"
    bpy.ops.file.make_paths_relative()
    bpy.ops.wm.save_mainfile()


def sequence(scene: bpy.types.Scene, name: str, folder: Path, channel: int) -> Any:
    """Put the pictures in ``folder`` into the scene's timeline as a strip, and return it."""
    pictures = sorted(folder.glob("*.png"))
    strip = strips_of(scene).new_image(
        name=name, filepath=str(pictures[0]), channel=channel, frame_start=scene.frame_start, fit_method="ORIGINAL"
    )
    for picture in pictures[1:]:
        strip.elements.append(picture.name)
    return strip


def movie(scene: bpy.types.Scene, name: str) -> None:
    """Render the scene's timeline to an H.264 movie in the demo folder."""
    use_output(scene, "VIDEO", "FFMPEG")
    scene.render.ffmpeg.format, scene.render.ffmpeg.codec = "MPEG4", "H264"
    scene.render.ffmpeg.constant_rate_factor = "HIGH"
    scene.render.filepath = str(DEMO / name)
    scene.render.use_file_extension = False
    say(f"writing {name}")
    quietly(lambda: bpy.ops.render.render(animation=True, scene=scene.name))


def use_output(scene: bpy.types.Scene, media: str, file_format: str) -> None:
    """Choose the output format; Blender 5 wants the kind of medium chosen first."""
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = media
    settings.file_format = file_format


def strips_of(scene: bpy.types.Scene) -> Any:
    """Return the top-level strips of the scene's timeline, under the name that this Blender has for them."""
    editor = scene.sequence_editor
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def worker(*arguments: str) -> None:
    """Run one command of the worker's command line."""
    subprocess.run([str(WORKER), "-m", "backend", *arguments], cwd=ROOT, check=True)


def quietly(render: Any) -> None:
    """Run ``render`` without the lines that Blender writes to standard output for every frame."""
    sys.stdout.flush()
    kept = os.dup(1)
    with Path(os.devnull).open("wb") as silence:
        os.dup2(silence.fileno(), 1)
    try:
        render()
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def bar(note: str, done: int, total: int) -> None:
    """Draw a progress bar over the last one; end the line when it is full."""
    filled = round(30 * done / total)
    sys.stdout.write(f"\r{'█' * filled}{'·' * (30 - filled)} {note:<44.44}{chr(10) if done == total else ''}")
    sys.stdout.flush()


def say(text: str) -> None:
    """Write one line to the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main("--only-shots" in sys.argv[1:]))
