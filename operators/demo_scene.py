"""What the demo shots share: an empty scene with its render settings, the light and a painted sky."""

from __future__ import annotations

import contextlib
import math

import bpy

from ..backend.bridge.errors import UserError
from .demo_kit import FPS, Graph, colour, place

SAMPLES = 8


def new_scene(name: str, frames: int, size: tuple[int, int]) -> bpy.types.Scene:
    """Make a scene of ``frames`` frames at 24 fps and ``size`` (width, height) pixels, to render fast.

    Raises UserError where Cycles is switched off.
    """
    scene = bpy.data.scenes.new(name)
    try:
        scene.render.engine = "CYCLES"
    except TypeError as error:
        bpy.data.scenes.remove(scene)
        raise UserError("Cycles is switched off. Enable the Cycles Render Engine add-on in the Preferences.") from error
    scene.frame_start, scene.frame_end = 1, frames
    scene.render.fps, scene.render.fps_base = FPS, 1.0
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.use_persistent_data = True
    with contextlib.suppress(TypeError):  # a studio's own colour configuration may not have it
        scene.view_settings.view_transform = "Standard"
    quick_cycles(scene)
    return scene


def quick_cycles(scene: bpy.types.Scene) -> None:
    """Set few denoised samples: the scene has one sun, diffuse surfaces and nothing that needs many bounces."""
    cycles = scene.cycles
    cycles.samples, cycles.use_adaptive_sampling = SAMPLES, False
    cycles.use_animated_seed = True
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 2, 1, 1
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 3.0
    try:
        cycles.denoiser, cycles.use_denoising = "OPENIMAGEDENOISE", True
        cycles.denoising_prefilter = "FAST"
    except TypeError:  # this build has no denoiser: the samples alone then carry the picture
        cycles.use_denoising, cycles.samples = False, 4 * SAMPLES


def add_sun(scene: bpy.types.Scene, elevation: float, azimuth: float, strength: float) -> bpy.types.Object:
    """Add a warm sun; angles in degrees, ``azimuth`` counted from +y towards +x, ``strength`` in W/m²."""
    light = bpy.data.lights.new("Sun", "SUN")
    light.energy, light.angle, light.color = strength, math.radians(1.5), (1.0, 0.93, 0.80)
    sun = place(scene, "Sun", light)
    sun.rotation_euler = (math.radians(90 - elevation), 0, math.radians(180 - azimuth))
    sun.location = (0, 0, 20)
    return sun


def add_sky(scene: bpy.types.Scene, strength: float = 0.9) -> bpy.types.World:
    """Add a blue gradient, with clouds for the camera; the light it sheds is the gradient alone: less noise."""
    world = bpy.data.worlds.new("Painted Sky")
    scene.world = world
    world.cycles.sampling_method = "NONE"
    graph = Graph(world)
    direction = graph.node("TexCoord", output=0)
    axes = graph.node("SeparateXYZ", {0: direction}).node.outputs
    up = axes[2]
    gradient = graph.mix(graph.ease(up, -0.02, 0.16), colour("#FBE3B8"), colour("#8CC9EE"))
    gradient = graph.mix(graph.ease(up, 0.08, 0.55), gradient, colour("#2F79C8"))
    painted = add_clouds(graph, gradient, axes)
    seen = graph.node("LightPath", output=0)
    lit = graph.node("Background", {"Color": gradient, "Strength": strength})
    shown = graph.node("Background", {"Color": painted, "Strength": 1.0})
    graph.node("OutputWorld", {"Surface": graph.node("MixShader", {0: seen, 1: lit, 2: shown})})
    return world


def add_clouds(graph: Graph, sky: bpy.types.NodeSocket, axes: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """Paint fair-weather clouds on a plane above, lit at the top and grey below, over the colour ``sky``."""
    depth = graph.math("ADD", graph.math("MAXIMUM", axes[2], 0.0), 0.16)
    flat = [graph.math("DIVIDE", axis, depth) for axis in axes[:2]]
    plane = graph.node("CombineXYZ", {0: flat[0], 1: flat[1]})
    puffs = graph.noise(plane, 1.15, 6.0, 0.25)
    above = graph.noise(graph.node("VectorMath", {0: plane, 1: (0.03, 0.16, 0.0)}), 1.15, 4.0, 0.25)
    shade = graph.ease(graph.math("SUBTRACT", puffs, above), -0.10, 0.10)
    white = graph.mix(shade, colour("#B9C8DE"), colour("#FFFBEF"))
    cover = graph.math("MULTIPLY", graph.ease(puffs, 0.50, 0.60), graph.ease(axes[2], 0.0, 0.10))
    return graph.mix(cover, sky, white)
