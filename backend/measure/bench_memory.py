"""Row of the bench about memory: how much a walk over large frames takes, in a process that does nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR

from ..bridge.files import write_file, write_json
from ..bridge.resident import most_resident
from ..motion.geometry import DataLayer
from ..shot.pictures import encode_png
from ..shot.shot import Shot, frame_file
from .rows import Rows, row
from .synthetic import SyntheticShot

SIZE = 1920, 1080
FRAMES = 250
WALKED = 10  # frames with which a shot's memory is full and has been turned over
POSES = 1, 2  # of the synthetic shot, between which the large one goes to and fro


def peak_memory(size: tuple[int, int] = SIZE, walked: int = WALKED) -> Rows:
    """Walk over a shot of ``FRAMES`` large frames as methods do, and report the most memory that was resident.

    Every frame is read and joined to the one before it and to the first. What a shot keeps is bounded
    (``motion.cache``), so that the peak is reached once that bound is.
    """
    name = f"peak memory, {FRAMES} frames of {size[0]} x {size[1]}"
    with tempfile.TemporaryDirectory() as folder:
        write_large_shot(Path(folder), size)
        package = __package__.rpartition(".")[0]  # the worker's name of it, wherever it lies
        code = f"from {package}.measure.bench_memory import walk; walk({folder!r}, {walked})"
        root = Path(__file__).resolve().parents[package.count(".") + 2]
        done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    return {name: row(int(done.stdout) / 2**30, "GiB", at_most=4)}


def walk(folder: str, walked: int) -> None:
    """Walk over the first frames of the shot in ``folder``; write the peak of this process, in bytes, to stdout."""
    shot = Shot.open(Path(folder))
    first = shot.frames[0]
    for before, frame in zip(shot.frames[:walked], shot.frames[1:], strict=False):
        shot.beauty(frame)
        shot.motion.pair(frame, before)
        shot.motion.pair(frame, first)
    sys.stdout.write(str(most_resident()))


def write_large_shot(folder: Path, size: tuple[int, int]) -> None:
    """Write a shot of ``FRAMES`` frames that goes to and fro between two poses; each file is there once, and linked."""
    shot = SyntheticShot(size)
    for name in ("beauty", "data"):
        (folder / name).mkdir()
    frames = list(range(1, FRAMES + 1))
    poses = {frame: POSES[frame % 2] for frame in frames}
    for frame, pose in poses.items():
        picture, data = folder / "beauty" / frame_file(frame, "png"), folder / "data" / frame_file(frame, "exr")
        if frame <= len(POSES):
            write_file(picture, encode_png(np.full((size[1], size[0], 3), 0.5, np.float32)))
            write_layer(data, shot.layer(pose), forward=pose == POSES[0])
        else:
            os.link(picture.with_name(frame_file(1 + (frame - 1) % 2, "png")), picture)
            os.link(data.with_name(frame_file(1 + (frame - 1) % 2, "exr")), data)
    matrices = [[shot.matrix(k, pose) for pose in poses.values()] for k in range(len(shot.info.objects))]
    np.save(folder / "matrices.npy", np.array(matrices))
    write_json(folder / "shot.json", _description(shot, poses))


def write_layer(path: Path, layer: DataLayer, forward: bool) -> None:
    """Write a data layer as Blender 4 does, in one part; both neighbours are the pose that lies ``forward`` or back."""
    x, y, z, w = np.moveaxis(layer.vector, -1, 0)
    known = (-z, -w, z, w) if forward else (x, y, -x, -y)
    passes: dict[str, tuple[np.ndarray, str]] = {
        "Depth": (layer.depth[..., None], "Z"),
        "Normal": (layer.normal, "XYZ"),
        "Vector": (np.nan_to_num(np.stack(known, -1)), "XYZW"),
        "Position": (layer.position, "XYZ"),
        "UV": (layer.uv, "UV"),
        "IndexOB": (layer.index[..., None].astype(np.float32), "X"),
        "TemperaGenerated": (np.dstack([layer.generated, layer.surface]).astype(np.float32), "RGBA"),
        "TemperaRest": (layer.rest, "RGB"),
        "TemperaRandom": (layer.random[..., None], "X"),
    }
    channels = {
        f"ViewLayer.{name}.{letter}": np.ascontiguousarray(values[..., k])
        for name, (values, letters) in passes.items()
        for k, letter in enumerate(letters)
    }
    header = {"compression": OpenEXR.ZIPS_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))


def _description(shot: SyntheticShot, poses: dict[int, int]) -> dict[str, Any]:
    """Return shot.json (format 1); only the ground is rigid, so that most of the picture is looked up."""
    frames = list(poses)
    cameras = {
        str(frame): {
            "name": "Camera", "type": "PERSP", "matrix_world": shot.info.cameras[pose].matrix_world.tolist(),
            "projection": shot.info.cameras[pose].projection.tolist(), "clip_end": 100.0,
        }
        for frame, pose in poses.items()
    }  # fmt: skip
    objects = [
        {
            "name": item.name, "instance": "", "random": item.random, "index": item.index,
            "rigid": item.name == "Ground", "type": "MESH", "topology": "constant",
        }
        for item in shot.info.objects
    ]  # fmt: skip
    return {
        "format": 1, "name": "Large", "source": "scene", "blender": "", "frames": frames, "data_frames": frames,
        "fps": 24.0, "size": list(shot.info.size), "pixel_aspect": [1.0, 1.0], "alpha": False, "colour": {}, "cuts": [],
        "view_layer": "ViewLayer", "cameras": cameras, "objects": objects,
        "vector": {"trusted": True, "reason": ""}, "notes": [],
    }  # fmt: skip
