"""The place of the demo shot: a meadow with a cobbled path, hills, trees, flowers, a windmill and a balloon."""

from __future__ import annotations

import math
from collections.abc import Callable

import bpy
import numpy as np
from mathutils import Matrix, Vector
from mathutils import noise as perlin

from .demo_kit import Graph, Point, Shape, colour, key_every_frame, paint_material, place, smoothstep

PATH_WIDTH = 0.75  # metres: half the width of the path
MILL = (8.0, 24.0)
PLACED_TREES = (  # x, y, kind
    (-6.5, 8.5, 0), (-8.4, 11.5, 3), (-4.4, 13.5, 1), (11.8, 12.5, 2), (-1.2, 20.0, 3), (0.2, 21.5, 2), (13.5, 17.5, 3),
    (-12.5, 14.5, 2), (15.5, 21.0, 1), (4.2, 27.0, 0),
)


def path_y(x: float | np.ndarray) -> float | np.ndarray:
    """Return where the path runs: y over x, metres; straight where the fox walks, then winding up to the mill."""
    return -0.45 * x + 0.055 * np.clip(x - 2.5, 0, None) ** 2


def height(x: float | np.ndarray, y: float | np.ndarray) -> float | np.ndarray:
    """Return the ground's height in metres: flat where the fox walks, hills behind, blue ridges at the back."""
    rolling = 0.5 + 0.35 * np.sin(0.23 * x + 0.6) + 0.3 * np.sin(0.31 * x - 0.27 * y + 2.0)
    ridge = 4.2 + 1.8 * np.sin(0.085 * x + 0.4) + 1.0 * np.sin(0.19 * x + 2.1)
    knoll = 0.7 * np.exp(-((x - MILL[0]) ** 2 + (y - MILL[1]) ** 2) / 30)
    back = smoothstep(3, 18, y)
    return back * rolling + knoll + smoothstep(24, 52, y) * ridge


def add_ground(scene: bpy.types.Scene) -> bpy.types.Object:
    """Add one grid, fine near the fox and coarse far away, that carries how near a point is to the path."""
    across = np.linspace(-1, 1, 150)
    x = 12 * across + 43 * across**3
    along = np.linspace(0, 1, 150)
    y = -7 + 22 * along + 60 * along**3
    points = np.stack([a.ravel() for a in np.broadcast_arrays(x[None, :], y[:, None])], 1)
    points = np.column_stack([points, height(points[:, 0], points[:, 1])])
    rows, columns = len(y), len(x)
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.stack([first, first + 1, first + columns + 1, first + columns], 1)
    shape = Shape()
    shape.add(points, faces, colour("#7BA33B"))
    mesh = shape.mesh("Meadow")
    near = 1 - smoothstep(0.6, 1.4, np.abs(points[:, 1] - path_y(points[:, 0])) / PATH_WIDTH)
    near *= 1 - smoothstep(9, 13, points[:, 0])
    mesh.attributes.new("path", "FLOAT", "POINT").data.foreach_set("value", near.astype(np.float32))
    return place(scene, "Meadow", mesh, ground_material())


def ground_material() -> bpy.types.Material:
    """Make grass in patches and strokes, cobbles where the attribute "path" is high, bluer with distance."""
    material = bpy.data.materials.new("Meadow")
    graph = Graph(material)
    rest = graph.attribute("rest", 1)
    far = graph.node("SeparateXYZ", {0: rest}, 1)
    blades = graph.noise(graph.node("Mapping", {"Vector": rest, "Scale": (1.0, 0.45, 1.0)}), 14.0, 2.0, 0.8)
    strokes = graph.mix(graph.ease(far, 0.0, 8.0), blades, graph.noise(rest, 3.0, 2.0, 0.5))
    grass = graph.mix(graph.ease(strokes, 0.36, 0.64), colour("#3F7A2B"), colour("#A5C445"))
    patch = graph.ease(graph.noise(rest, 0.55, 2.0), 0.42, 0.62)
    grass = graph.mix(graph.math("MULTIPLY", patch, 0.55), grass, colour("#E0CF5C"))
    grass = graph.mix(graph.ease(far, 10.0, 46.0), grass, graph.mix(strokes, colour("#4F8A80"), colour("#86B79C")))
    stones = cobbles(graph, rest)
    edge = graph.math("ADD", graph.attribute("path", 2), graph.math("MULTIPLY", graph.noise(rest, 5.0), 0.5))
    graph.surface(graph.mix(graph.ease(edge, 0.68, 0.78), grass, stones), 0.9, 0.1)
    return material


def cobbles(graph: Graph, rest: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    """Paint round stones of mixed warm greys in dark joints."""
    inputs = {"Vector": rest, "Scale": 4.2}
    cell = graph.node("TexVoronoi", inputs, output=1, voronoi_dimensions="2D")
    joint = graph.node("TexVoronoi", inputs, voronoi_dimensions="2D", feature="DISTANCE_TO_EDGE")
    shade = graph.node("SeparateColor", {0: cell})
    stone = graph.mix(shade, colour("#C9A27C"), colour("#EBD9B4"))
    stone = graph.mix(graph.math("MULTIPLY", shade.node.outputs[1], 0.5), stone, colour("#A98F9B"))
    grain = graph.ease(graph.noise(rest, 30.0, 2.0), 0.35, 0.65)
    stone = graph.mix(graph.math("MULTIPLY", grain, 0.35), stone, colour("#8B6F57"))
    return graph.mix(graph.ease(joint, 0.02, 0.09), colour("#6E5A3C"), stone)


def add_windmill(scene: bpy.types.Scene) -> bpy.types.Object:
    """Add a plastered tower with a red cap; return its sails, an object that turns."""
    tower, (x, y) = Shape(), MILL
    base = Vector((x, y, float(height(x, y)) - 0.2))
    wall = [colour("#FBEBD0"), colour("#F1D9B4")]
    heights = np.linspace(0, 4.4, 12)
    tower.tube([(0, 0, h) for h in heights], [1.5 - 0.13 * h for h in heights], wall, 16)
    tower.tube([(0, 0, 0), (0, 0, 0.5)], [1.58, 1.52], colour("#A9713F"), 16)
    tower.tube([(0, 0, 2.3), (0, 0, 2.42)], [1.3, 1.3], colour("#8A4B2A"), 16)
    cap = [(4.3, 1.15), (4.45, 1.12), (4.9, 0.85), (5.35, 0.45), (5.6, 0.05)]
    tower.tube([(0, 0, h) for h, _ in cap], [r for _, r in cap], [colour("#C8402F"), colour("#DD5B3A")], 16)
    front = Matrix.Rotation(math.radians(-14), 4, "Z")
    tower.box((0, -1.38, 0.75), (0.75, 0.3, 1.4), colour("#4B6E8C"), front)
    for h, side in ((1.95, -0.1), (3.3, 0.15)):
        tower.box((side, -1.5 + 0.13 * h, h), (0.42, 0.35, 0.5), colour("#3E5470"), front)
    obj = place(scene, "Windmill", tower.mesh("Windmill", smooth=False), paint_material("Plaster", 2.2, 0.3))
    obj.location = base
    return add_sails(scene, base + front @ Vector((0, -1.15, 4.55)), front)


def add_sails(scene: bpy.types.Scene, hub: Vector, front: Matrix) -> bpy.types.Object:
    """Add four latticed sails with patched cloth, turning once in four seconds."""
    shape = Shape()
    cloth = [colour("#F6E7C8"), colour("#E98F4E"), colour("#F6E7C8"), colour("#D9573F"), colour("#F6E7C8")]
    wood = colour("#6B4226")
    shape.ball((0, -0.05, 0), (0.22, 0.25, 0.22), colour("#8A4B2A"), 10, 8)
    for k in range(4):
        arm = Matrix.Rotation(k * math.pi / 2, 4, "Y")
        shape.box((0, -0.1, 1.65), (0.13, 0.12, 3.2), wood, arm)
        for n, paint in enumerate(cloth):
            shape.box((0.36, -0.1, 0.95 + 0.48 * n), (0.56, 0.04, 0.42), paint, arm)
            shape.box((0.34, -0.14, 0.72 + 0.48 * n), (0.68, 0.06, 0.06), wood, arm)
        shape.box((0.34, -0.14, 3.12), (0.68, 0.06, 0.06), wood, arm)
    sails = place(scene, "Sails", shape.mesh("Sails", smooth=False), paint_material("Sail Cloth", 3.0, 0.3))
    sails.location = hub
    yaw = front.to_euler().z
    key_every_frame(sails, "rotation_euler", scene, lambda t: (0, -0.35 - t * math.pi / 2, yaw))
    return sails


def add_balloon(scene: bpy.types.Scene, way: Callable[[float], Point]) -> bpy.types.Object:
    """Add a striped balloon on a string that follows ``way(seconds)``, swaying a little; metres."""
    shape = Shape()
    stripes = [colour("#D8343B")] * 3 + [colour("#FFF0D0")] * 3
    shape.ball((0, 0, 0), (0.27, 0.27, 0.31), stripes, 24, 18)
    shape.tube([(0, 0, -0.30), (0, 0, -0.36)], [0.03, 0.06], colour("#B32430"), 10)
    string = [(0.05 * math.sin(1.1 * k), 0, -0.36 - 0.1 * k) for k in range(9)]
    shape.tube(string, [0.012] * len(string), colour("#FFF6E0"), 6)
    balloon = place(scene, "Balloon", shape.mesh("Balloon"), paint_material("Balloon", 7.0, 0.16, 0.25))
    key_every_frame(balloon, "location", scene, way)
    key_every_frame(
        balloon, "rotation_euler", scene, lambda t: (0.05 * math.sin(3 * t), 0.16 * math.sin(2.3 * t + 1), 0.9 * t)
    )
    return balloon


def tree_mesh(name: str, seed: int, leaves: list[str], tall: bool = False) -> bpy.types.Mesh:
    """Make a trunk under four lumps of leaves, or under one slender lump (tall); about four metres high."""
    shape = Shape()
    shape.tube([(0, 0, -0.3), (0.05, 0, 0.8), (0, 0, 1.8)], [0.24, 0.16, 0.12], colour("#7A5233"), 8)
    round_lumps = [(0.75 * math.cos(2.1 * k), 0.75 * math.sin(2.1 * k), 2.1 + 0.35 * k) for k in range(4)]
    for k, centre in enumerate([(0, 0, 2.7)] if tall else round_lumps):
        start = len(shape.points)
        shape.ball(centre, (0.75, 0.75, 1.9) if tall else (1.05, 1.05, 0.85), colour(leaves[k % len(leaves)]), 16, 10)
        for n in range(start, len(shape.points)):
            point = Vector(shape.points[n])
            swell = 0.22 * perlin.noise(1.7 * point + Vector((seed, 0, 0)))
            shape.points[n] = tuple(point + swell * (point - Vector(centre)))
    return shape.mesh(name)


def add_trees(scene: bpy.types.Scene) -> None:
    """Put trees on the hills: a few placed ones that frame the picture, and woods behind; four meshes shared by all."""
    leaves = paint_material("Leaves", 5.5, 0.42, 0.9)
    kinds = [
        tree_mesh("Oak", 1, ["#3E7D3A", "#5C9A3D", "#2F6B45"]),
        tree_mesh("Cherry", 2, ["#E58FA6", "#F2B3BD", "#D9758F"]),
        tree_mesh("Linden", 4, ["#84AE42", "#A3BE4A", "#6E9B3C"]),
        tree_mesh("Poplar", 3, ["#356F45"], tall=True),
    ]
    rng = np.random.default_rng(7)
    spots = [(*spot, rng.uniform(0.9, 1.3)) for spot in PLACED_TREES]
    for _ in range(34):
        spots.append((rng.uniform(-34, 40), rng.uniform(27, 48), rng.choice((0, 0, 2, 3)), rng.uniform(0.8, 1.5)))
    for x, y, kind, size in spots:
        tree = place(scene, kinds[kind].name, kinds[kind], leaves)
        tree.location = (x, y, float(height(x, y)))
        tree.rotation_euler = (0, 0, rng.uniform(0, 6.28))
        tree.scale = (size, size, size * rng.uniform(0.9, 1.1))


def add_flowers(scene: bpy.types.Scene) -> bpy.types.Object:
    """Put poppies, daisies and cornflowers beside the path, as one mesh."""
    rng, shape = np.random.default_rng(11), Shape()
    petals = [colour(c) for c in ("#E6402F", "#FFF7EA", "#FFF7EA", "#F5B82E", "#6A7BE0", "#EE7FA8")]
    for _ in range(420):
        x, y = rng.uniform(-6, 9), rng.uniform(-4.6, 8)
        if abs(y - float(path_y(x))) < 1.35 * PATH_WIDTH:
            continue
        ground, tall, size = float(height(x, y)), rng.uniform(0.08, 0.26), rng.uniform(0.045, 0.085)
        shape.tube([(x, y, ground), (x, y, ground + tall)], [0.010, 0.008], colour("#3F7A2B"), 4)
        paint = petals[rng.integers(len(petals))]
        for k in range(5):
            a = 1.2566 * k + rng.random()
            centre = (x + size * math.cos(a), y + size * math.sin(a), ground + tall + 0.02)
            shape.ball(centre, (0.75 * size, 0.75 * size, 0.35 * size), paint, 6, 4)
        shape.ball((x, y, ground + tall + 0.03), (0.5 * size, 0.5 * size, 0.4 * size), colour("#F2B01E"), 6, 4)
    return place(scene, "Flowers", shape.mesh("Flowers"), paint_material("Petals", 6.0, 0.15))
