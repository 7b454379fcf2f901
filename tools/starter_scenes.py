"""Renders the procedural scenes that the starter model learns from.

    .venv/bin/python tools/starter_scenes.py DIR [--scenes 120] [--seed 0]

Writes ``DIR/renders/00012.png``: two views of each scene, under light of their own. Scenes take their contents in turn
from CONTENTS (``backend/starter/vocabulary.py`` has the same list). What is rendered already is not rendered again.
"""

from __future__ import annotations

import argparse
import colorsys
import math
import sys
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector, noise

SIZE = (512, 288)
VIEWS = 2
Colour = tuple[float, float, float]
Parts = dict[str, tuple[str, tuple[float, float, float], tuple[float, float, float]]]  # shape, middle, size


class Builder:
    """Puts primitives with procedural materials into an empty Blender scene; every choice comes from ``rng``."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.hues = rng.uniform(0, 1, 3)  # a scene has few hues, as pictures do

    def between(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return float(self.rng.uniform(low, high))

    def colour(self, hue: float | None = None) -> Colour:
        """Return a linear RGB colour near ``hue`` in [0, 1) or near one of the scene's hues."""
        hue = float(self.rng.choice(self.hues)) if hue is None else hue
        rgb = colorsys.hsv_to_rgb((hue + self.between(-0.05, 0.05)) % 1, self.between(0.3, 0.9), self.between(0.2, 0.9))
        return (rgb[0], rgb[1], rgb[2])

    def material(self, colour: Colour | None = None, pattern: str | None = None) -> bpy.types.Material:
        """Return a material of a ``pattern``: plain, noise, wave, checker or bricks."""
        colour = colour or self.colour()
        pattern = pattern or str(self.rng.choice(["plain", "plain", "noise", "wave", "checker", "bricks"]))
        material = bpy.data.materials.new(pattern)
        material.use_nodes = True
        nodes, links = material.node_tree.nodes, material.node_tree.links
        surface = nodes["Principled BSDF"]
        surface.inputs["Roughness"].default_value = self.between(0.15, 0.9)
        surface.inputs["Base Color"].default_value = (*colour, 1)
        kinds = {"noise": "ShaderNodeTexNoise", "wave": "ShaderNodeTexWave", "checker": "ShaderNodeTexChecker",
                 "bricks": "ShaderNodeTexBrick"}
        if pattern in kinds:
            texture, mix = nodes.new(kinds[pattern]), nodes.new("ShaderNodeMix")
            texture.inputs["Scale"].default_value = self.between(2, 6)
            mix.data_type = "RGBA"
            mix.inputs["A"].default_value = (*colour, 1)
            shade = self.between(0.3, 0.7)
            mix.inputs["B"].default_value = (*(shade * part for part in colour), 1)
            where = nodes.new("ShaderNodeTexCoord")
            links.new(where.outputs["Object"], texture.inputs["Vector"])
            links.new(texture.outputs["Fac" if "Fac" in texture.outputs else "Factor"], mix.inputs["Factor"])
            links.new(mix.outputs["Result"], surface.inputs["Base Color"])
        return material

    def add(
        self, shape: str, at: tuple[float, float, float], size: tuple[float, float, float],
        material: bpy.types.Material | None = None, turn: tuple[float, float, float] = (0, 0, 0),
    ) -> bpy.types.Object:
        """Add a primitive of that ``size``, its middle at ``at``, turned by Euler angles in radians."""
        makers: dict[str, Callable[[], object]] = {
            "cube": lambda: bpy.ops.mesh.primitive_cube_add(size=1),
            "ball": lambda: bpy.ops.mesh.primitive_uv_sphere_add(radius=0.5, segments=32, ring_count=16),
            "rock": lambda: bpy.ops.mesh.primitive_ico_sphere_add(radius=0.5, subdivisions=3),
            "cylinder": lambda: bpy.ops.mesh.primitive_cylinder_add(radius=0.5, depth=1),
            "cone": lambda: bpy.ops.mesh.primitive_cone_add(radius1=0.5, depth=1),
            "pyramid": lambda: bpy.ops.mesh.primitive_cone_add(radius1=0.72, depth=1, vertices=4),
            "ring": lambda: bpy.ops.mesh.primitive_torus_add(major_radius=0.38, minor_radius=0.12),
            "monkey": lambda: bpy.ops.mesh.primitive_monkey_add(size=1),
        }
        makers[shape]()
        thing = bpy.context.object
        thing.location, thing.scale, thing.rotation_euler = at, size, turn
        if shape == "pyramid":
            thing.rotation_euler[2] += math.pi / 4
        if shape in ("ball", "monkey", "ring", "cylinder", "cone"):
            bpy.ops.object.shade_auto_smooth() if shape in ("cylinder", "cone") else bpy.ops.object.shade_smooth()
        thing.data.materials.append(material or self.material())
        if shape == "rock":
            self._roughen(thing)
        return thing

    def _roughen(self, thing: bpy.types.Object) -> None:
        offset = Vector(self.rng.uniform(-9, 9, 3))
        for vertex in thing.data.vertices:
            vertex.co *= 1 + 0.5 * noise.noise(2.2 * vertex.co + offset)

    def ground(self, height: float, hue: float, hills: float = 7.0) -> Callable[[float, float], float]:
        """Add a terrain of hills up to ``height``; returns the ground's z at (x, y)."""
        bpy.ops.mesh.primitive_grid_add(x_subdivisions=90, y_subdivisions=90, size=70)
        offset = Vector(self.rng.uniform(-9, 9, 3))

        def level(x: float, y: float) -> float:
            return height * noise.fractal(Vector((x / hills, y / hills, 0)) + offset, 0.9, 2.0, 4)

        for vertex in bpy.context.object.data.vertices:
            vertex.co.z = level(vertex.co.x, vertex.co.y)
        bpy.ops.object.shade_smooth()
        bpy.context.object.data.materials.append(self.material(self.colour(hue), "noise"))
        return level

    def tree(self, x: float, y: float, z: float) -> None:
        """Add a tree of one of two kinds, its foot at (x, y, z)."""
        tall = self.between(1.2, 2.6)
        green = self.colour(float(self.rng.choice([0.3, 0.25, 0.1])))
        bark = self.material((0.15, 0.07, 0.03), "noise")
        self.add("cylinder", (x, y, z + 0.3 * tall), (0.2, 0.2, 0.7 * tall), bark)
        if self.rng.random() < 0.5:
            for step in range(3):
                wide, at = 1.3 - 0.35 * step, (x, y, z + tall * (0.55 + 0.25 * step))
                self.add("cone", at, (wide, wide, 0.5 * tall), self.material(green))
            return
        for _ in range(4):
            dx, dy, dz = self.rng.uniform(-0.4, 0.4, 3)
            self.add("rock", (x + dx, y + dy, z + tall * 0.9 + dz), (1.1, 1.1, 0.9), self.material(green, "noise"))

    def house(self, x: float, y: float, z: float) -> None:
        """Add a house with a roof, a door and windows."""
        wide, deep, tall = self.between(1.4, 2.4), self.between(1.4, 2.2), self.between(1.0, 1.8)
        self.add("cube", (x, y, z + tall / 2), (wide, deep, tall))
        self.add("pyramid", (x, y, z + tall + 0.45), (1.3 * wide, 1.3 * deep, 0.9), self.material(self.colour(0.03)))
        dark = self.material((0.03, 0.03, 0.05), "plain")
        self.add("cube", (x, y - deep / 2, z + 0.4), (0.35, 0.06, 0.8), dark)
        for side in (-0.3, 0.3):
            self.add("cube", (x + side * wide, y - deep / 2, z + 0.65 * tall), (0.3, 0.06, 0.35), dark)


def windmill_on_a_hill(build: Builder) -> None:
    """Add a windmill on a hill."""
    level = build.ground(1.5, 0.28)
    z = level(0, 0)
    build.add("cone", (0, 0, z + 1.6), (2.0, 2.0, 4.4), build.material(build.colour(0.1)))
    build.add("ball", (0, 0, z + 3.1), (0.9, 0.9, 0.9), build.material(build.colour(0.03)))
    start = build.between(0, math.pi)
    for arm in range(4):
        angle = start + arm * math.pi / 2
        at = (1.2 * math.sin(angle), -0.75, z + 3.1 + 1.2 * math.cos(angle))
        build.add("cube", at, (0.45, 0.06, 2.0), build.material((0.8, 0.75, 0.6), "plain"), (0, angle, 0))
    for x, y in build.rng.uniform(-9, 9, (7, 2)):
        if math.hypot(x, y) > 2.5:
            build.tree(x, y, level(x, y))


def houses_by_trees(build: Builder) -> None:
    """Add houses among trees."""
    level = build.ground(0.5, 0.27)
    for column in range(int(build.rng.integers(1, 4))):
        x, y = 3.5 * column - 3 + build.between(-0.5, 0.5), build.between(-1, 3)
        build.house(x, y, level(x, y) - 0.1)
    for x, y in build.rng.uniform(-8, 8, (9, 2)):
        if y > 3 or y < -3:
            build.tree(x, y, level(x, y))


def forest(build: Builder) -> None:
    """Add a forest."""
    level = build.ground(0.8, 0.22)
    for x, y in build.rng.uniform(-8, 8, (26, 2)):
        if y > -4.5:
            build.tree(x, y, level(x, y))


def still_life(build: Builder) -> None:
    """Add round and square things on a table."""
    build.add("cube", (0, 0, -0.25), (9, 6, 0.5), build.material(build.colour(0.07), "wave"))
    build.add("cube", (0, 4, 3), (16, 0.2, 9), build.material())
    shapes = ["cube", "ball", "cylinder", "cone", "ring", "monkey", "ball"]
    for place, x in enumerate(np.linspace(-2.6, 2.6, 6)):
        wide, shape = build.between(0.8, 1.6), str(build.rng.choice(shapes))
        z = 0.12 * wide if shape == "ring" else wide / 2
        at, turn = (x, build.between(-1.4, 1.4), z), (0, 0, build.between(-1, 1) + place)
        build.add(shape, at, (wide, wide, wide), turn=turn)


def mountains_and_lake(build: Builder) -> None:
    """Add mountains over a lake."""
    build.ground(5.5, build.between(0.05, 0.7), hills=9)
    water = build.material((0.05, 0.2, 0.35), "plain")
    water.node_tree.nodes["Principled BSDF"].inputs["Roughness"].default_value = 0.08
    build.add("cube", (0, 0, -0.6), (70, 70, 0.2), water)


def city(build: Builder) -> None:
    """Add the towers of a city."""
    build.add("cube", (0, 0, -0.1), (60, 60, 0.2), build.material((0.2, 0.2, 0.2), "checker"))
    for x in range(-3, 4):
        for y in range(-2, 4):
            tall = build.between(0.8, 5.5)
            build.add("cube", (1.9 * x, 1.9 * y, tall / 2), (1.2, 1.2, tall), build.material(pattern="bricks"))


def boats_on_the_sea(build: Builder) -> None:
    """Add boats on the sea."""
    water = build.material((0.03, 0.15, 0.3), "noise")
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=120, y_subdivisions=120, size=50)
    for vertex in bpy.context.object.data.vertices:
        vertex.co.z = 0.25 * noise.noise(vertex.co * 0.7)
    bpy.ops.object.shade_smooth()
    bpy.context.object.data.materials.append(water)
    for _ in range(3):
        x, y = build.between(-4, 4), build.between(-2, 5)
        turn = (0, 0, build.between(-0.6, 0.6))
        build.add("ball", (x, y, 0.1), (2.2, 0.8, 0.8), turn=turn)
        build.add("cylinder", (x, y, 1.3), (0.08, 0.08, 2.4), build.material((0.2, 0.1, 0.05), "plain"))
        build.add("cone", (x + 0.45, y, 1.5), (0.9, 0.08, 1.9), build.material((0.9, 0.85, 0.75), "plain"), turn)


def monkey_portrait(build: Builder) -> None:
    """Add a monkey's head in a corner of a room."""
    build.add("cube", (0, 4, 2), (18, 0.2, 12), build.material())
    build.add("monkey", (0, 0, 1.2), (2.6, 2.6, 2.6), turn=(build.between(-0.3, 0.2), 0, build.between(-0.8, 0.8)))
    build.add("cube", (0, 0, -0.3), (14, 9, 0.4), build.material())


def robot(build: Builder) -> None:
    """Add a robot that walks: its limbs are posed by an armature."""
    level = build.ground(0.3, build.between(0, 1))
    z = level(0, 0) + 1.0
    steel, joint = build.material(pattern="plain"), build.material(pattern="plain")
    parts: Parts = {
        "body": ("cube", (0, 0, 1.0), (0.9, 0.5, 1.1)), "head": ("cube", (0, 0, 1.95), (0.6, 0.55, 0.55)),
        "left arm": ("cylinder", (0.62, 0, 1.0), (0.25, 0.25, 1.1)),
        "right arm": ("cylinder", (-0.62, 0, 1.0), (0.25, 0.25, 1.1)),
        "left leg": ("cylinder", (0.26, 0, 0), (0.3, 0.3, 1.2)),
        "right leg": ("cylinder", (-0.26, 0, 0), (0.3, 0.3, 1.2)),
    }
    rig = _armature(parts)
    rig.location = (0, 0, z - 0.35)
    stride = build.between(0.3, 0.9)
    swing = {"left arm": stride, "right leg": stride, "right arm": -stride, "left leg": -stride, "head": 0.2}
    for name, (shape, at, size) in parts.items():
        limb = build.add(shape, at, size, steel if "arm" not in name else joint)
        limb.parent, limb.parent_type, limb.parent_bone = rig, "BONE", name
        limb.matrix_parent_inverse = (rig.matrix_world @ rig.pose.bones[name].matrix @ Matrix.Translation(
            (0, rig.pose.bones[name].length, 0))).inverted() @ rig.matrix_world
    for name, angle in swing.items():
        rig.pose.bones[name].rotation_mode = "XYZ"
        rig.pose.bones[name].rotation_euler[0] = angle
    for x, y in build.rng.uniform(-8, 8, (8, 2)):
        if math.hypot(x, y) > 2.5:
            wide = build.between(0.5, 1.6)
            build.add("rock", (x, y, level(x, y)), (wide, wide, wide))


def _armature(parts: Parts) -> bpy.types.Object:
    """Add an armature with one bone for each part, from the part's top to its foot."""
    bpy.ops.object.armature_add()
    rig = bpy.context.object
    bpy.ops.object.mode_set(mode="EDIT")
    rig.data.edit_bones.remove(rig.data.edit_bones[0])
    for name, (_, at, size) in parts.items():
        bone = rig.data.edit_bones.new(name)
        bone.head, bone.tail = Vector(at) + Vector((0, 0, size[2] / 2)), Vector(at) - Vector((0, 0, size[2] / 2))
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.context.view_layer.update()
    return rig


def mushrooms_and_rocks(build: Builder) -> None:
    """Add mushrooms between rocks."""
    level = build.ground(0.4, build.between(0.1, 0.35))
    for x, y in build.rng.uniform(-4, 4, (9, 2)):
        z, tall = level(x, y), build.between(0.5, 1.8)
        stem = build.material((0.8, 0.75, 0.6), "plain")
        build.add("cylinder", (x, y, z + tall / 2), (0.3 * tall, 0.3 * tall, tall), stem)
        build.add("ball", (x, y, z + tall), (1.1 * tall, 1.1 * tall, 0.6 * tall))
    for x, y in build.rng.uniform(-6, 6, (6, 2)):
        build.add("rock", (x, y, level(x, y)), (1.2, 1.2, 0.9), build.material((0.3, 0.3, 0.3), "noise"))


def arches(build: Builder) -> None:
    """Add a row of arches and columns."""
    build.add("cube", (0, 0, -0.1), (40, 40, 0.2), build.material(pattern="checker"))
    stone = build.material(build.colour(0.1), "noise")
    for column in range(-3, 4):
        build.add("cylinder", (1.8 * column, 0, 1.2), (0.5, 0.5, 2.4), stone)
        build.add("ring", (1.8 * column + 0.9, 0, 2.4), (2.4, 2.4, 1.8), stone, (math.pi / 2, 0, 0))
        build.add("cube", (1.8 * column, 0, 3.6), (1.85, 0.6, 0.4), stone)
        wide, shape = build.between(0.5, 1.2), str(build.rng.choice(["ball", "cube", "cone"]))
        build.add(shape, (1.8 * column, build.between(-3, -1.5), wide / 2), (wide, wide, wide))


CONTENTS: dict[str, Callable[[Builder], None]] = {
    "a windmill on a hill": windmill_on_a_hill, "houses among trees": houses_by_trees, "a forest": forest,
    "a still life on a table": still_life, "mountains over a lake": mountains_and_lake, "a city of towers": city,
    "boats on the sea": boats_on_the_sea, "a monkey": monkey_portrait, "a robot that walks": robot,
    "mushrooms between rocks": mushrooms_and_rocks, "arches and columns": arches,
}


def light(build: Builder) -> None:
    """Set a sky of two colours and a sun of its own colour and height."""
    for lamp in [thing for thing in bpy.data.objects if thing.type == "LIGHT"]:
        bpy.data.objects.remove(lamp)
    evening = build.rng.random() < 0.3
    tree = bpy.context.scene.world.node_tree
    ramp = tree.nodes["Color Ramp"].color_ramp
    hue = build.between(0.5, 0.68)
    horizon = (0.9, 0.45, 0.2) if evening else colorsys.hsv_to_rgb(hue, 0.25, 0.95)
    ramp.elements[0].color = (*horizon, 1)
    ramp.elements[1].color = (*colorsys.hsv_to_rgb(hue, 0.7, 0.55 if evening else 0.8), 1)
    tree.nodes["Background"].inputs["Strength"].default_value = build.between(0.5, 1.0)
    bpy.ops.object.light_add(type="SUN", rotation=(build.between(0.5, 1.2), 0, build.between(-1.4, 1.4)))
    sun = bpy.context.object.data
    sun.energy, sun.angle = build.between(2, 5), 0.02
    sun.color = (1.0, 0.7, 0.45) if evening else (1.0, 0.95, 0.85)


def look(build: Builder) -> None:
    """Place the camera somewhere in front of the scene, looking at its middle."""
    angle, height = build.between(-0.6, 0.6), build.between(1.2, 4.0)
    lens = build.between(28, 60)
    distance = build.between(0.16, 0.24) * lens
    camera = bpy.context.scene.camera
    camera.data.lens = lens
    camera.location = (distance * math.sin(angle), -distance * math.cos(angle), height)
    aim = Vector((build.between(-0.8, 0.8), 0, build.between(0.7, 1.8))) - camera.location
    camera.rotation_euler = aim.to_track_quat("-Z", "Y").to_euler()


def empty_scene() -> None:
    """Start from an empty scene with a camera, a sky and fast Cycles settings; what noise is left is filtered later."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.world = bpy.data.worlds.new("World")
    scene.world.use_nodes = True
    nodes, links = scene.world.node_tree.nodes, scene.world.node_tree.links
    where, split, ramp = (nodes.new(f"ShaderNode{kind}") for kind in ("TexCoord", "SeparateXYZ", "ValToRGB"))
    links.new(where.outputs["Generated"], split.inputs[0])
    links.new(split.outputs["Z"], ramp.inputs[0])
    links.new(ramp.outputs[0], nodes["Background"].inputs[0])
    ramp.color_ramp.elements[1].position = 0.5
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = 10, False, 2
    scene.render.resolution_x, scene.render.resolution_y, scene.render.threads_mode = *SIZE, "FIXED"
    scene.render.threads = 1
    scene.render.image_settings.file_format = "PNG"


def render_scenes(folder: Path, scenes: int, seed: int) -> None:
    """Render ``scenes`` scenes; scene n depends on ``seed`` and n alone."""
    (folder / "renders").mkdir(parents=True, exist_ok=True)
    for number in range(scenes):
        build = Builder(np.random.default_rng((seed, number)))
        content = list(CONTENTS)[number % len(CONTENTS)]
        paths = [folder / "renders" / f"{number * VIEWS + view:05d}.png" for view in range(VIEWS)]
        if all(path.exists() for path in paths):
            continue
        empty_scene()
        CONTENTS[content](build)
        for path in paths:
            light(build)
            look(build)
            bpy.context.scene.render.filepath = str(path)
            bpy.ops.render.render(write_still=True)


def main(arguments: list[str]) -> None:
    """Render the scenes that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    render_scenes(options.folder, options.scenes, options.seed)


if __name__ == "__main__":
    main(sys.argv[1:])
