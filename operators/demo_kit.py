"""The few building blocks of the demo shots: shapes, node graphs and keyed motion, through bpy.data alone.

Units are metres, z is up. Colours are written as sRGB hex and stored linear, as Blender keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from mathutils import Color, Matrix, Vector

FPS = 24
Colour = tuple[float, float, float, float]
Paint = Colour | list[Colour]
Point = tuple[float, float, float]


def colour(text: str) -> Colour:
    """Return ``"#RRGGBB"``, which is sRGB, as linear (r, g, b, 1)."""
    encoded = Color([int(text[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return (*encoded.from_srgb_to_scene_linear(), 1.0)


def smoothstep(low: float, high: float, value: Any) -> Any:
    """Return 0 below ``low``, 1 above ``high`` and a cubic ease between, for a number or an array."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


@dataclass
class Shape:
    """A mesh in the making, part by part.

    ``faces`` index ``points``; ``colours`` has one entry a face; ``groups`` names the bone that carries each point.
    """

    points: list[Sequence[float]] = field(default_factory=list)
    faces: list[tuple[int, ...]] = field(default_factory=list)
    colours: list[Colour] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    bone: str = ""

    def add(self, points: Any, faces: Any, paint: Paint) -> None:
        """Append a part: points (n, 3), faces of indices into them; colours are dealt to the faces in turn."""
        start = len(self.points)
        self.points.extend(tuple(map(float, point)) for point in points)
        self.faces.extend(tuple(start + int(k) for k in face) for face in faces)
        paints = [paint] if isinstance(paint, tuple) else paint
        self.colours.extend(paints[k % len(paints)] for k in range(len(faces)))
        self.groups.extend([self.bone] * (len(self.points) - start))

    def tube(
        self,
        path: Sequence[Point] | np.ndarray,
        radii: Sequence[float] | np.ndarray,
        paint: Paint,
        sides: int,
        flat: float = 1.0,
    ) -> None:
        """Append a tube of round sections along ``path``, with closed ends; a path that ends where it began is a ring.

        Several colours make stripes along the path; ``sides`` is a multiple of their number. ``flat`` scales the
        sections' second axis.
        """
        ring = np.allclose(path[0], path[-1])
        line = np.array(path[:-1] if ring else path, float)
        ahead = np.roll(line, -1, 0) - np.roll(line, 1, 0)
        if not ring:
            ahead[0], ahead[-1] = line[1] - line[0], line[-1] - line[-2]
        angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
        points, up = [], first_normal(ahead[0])
        for centre, direction, radius in zip(line, unit(ahead), radii, strict=False):
            up = unit(up - up @ direction * direction)  # carried along, so that the sections do not turn
            across = np.cross(up, direction)
            points.append(centre + radius * (np.cos(angles) * across + flat * np.sin(angles) * up))
        index = np.arange(len(line) * sides).reshape(-1, sides)
        if ring:
            index = np.concatenate([index, index[:1]])
        near, far = index[:-1], index[1:]
        faces = np.stack([near, np.roll(near, -1, 1), np.roll(far, -1, 1), far], -1).reshape(-1, 4).tolist()
        self.add(np.concatenate(points), faces if ring else [*faces, index[0][::-1], index[-1]], paint)

    def ball(self, centre: Point, radii: Point, paint: Paint, sides: int = 20, rings: int = 12) -> None:
        """Append an ellipsoid with its poles along z; several colours make it striped like a beach ball."""
        start, angle = len(self.points), np.linspace(0, np.pi, rings + 1)[1:-1]
        self.tube([(0.0, 0.0, -z) for z in np.cos(angle)], np.sin(angle), paint, sides)
        self.points[start:] = (np.array(self.points[start:]) * radii + centre).tolist()

    def box(self, centre: Point, size: Point, paint: Paint, matrix: Matrix | None = None) -> None:
        """Append a box of edge lengths ``size``; ``matrix`` is applied to it last."""
        corners = [Vector(centre) + Vector(size) * (Vector(k) - Vector((0.5, 0.5, 0.5))) for k in np.ndindex(2, 2, 2)]
        sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
        self.add([matrix @ corner for corner in corners] if matrix else corners, sides, paint)

    def mesh(self, name: str, smooth: bool = True) -> bpy.types.Mesh:
        """Make a mesh with the attributes "Colour" (per face) and "rest" (per point) that the materials read."""
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(self.points, [], self.faces)
        mesh.polygons.foreach_set("use_smooth", [smooth] * len(self.faces))
        paint = mesh.attributes.new("Colour", "FLOAT_COLOR", "FACE")
        paint.data.foreach_set("color", np.array(self.colours, np.float32).ravel())
        rest = mesh.attributes.new("rest", "FLOAT_VECTOR", "POINT")
        rest.data.foreach_set("vector", np.array(self.points, np.float32).ravel())
        return mesh


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (..., 3) of length one."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def first_normal(direction: np.ndarray) -> np.ndarray:
    """Return a vector (3,) across ``direction`` (3,) and across x; where it runs along x, across y."""
    along_x = abs(unit(direction)[0]) > 0.95
    return np.cross(direction, (0.0, 1.0, 0.0) if along_x else (1.0, 0.0, 0.0))


class Graph:
    """A shader node tree written as calls: every call adds a node and returns one of its output sockets."""

    def __init__(self, owner: bpy.types.Material | bpy.types.World) -> None:
        """Take over the node tree of a new material or world and empty it."""
        if owner.node_tree is None:  # Blender 5 gives every new material a tree and deprecates the switch
            owner.use_nodes = True
        self.tree = owner.node_tree
        self.tree.nodes.clear()

    def node(self, kind: str, inputs: Mapping[Any, Any] | None = None, output: int = 0, **settings: Any) -> Any:
        """Add ``ShaderNode<kind>``; an input is a socket to link or a value, found by name or index."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in settings.items():
            setattr(node, name, value)
        for key, value in (inputs or {}).items():
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, node.inputs[key])
            else:
                node.inputs[key].default_value = value
        return node.outputs[output] if node.outputs else node

    def math(self, operation: str, *values: Any) -> Any:
        """Add a Math node."""
        return self.node("Math", dict(enumerate(values)), operation=operation)

    def mix(self, factor: Any, first: Any, second: Any, blend: str = "MIX") -> Any:
        """Add a colour Mix node: ``first`` at factor 0, ``second`` at 1."""
        node = self.tree.nodes.new("ShaderNodeMix")
        node.data_type, node.blend_type = "RGBA", blend
        sockets = {socket.identifier: socket for socket in node.inputs}
        for name, value in (("Factor_Float", factor), ("A_Color", first), ("B_Color", second)):
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, sockets[name])
            else:
                sockets[name].default_value = value
        return next(socket for socket in node.outputs if socket.identifier == "Result_Color")

    def noise(self, vector: Any, scale: float, detail: float = 2.0, distortion: float = 0.0) -> Any:
        """Add Perlin noise about 0.5 (the node's first output)."""
        inputs = {"Vector": vector, "Scale": scale, "Detail": detail, "Distortion": distortion}
        return self.node("TexNoise", inputs)

    def attribute(self, name: str, output: int = 0) -> Any:
        """Read a mesh attribute: output 0 as colour, 1 as vector, 2 as number."""
        return self.node("Attribute", output=output, attribute_name=name)

    def ease(self, value: Any, low: float, high: float) -> Any:
        """Ease ``value`` (smoothstep) from ``low`` to ``high``."""
        inputs = {"Value": value, "From Min": low, "From Max": high}
        return self.node("MapRange", inputs, interpolation_type="SMOOTHSTEP")

    def surface(self, paint: Any, roughness: float, specular: float = 0.3) -> None:
        """End a material in a Principled BSDF."""
        inputs = {"Base Color": paint, "Roughness": roughness, "Specular IOR Level": specular}
        self.node("OutputMaterial", {"Surface": self.node("BsdfPrincipled", inputs)})


def paint_material(name: str, grain: float, amount: float, roughness: float = 0.8) -> bpy.types.Material:
    """Make a material of the mesh's own colours, mottled at two sizes in rest coordinates.

    ``grain`` is the coarse frequency per metre (the fine one is five times that), ``amount`` the contrast 0..1.
    """
    material = bpy.data.materials.new(name)
    graph = Graph(material)
    rest = graph.attribute("rest", 1)
    coarse, fine = graph.noise(rest, grain, 2.0), graph.noise(rest, grain * 5, 2.0, 0.6)
    tone = graph.math("ADD", graph.math("MULTIPLY", coarse, 0.6), graph.math("MULTIPLY", fine, 0.4))
    tone = graph.ease(tone, 0.36, 0.64)
    own = graph.attribute("Colour")
    dark = graph.mix(1.0, own, (1 - amount, 1 - 1.05 * amount, 1 - 0.75 * amount, 1.0), "MULTIPLY")
    light = graph.mix(0.45 * amount, own, (1.0, 0.92, 0.7, 1.0))
    graph.surface(graph.mix(tone, dark, light), roughness)
    return material


def place(
    scene: bpy.types.Scene, name: str, data: bpy.types.ID, material: bpy.types.Material | None = None
) -> bpy.types.Object:
    """Link a new object of ``data`` into ``scene``, with one material where given."""
    obj = bpy.data.objects.new(name, data)
    scene.collection.objects.link(obj)
    if material is not None and not data.materials:
        data.materials.append(material)
    return obj


def key_every_frame(
    target: bpy.types.bpy_struct, path: str, scene: bpy.types.Scene, value: Callable[[float], Any]
) -> None:
    """Key ``path`` with ``value(seconds)`` on every frame, so that no interpolation setting of the artist matters.

    One frame before and one after the range are keyed too: motion vectors look that far.
    """
    for frame in range(scene.frame_start - 1, scene.frame_end + 2):
        setattr(target, path, value((frame - scene.frame_start) / FPS))
        target.keyframe_insert(path, frame=frame)


def aim_camera(
    scene: bpy.types.Scene, lens: float, eye: Callable[[float], Point], target: Callable[[float], Point]
) -> bpy.types.Object:
    """Give the scene a camera at ``eye(seconds)`` that looks at ``target(seconds)``; ``lens`` in millimetres."""
    camera = place(scene, "Camera", bpy.data.cameras.new("Camera"))
    camera.data.lens, camera.data.clip_end = lens, 500.0
    scene.camera = camera

    def turn(seconds: float) -> Any:
        ahead = Vector(target(seconds)) - Vector(eye(seconds))
        return ahead.to_track_quat("-Z", "Y").to_euler()

    key_every_frame(camera, "location", scene, eye)
    key_every_frame(camera, "rotation_euler", scene, turn)
    return camera
