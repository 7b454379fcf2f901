"""Tempera restyles animation without flicker. This module is the extension and its scripting interface.

A script imports it by Blender's name for it, ``from bl_ext.user_default import tempera``, and calls
:func:`tempera.stylize`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import bpy

from . import operators, panels, preferences, properties
from .backend.bridge import settings
from .backend.bridge.errors import UserError
from .operators.job import Job
from .operators.stylize import stylize as _stylize

__all__ = ("Job", "UserError", "stylize")


def stylize(
    scene_or_strip: Any,
    method: str = "exemplar",
    keys: Mapping[int, str | Path] | None = None,
    *,
    folder: str | Path | None = None,
    frames: Iterable[int] | None = None,
    beauty: str | Path = "",
    objects: Sequence[Mapping[str, Any]] = (),
    over_time: Mapping[int, Mapping[str, Any]] | None = None,
    **options: Any,
) -> Job:
    """Stylize a scene's frame range, or a strip of the sequencer, and return the running job.

    Blender's window stays usable; the strip with the result grows while frames arrive. In ``blender -b`` call
    ``wait()``, which drives the job.

    :arg scene_or_strip: a scene is rendered with its exact motion; a strip is taken as the sequencer shows it.
    :arg method: one of "exemplar", "framewise", "synchronized", "rerender", "tokenflow", "diffsynth" and "deflicker";
        the panel says of each when to use it.
    :arg keys: the painted key frames, PNG files of the shot's size by frame. Paths may begin with ``//``.
    :arg folder: the job's folder, which must not hold a job yet; a new one beside the .blend file by default.
    :arg frames: the frames of a scene; by default its own range and step.
    :arg beauty: frames of a scene that are rendered already, such as ``//render/shot_####.png``.
    :arg objects: what objects of a scene are told, one mapping for each: the ``name`` of an object or collection, and
        any of ``prompt``, ``negative_prompt``, ``strength`` (times the shot's, 0 to 10), ``seed``, and ``keep`` to
        leave it as it was rendered. Where two mean the same object, the later one counts.
    :arg over_time: the settings that differ at some frames, ``{frame: {name: value}}``: ``prompt``,
        ``negative_prompt``, ``strength``, ``guidance``, ``control_scale`` and ``control_scale_2``.
    :arg options: the settings of the method, and ``seed``. What is set in the panel, animation and markers among it,
        is not asked for them: ``bpy.ops.tempera.stylize_render()`` runs as the panel is set.

    Raises UserError, whose text says what to do, when something that the job needs is missing.

    >>> job = tempera.stylize(bpy.context.scene, keys={1: "//first.png", 4: "//last.png"}, patch_size=7)
    >>> job.wait()
    True
    >>> job.state, job.progress, len(job.frames)
    ('done', 1.0, 4)
    >>> job.strip.blend_type
    'REPLACE'

    One object as it was rendered, in an otherwise painted shot:

    >>> job = tempera.stylize(bpy.context.scene, keys={1: "//first.png"}, objects=[{"name": "Still", "keep": True}])
    >>> job.wait(), job.message
    (True, '')

    A picture that departs from the render frame by frame, and a prompt that changes on the way:

    >>> over_time = {frame: {"strength": frame / 4} for frame in range(1, 5)}
    >>> over_time[3]["prompt"] = over_time[4]["prompt"] = "a watercolour by night"
    >>> job = tempera.stylize(bpy.context.scene, "framewise", prompt="a watercolour by day", over_time=over_time)
    >>> told = job.files.settings.at(3).chosen
    >>> told.strength, told.prompt
    (0.75, 'a watercolour by night')
    >>> job.cancel()
    """
    painted = {frame: Path(bpy.path.abspath(str(path))) for frame, path in (keys or {}).items()}
    place = Path(bpy.path.abspath(str(folder))) if folder else None
    run = settings.from_keywords(method, objects=objects, over_time=over_time or {}, **options)
    return _stylize(scene_or_strip, run, painted, folder=place, frames=frames, beauty=str(beauty))


def register() -> None:
    """Switch Tempera on."""
    preferences.register()
    properties.register()
    operators.register()
    panels.register()


def unregister() -> None:
    """Switch Tempera off: jobs stop, the worker ends, nothing is left behind."""
    panels.unregister()
    operators.unregister()
    properties.unregister()
    preferences.unregister()
