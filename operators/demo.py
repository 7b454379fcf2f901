"""The demo shot: a fox walks down a path from a windmill while a balloon drifts by and the camera follows."""

from __future__ import annotations

import math
from typing import ClassVar

import bpy
from mathutils import Vector

from .demo_fox import SPEED, add_fox
from .demo_kit import FPS, Point, aim_camera, smoothstep
from .demo_meadow import add_balloon, add_flowers, add_ground, add_trees, add_windmill, path_y
from .demo_scene import add_sky, add_sun, new_scene
from .reporting import attempt

START_X = -1.5  # metres: where the fox is in the first frame
HEADING = math.atan2(1.0, 0.45)  # turns -y into the direction of the path
AHEAD = Vector((math.sin(HEADING), -math.cos(HEADING), 0.0))


def fox_at(seconds: float) -> Vector:
    """Return where the fox stands, in metres."""
    return Vector((START_X, float(path_y(START_X)), 0.0)) + SPEED * seconds * AHEAD


def build(scene_name: str = "Tempera Demo", frames: int = 48, size: tuple[int, int] = (512, 288)) -> bpy.types.Scene:
    """Build the demo shot in a new scene of its own and return it; no other scene is touched.

    ``frames`` at 24 fps from frame 1, ``size`` (width, height) in pixels. Raises UserError where Cycles is off.
    """
    scene = new_scene(scene_name, frames, size)
    length = (frames - 1) / FPS
    add_sky(scene)
    add_sun(scene, elevation=38, azimuth=215, strength=3.2)
    add_ground(scene)
    add_windmill(scene)
    add_trees(scene)
    add_flowers(scene)
    add_fox(scene, tuple(fox_at(0.0)), HEADING)

    def eye(seconds: float) -> Point:
        share = seconds / length
        angle, distance = math.radians(-12 + 16 * share), 6.5 - 0.6 * float(smoothstep(0, 1, share))
        centre = fox_at(seconds)
        return (centre.x + distance * math.sin(angle), centre.y - distance * math.cos(angle), 1.15 + 0.35 * share)

    def target(seconds: float) -> Point:
        return tuple(fox_at(seconds) + Vector((0.85 - 0.2 * seconds / length, 0.0, 1.38 - 0.06 * seconds / length)))

    def drift(seconds: float) -> Point:
        share = seconds / length
        nearer = fox_at(seconds).lerp(Vector(eye(seconds)), 0.29)
        return (nearer.x + 2.3 - 3.35 * share, nearer.y, 0.75 + 1.2 * share**2)

    aim_camera(scene, 38.0, eye, target)
    add_balloon(scene, drift)
    scene.frame_set(1)
    return scene


class TEMPERA_OT_build_demo(bpy.types.Operator):
    """Build a short animated shot to try Tempera on, in a new scene of its own."""

    bl_idname = "tempera.build_demo"
    bl_label = "Build Demo Shot"
    bl_description = "Build a short animated shot to try Tempera on, in a new scene of its own"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Build the shot and show its scene in this window."""
        return attempt(self, lambda: show(context, build()))


def show(context: bpy.types.Context, scene: bpy.types.Scene) -> None:
    """Switch the window, if there is one, to ``scene``."""
    if context.window is not None:
        context.window.scene = scene


classes = (TEMPERA_OT_build_demo,)
