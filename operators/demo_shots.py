"""Two small shots to measure coherence on: a body that bends and twists, things that pass before each other."""

from __future__ import annotations

import math

import bpy
import numpy as np

from .demo_kit import FPS, Point, Shape, aim_camera, colour, key_every_frame, paint_material, place
from .demo_scene import add_sky, add_sun, new_scene

TALL = 3.2  # metres: height of the body that bends


def build_deform(
    scene_name: str = "Tempera Deform", frames: int = 24, size: tuple[int, int] = (512, 288)
) -> bpy.types.Scene:
    """Build a shape-keyed body that bends and twists before a camera that stands still, in a new scene.

    ``frames`` at 24 fps from frame 1, ``size`` (width, height) in pixels. Raises UserError where Cycles is off.
    """
    scene = new_scene(scene_name, frames, size)
    length = (frames - 1) / FPS
    add_sky(scene)
    add_sun(scene, elevation=40, azimuth=215, strength=3.2)
    add_floor(scene)
    body = place(scene, "Totem", totem_shape().mesh("Totem"), paint_material("Totem", 5.0, 0.35))
    points = np.array([vertex.co for vertex in body.data.vertices])
    body.shape_key_add(name="Straight", from_mix=False)
    keys = {
        "Bend Left": (bent(points, -0.95), lambda t: max(0.0, math.sin(2 * math.pi * t / length))),
        "Bend Right": (bent(points, 0.95), lambda t: max(0.0, -math.sin(2 * math.pi * t / length))),
        "Twist": (twisted(points, 1.4), lambda t: math.sin(math.pi * t / length) ** 2),
    }
    for name, (shape, strength) in keys.items():
        key = body.shape_key_add(name=name, from_mix=False)
        key.data.foreach_set("co", shape.astype(np.float32).ravel())
        key_every_frame(key, "value", scene, strength)
    aim_camera(scene, 35.0, lambda _: (0.6, -8.2, 2.3), lambda _: (0.0, 0.0, 1.55))
    scene.frame_set(1)
    return scene


def build_occluders(
    scene_name: str = "Tempera Occluders", frames: int = 24, size: tuple[int, int] = (512, 288)
) -> bpy.types.Scene:
    """Build rigid things that pass in front of each other before a camera that orbits them, in a new scene.

    ``frames`` at 24 fps from frame 1, ``size`` (width, height) in pixels. Raises UserError where Cycles is off.
    """
    scene = new_scene(scene_name, frames, size)
    length = (frames - 1) / FPS
    add_sky(scene)
    add_sun(scene, elevation=40, azimuth=215, strength=3.2)
    add_floor(scene)
    for name, (shape, way, spin) in rigid_things(length).items():
        thing = place(scene, name, shape.mesh(name, name == "Ball"), paint_material(name, 5.0, 0.35))
        key_every_frame(thing, "location", scene, way)
        key_every_frame(thing, "rotation_euler", scene, spin)

    def eye(seconds: float) -> Point:
        angle = math.radians(-20 + 40 * seconds / length)
        return (8.0 * math.sin(angle), -8.0 * math.cos(angle), 2.2)

    aim_camera(scene, 35.0, eye, lambda _: (0.0, 0.0, 1.35))
    scene.frame_set(1)
    return scene


def add_floor(scene: bpy.types.Scene, tiles: int = 61, edge: float = 1.0) -> bpy.types.Object:
    """Add a floor of checkered tiles (an odd number a side), ``edge`` metres each."""
    line = (np.arange(tiles + 1) - tiles / 2) * edge
    x, y = np.meshgrid(line, line)
    index = np.arange((tiles + 1) ** 2).reshape(tiles + 1, -1)
    faces = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], -1).reshape(-1, 4)
    shape = Shape()
    shape.add(np.stack([x, y, 0 * x], -1).reshape(-1, 3), faces.tolist(), [colour("#D9B98C"), colour("#7FA89A")])
    return place(scene, "Floor", shape.mesh("Floor"), paint_material("Floor", 6.0, 0.3))


def totem_shape() -> Shape:
    """Make a round column of swelling, striped rings with a head."""
    height = np.linspace(0, TALL, 65)
    radius = 0.52 + 0.10 * np.cos(2 * np.pi * height / 0.8) - 0.04 * height
    radius[-7:] *= np.sqrt(1 - np.linspace(0, 0.97, 7) ** 2)
    paints = [colour(c) for c in ("#D9483B", "#D9483B", "#F6E3B4", "#2F7F8C", "#2F7F8C", "#F3B33D")]
    shape = Shape()
    shape.tube([(0, 0, h) for h in height], radius, paints, 36)
    return shape


def bent(points: np.ndarray, angle: float) -> np.ndarray:
    """Return points (n, 3) of the body with its axis bent to an arc of ``angle`` radians in the xz plane."""
    x, y, z = points.T
    radius, turn = TALL / angle, angle * z / TALL
    return np.stack([radius - (radius - x) * np.cos(turn), y, (radius - x) * np.sin(turn)], 1)


def twisted(points: np.ndarray, angle: float) -> np.ndarray:
    """Return points (n, 3) of the body turned about its axis, by ``angle`` radians at the top."""
    x, y, z = points.T
    turn = angle * z / TALL
    return np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn), z], 1)


def rigid_things(length: float) -> dict[str, tuple]:
    """Return name: (shape, location over seconds, rotation over seconds) of what moves, within ``length`` seconds."""
    crate, ball, ring, pillar = Shape(), Shape(), Shape(), Shape()
    crate.box((0, 0, 0), (1.1, 1.1, 1.1), [colour(c) for c in ("#C4572E", "#E7B04A", "#3F7F86")])
    ball.ball((0, 0, 0), (0.65, 0.65, 0.65), [colour("#2E6FB0")] * 4 + [colour("#F4E6C2")] * 4, 32, 20)
    circle = [(1.05 * math.cos(a), 0.0, 1.05 * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 41)]
    ring.tube(circle, [0.2] * 41, [colour("#5A9A45"), colour("#B5CF5A")], 12)
    for k, paint in enumerate(("#A3487E", "#F0D9E4") * 4):
        pillar.box((0, 0, 0.2 + 0.4 * k), (0.5, 0.5, 0.4), colour(paint))
    return {
        "Crate": (crate, lambda t: (-3.0 + 6.0 * t / length, -1.6, 0.9), lambda t: (0.3 * t, 0.2, 1.1 * t)),
        "Ball": (ball, lambda t: (3.0 - 6.0 * t / length, 0.9, 1.1), lambda t: (0.4, 1.5 * t, 0.8 * t)),
        "Ring": (ring, lambda _: (0.2, -0.1, 1.75), lambda t: (0.0, 0.5 * t, 0.9 * t)),
        "Pillar": (pillar, lambda _: (-1.7, 0.3, 0.0), lambda _: (0.0, 0.0, 0.35)),
    }
