"""Scenes to capture, and instruments to measure what came out: an EXR reader of our own, reprojection, an RNA dump."""

from __future__ import annotations

import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from sequencer_kit import write_png

SIZE = (128, 72)
# "uv_sculpt" crashes 4.2; "storage_type", of 5.2, is changed by reading an attribute.
UNREADABLE = {"rna_type", "bl_rna", "depsgraph", "original", "preview", "uv_sculpt", "storage_type"}
LAYOUT = {"screens", "window_managers", "workspaces"}


# Scenes


def new_scene(frames: tuple[int, int] = (1, 3), samples: int = 1) -> bpy.types.Scene:
    """A scene of Cycles frames with a camera that moves and turns; ``SIZE`` pixels."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = frames
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.cycles.device, scene.cycles.samples = "CPU", samples
    scene.cycles.use_denoising = False
    scene.world = scene.world or bpy.data.worlds.new("World")
    add_camera(scene, "Camera", (0.0, -8.0, 1.0))
    return scene


def add_camera(scene: bpy.types.Scene, name: str, start: tuple[float, float, float]) -> bpy.types.Object:
    """A camera that looks along +y, moves to the right and turns."""
    camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    scene.collection.objects.link(camera)
    for frame in (0, 10):
        camera.location = (start[0] + 0.1 * frame, *start[1:])
        camera.rotation_euler = (math.pi / 2, 0.01 * frame, 0.02 * frame)
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_euler", frame=frame)
    scene.camera = scene.camera or camera
    return camera


def box(name: str, location: tuple[float, float, float], size: float = 1.0, owner: Any = None) -> bpy.types.Object:
    """A cube of edge length ``size`` in the scene's collection, or in ``owner``."""
    mesh = bpy.data.meshes.new(name)
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh.from_pydata([[size / 2 * c for c in corner] for corner in corners], [], faces)
    item = bpy.data.objects.new(name, mesh)
    item.location = location
    (owner or bpy.context.scene.collection).objects.link(item)
    return item


def spin(item: bpy.types.Object) -> bpy.types.Object:
    """Let an object move and turn over frames 0 to 10."""
    start = item.location.copy()
    for frame in (0, 10):
        item.location = (start[0], start[1] - 0.1 * frame, start[2] + 0.06 * frame)
        item.rotation_euler = (0.1 * frame, 0.0, 0.15 * frame)
        item.keyframe_insert("location", frame=frame)
        item.keyframe_insert("rotation_euler", frame=frame)
    return item


def node_group(name: str) -> bpy.types.NodeTree:
    """A Geometry Nodes group with a geometry output and nothing else."""
    group = bpy.data.node_groups.new(name, "GeometryNodeTree")
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    group.nodes.new("NodeGroupOutput")
    return group


def line_of_cubes(count: int) -> bpy.types.NodeTree:
    """Geometry Nodes that make ``count`` instances of a cube along x."""
    group = node_group("Cubes on a line")
    line, cube = group.nodes.new("GeometryNodeMeshLine"), group.nodes.new("GeometryNodeMeshCube")
    line.inputs["Count"].default_value = count
    line.inputs["Offset"].default_value = (0.9, 0.0, 0.0)
    cube.inputs["Size"].default_value = (0.5, 0.5, 0.5)
    scatter = group.nodes.new("GeometryNodeInstanceOnPoints")
    group.links.new(line.outputs["Mesh"], scatter.inputs["Points"])
    group.links.new(cube.outputs["Mesh"], scatter.inputs["Instance"])
    group.links.new(scatter.outputs["Instances"], group.nodes["Group Output"].inputs["Geometry"])
    return group


def key_shape(item: bpy.types.Object) -> None:
    """Deform a mesh by a shape key over frames 0 to 10."""
    item.shape_key_add(name="Basis")
    key = item.shape_key_add(name="Wide")
    for point in key.data:
        point.co.x *= 2
    for frame in (0, 10):
        key.value = frame / 10
        key.keyframe_insert("value", frame=frame)


def add_file_output(scene: bpy.types.Scene, folder: Path) -> bpy.types.NodeTree:
    """Let the compositor write the picture into a folder of the artist's."""
    if hasattr(scene, "compositing_node_group"):
        tree = scene.compositing_node_group = bpy.data.node_groups.new("Compositing", "CompositorNodeTree")
        output = tree.nodes.new("CompositorNodeOutputFile")
        output.directory = str(folder)
        output.file_output_items.new("RGBA", "Image")
    else:
        scene.use_nodes = True
        tree = scene.node_tree
        output = tree.nodes.new("CompositorNodeOutputFile")
        output.base_path = str(folder)
    layers = tree.nodes.new("CompositorNodeRLayers")
    tree.links.new(layers.outputs["Image"], output.inputs[0])
    return tree


# Instruments


def read_exr(path: Path) -> dict[str, np.ndarray]:
    """Every pass of a ZIP float32 scanline file, one part or several: pass -> (H, W, channels in the file's order)."""
    data = path.read_bytes()
    multipart = struct.unpack_from("<I", data, 4)[0] & 0x1000
    at, headers = 8, []
    while multipart or not headers:
        at, header = read_header(data, at)
        if not header:
            break
        headers.append(header)
    passes: dict[str, list[np.ndarray]] = {}
    for header in headers:
        names = channel_names(header["channels"])
        x0, y0, x1, y1 = struct.unpack("<4i", header["dataWindow"])
        chunks = -(-(y1 - y0 + 1) // 16)
        offsets = struct.unpack_from(f"<{chunks}Q", data, at)
        at += 8 * chunks
        starts = [offset + (4 if multipart else 0) for offset in offsets]
        image = np.concatenate([read_chunk(data, start, x1 - x0 + 1, len(names)) for start in starts])
        for index, name in enumerate(names):
            passes.setdefault(name.split(".")[-2], []).append(image[:, index])
    return {name: np.stack(channels, -1) for name, channels in passes.items()}


def read_header(data: bytes, at: int) -> tuple[int, dict[str, bytes]]:
    """One header's attributes, and where it ends; an empty one ends the list."""
    header = {}
    while data[at]:
        name, _, rest = data[at : at + 600].partition(b"\0")
        kind = rest.partition(b"\0")[0]
        at += len(name) + len(kind) + 2
        size = struct.unpack_from("<I", data, at)[0]
        header[name.decode()] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return at + 1, header


def channel_names(listed: bytes) -> list[str]:
    """The names in a channel list; all must be float32."""
    names = []
    while listed[0]:
        name, _, rest = listed.partition(b"\0")
        assert struct.unpack_from("<I", rest)[0] == 2, f"{name!r} is not float32"
        names.append(name.decode())
        listed = rest[16:]
    return names


def read_chunk(data: bytes, at: int, width: int, channels: int) -> np.ndarray:
    """A block of up to 16 lines as (lines, channels, width)."""
    size = struct.unpack_from("<I", data, at + 4)[0]
    packed = data[at + 8 : at + 8 + size]
    try:
        coded = np.frombuffer(zlib.decompress(packed), np.uint8)
    except zlib.error:  # stored as it is where compression would not make it smaller
        return np.frombuffer(packed, "<f4").reshape(-1, channels, width)
    steps = coded.astype(np.int64) - 128
    steps[0] += 128
    halves = np.cumsum(steps).astype(np.uint8)
    middle = (len(halves) + 1) // 2
    raw = np.empty_like(halves)
    raw[0::2], raw[1::2] = halves[:middle], halves[middle:]
    return raw.view("<f4").reshape(-1, channels, width)


def read_png(path: Path) -> np.ndarray:
    """The 8-bit values of a picture, (H, W, 3 or 4), row 0 at the top."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    image.alpha_mode = "CHANNEL_PACKED"
    width, height = image.size
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)
    depth = image.depth // 8
    bpy.data.images.remove(image)
    return np.rint(values.reshape(height, width, -1)[::-1, :, :depth] * 255).astype(int)


class Captured:
    """A captured shot, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info = json.loads((folder / "shot.json").read_text(encoding="utf-8"))
        self.objects = self.info["objects"]
        self.matrices = np.load(folder / "matrices.npy") if self.objects else np.empty((0, 0, 4, 4))

    def beauty(self, frame: int) -> np.ndarray:
        return read_png(self.folder / "beauty" / f"{frame:06d}.png")

    def data(self, frame: int) -> dict[str, np.ndarray]:
        return read_exr(self.folder / "data" / f"{frame:06d}.exr")

    def project(self, points: np.ndarray, frame: int) -> np.ndarray:
        """World points (n, 3) -> pixels (n, 2), pixel centres at integers, y down, by the camera of ``frame``."""
        camera = self.info["cameras"][str(frame)]
        width, height = self.info["size"]
        to_clip = np.array(camera["projection"]) @ np.linalg.inv(camera["matrix_world"])
        clip = np.c_[points, np.ones(len(points))] @ to_clip.T
        ndc = clip[:, :2] / clip[:, 3:]
        return np.c_[(ndc[:, 0] + 1) / 2 * width - 0.5, (1 - ndc[:, 1]) / 2 * height - 0.5]

    def surface(self, frame: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Pixels (n, 2) on geometry, the row of ``objects`` that each shows, and their passes (n, channels)."""
        passes = self.data(frame)
        hit = passes["TemperaGenerated"][..., 0] == 1  # in the file's order A, B, G, R
        rows, columns = np.nonzero(hit)
        seen = {name: values[hit] for name, values in passes.items()}
        numbers = np.array([entry["random"] for entry in self.objects], np.float32)
        match = seen["TemperaRandom"] == numbers
        assert (match.sum(1) == 1).all(), "a pixel shows no object, or several"
        return np.c_[columns, rows].astype(float), match.argmax(1), seen

    def vector_error(self, frame: int) -> float:
        """Largest disagreement, in pixels, of the Vector pass towards the next frame with what the matrices say."""
        pixels, rows, seen = self.surface(frame)
        world = seen["Position"]
        column = self.info["data_frames"].index(frame)
        moves = self.matrices[:, column + 1] @ np.linalg.inv(self.matrices[:, column])
        rigid = np.array([entry["rigid"] for entry in self.objects])[rows]
        moved = np.einsum("nij,nj->ni", moves[rows], np.c_[world, np.ones(len(world))])[:, :3]
        w, _, _, z = np.moveaxis(seen["Vector"], 1, 0)  # in the file's order W, X, Y, Z
        told = pixels + np.c_[-z, w]
        return float(np.abs(told - self.project(moved, frame + 1))[rigid].max())


def dump(value: Any, depth: int = 0) -> Any:
    """All that RNA says of an ID or a struct; other IDs by name."""
    if isinstance(value, bpy.types.ID) and depth:
        return value.name_full
    found = {}
    for prop in value.bl_rna.properties:
        if prop.identifier in UNREADABLE:
            continue
        at = getattr(value, prop.identifier, None)
        if prop.type == "POINTER":
            at = dump(at, depth + 1) if at is not None and depth < 6 else None
        elif prop.type == "COLLECTION":
            at = [dump(each, depth + 1) for each in at] if depth < 6 else len(at)
        elif getattr(prop, "is_array", False):
            at = [list(row) if hasattr(row, "__len__") else row for row in at]
        found[prop.identifier] = sorted(at) if isinstance(at, set) else at
    return found


def dump_file() -> dict[str, Any]:
    """The whole open file but for the window's layout, and what Blender thinks of it."""
    kinds = {prop.identifier for prop in bpy.data.bl_rna.properties if prop.type == "COLLECTION"}
    whole = {kind: [dump(item) for item in getattr(bpy.data, kind)] for kind in sorted(kinds - LAYOUT)}
    return whole | {"path": bpy.data.filepath, "dirty": bpy.data.is_dirty, "scene": bpy.context.scene.name}


def numbered_pictures(folder: Path, count: int, seed: int = 1) -> list[Path]:
    """Pictures of ``SIZE`` whose every pixel is random, so that any resampling, shift or colour change shows."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = [folder / f"p{index:03d}.png" for index in range(count)]
    for path in paths:
        write_png(path, rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8))
    return paths
