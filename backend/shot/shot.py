"""A shot: what capture wrote into ``JOB/shot``, read lazily as arrays."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..bridge.errors import UserError
from ..motion.cache import LAYERS, MEMORY, PICTURES, Budget, Cache
from ..motion.correspondence import Motion
from ..motion.estimate import EstimatedMotion
from ..motion.exact import ExactMotion
from ..motion.geometry import Camera, DataLayer, SceneGeometry, SceneObject
from .exr import read_layer
from .pictures import read_picture

FORMAT = 1
AGAIN = "Capture the shot again."
FEW = 8  # data layers kept, if they are large: motion keeps what it needs of them for long
PIXEL = 86  # bytes that a pixel of a data layer takes

__all__ = ["DataLayer", "Shot", "ShotInfo"]

@dataclass(frozen=True)
class VectorTrust:
    """Whether this Blender writes a right Vector pass for the shot's cameras, and if not, the reason."""

    trusted: bool
    reason: str


@dataclass(frozen=True)
class ShotInfo:
    """What ``shot.json`` says (format 1).

    ``frames`` have a beauty image, ``data_frames`` a data layer; ``size`` is (width, height) in pixels; ``colour`` is
    the scene's display transform; ``cuts`` are frames that are the first of a new camera; ``notes`` are sentences for
    the artist.
    """

    name: str
    source: str
    blender: str
    frames: tuple[int, ...]
    data_frames: tuple[int, ...]
    fps: float
    size: tuple[int, int]
    pixel_aspect: tuple[float, float]
    alpha: bool
    colour: Mapping[str, Any]
    cuts: tuple[int, ...]
    view_layer: str
    cameras: Mapping[int, Camera]
    objects: tuple[SceneObject, ...]
    vector: VectorTrust
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A source frame: ``colour`` ``(H, W, 3)`` float32 in [0, 1], ``alpha`` ``(H, W)`` or None."""

    colour: np.ndarray
    alpha: np.ndarray | None


def frame_file(frame: int, extension: str) -> str:
    """Name the file of a frame: six digits, negative frames with a sign."""
    return f"{frame:06d}.{extension}"


class Shot:
    """One shot on disk. Frames are loaded when asked for; ``memory`` is for what motion keeps."""

    def __init__(self, folder: Path, info: ShotInfo, matrices: np.ndarray) -> None:
        self.folder, self.info, self.matrices = folder, info, matrices
        self.memory = Budget(MEMORY if info.data_frames else MEMORY + LAYERS)
        self._beauty: Cache[int, Picture] = Cache(PICTURES, self._load_beauty)
        self._layers: Cache[int, DataLayer] = Cache(layers_kept(info.size), self._load_layer)

    @classmethod
    def open(cls, folder: Path) -> Shot:
        """Open ``JOB/shot``; check that every frame is there and of the shot's size, without decoding any.

        Raises UserError where the capture is not whole, is of a newer format, or a frame is missing or of another size.
        """
        info = parse_info(read_json(folder / "shot.json"))
        check_files(folder, info)
        matrices = np.empty((0, len(info.data_frames), 4, 4))
        if info.objects:
            matrices = read_matrices(folder / "matrices.npy", (len(info.objects), len(info.data_frames), 4, 4))
        return cls(folder, info, matrices)

    def only(self, frames: Collection[int]) -> Shot:
        """Return the same shot as if it had the beauty images of ``frames`` alone; its data layer stays whole.

        Raises UserError where one of them is not in the shot.
        """
        missing = sorted(set(frames) - set(self.frames))
        if missing:
            raise UserError(f"Frame {missing[0]} is not in the shot. {AGAIN}")
        return Shot(self.folder, dataclasses.replace(self.info, frames=tuple(sorted(frames))), self.matrices)

    @property
    def frames(self) -> tuple[int, ...]:
        """The frames that have a beauty image, in order."""
        return self.info.frames

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.info.size[0]

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.info.size[1]

    @property
    def has_data(self) -> bool:
        """Whether the shot has a data layer (a scene does, footage does not)."""
        return bool(self.info.data_frames)

    def beauty(self, frame: int) -> np.ndarray:
        """Return the source frame, ``(H, W, 3)`` float32 display-referred sRGB in [0, 1]; not to be written to."""
        return self._beauty.get(frame).colour

    def alpha(self, frame: int) -> np.ndarray | None:
        """Return the source frame's alpha, ``(H, W)`` float32 in [0, 1]; None where the frames have none."""
        return self._beauty.get(frame).alpha

    def layer(self, frame: int) -> DataLayer | None:
        """Return the data layer of ``frame``; None for footage."""
        return self._layers.get(frame) if self.has_data else None

    @cached_property
    def motion(self) -> Motion:
        """Where any surface point goes: exact from the data layer, or estimated from the frames of footage."""
        info = self.info
        if not self.has_data:
            return EstimatedMotion(self.frames, self.beauty, frozenset(info.cuts), self.memory)
        scene = SceneGeometry(
            frames=info.data_frames,
            size=info.size,
            cameras=info.cameras,
            objects=info.objects,
            matrices=self.matrices,
            cuts=frozenset(info.cuts),
            layer=self._layers.get,
            vector_reason="" if info.vector.trusted else info.vector.reason,
        )
        return ExactMotion(scene, self.memory)

    def _load_beauty(self, frame: int) -> Picture:
        if frame not in self.frames:
            raise UserError(f"Frame {frame} is not in the shot. {AGAIN}")
        colour, alpha = read_picture(self.folder / "beauty" / frame_file(frame, "png"))
        colour.setflags(write=False)
        return Picture(colour, alpha)

    def _load_layer(self, frame: int) -> DataLayer:
        if frame not in self.info.data_frames:
            raise UserError(f"Frame {frame} has no data layer. {AGAIN}")
        return read_layer(self.folder / "data" / frame_file(frame, "exr"), self.info.size, self.info.view_layer)


def layers_kept(size: tuple[int, int]) -> int:
    """Return how many bytes of data layers are kept, of frames of ``size`` (width, height): ``FEW`` if they are large.

    Of small ones more; of the largest fewer, but two, since neighbours are read together.
    """
    layer = size[0] * size[1] * PIXEL
    return min(max(FEW * layer, LAYERS // 2), max(LAYERS, 2 * layer))


def read_json(path: Path) -> dict[str, Any]:
    """Read ``shot.json``; UserError where it is missing, damaged or of a newer format."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"The shot in {path.parent} is not whole: shot.json is missing. {AGAIN}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"The shot's description {path} cannot be read. {AGAIN}") from error
    if not isinstance(found, dict) or not isinstance(found.get("format"), int):
        raise UserError(f"The shot's description {path} is not one of Tempera's. {AGAIN}")
    if found["format"] > FORMAT:
        raise UserError("The shot was captured by a newer Tempera. Update Tempera, or capture the shot again.")
    return found


def parse_info(found: dict[str, Any]) -> ShotInfo:
    """Turn the contents of ``shot.json`` into a ShotInfo; UserError where an entry is missing or makes no sense."""
    try:
        vector = found["vector"]
        info = ShotInfo(
            name=str(found["name"]),
            source=str(found["source"]),
            blender=str(found["blender"]),
            frames=tuple(map(int, found["frames"])),
            data_frames=tuple(map(int, found["data_frames"])),
            fps=float(found["fps"]),
            size=(int(found["size"][0]), int(found["size"][1])),
            pixel_aspect=(float(found["pixel_aspect"][0]), float(found["pixel_aspect"][1])),
            alpha=bool(found["alpha"]),
            colour=dict(found["colour"]),
            cuts=tuple(map(int, found["cuts"])),
            view_layer=str(found["view_layer"]),
            cameras={int(frame): parse_camera(camera) for frame, camera in found["cameras"].items()},
            objects=tuple(parse_object(entry) for entry in found["objects"]),
            vector=VectorTrust(bool(vector["trusted"]), str(vector["reason"] or "The Vector pass is not trusted.")),
            notes=tuple(map(str, found["notes"])),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"The shot's description is damaged at {error}. {AGAIN}") from error
    check_frames(info)
    return info


def parse_camera(entry: dict[str, Any]) -> Camera:
    """Read a camera of ``shot.json``."""
    world, projection = (np.array(entry[k], np.float64).reshape(4, 4) for k in ("matrix_world", "projection"))
    if not (np.isfinite(world).all() and np.isfinite(projection).all()):
        raise ValueError("cameras")
    world[:3, :3] /= np.linalg.norm(world[:3, :3], axis=0)  # Blender renders as if a scaled camera were not
    return Camera(str(entry["name"]), str(entry["type"]), world, projection, float(entry["clip_end"]))


def parse_object(entry: dict[str, Any]) -> SceneObject:
    """Read an object or instance of ``shot.json``."""
    return SceneObject(
        name=str(entry["name"]),
        instance=str(entry["instance"]),
        random=float(entry["random"]),
        index=int(entry["index"]),
        rigid=bool(entry["rigid"]),
        kind=str(entry["type"]),
        topology=str(entry["topology"]),
    )


def check_frames(info: ShotInfo) -> None:
    """Raise UserError where the frame lists or the size make no sense."""
    if not info.frames or list(info.frames) != sorted(set(info.frames)):
        raise UserError(f"The shot has no frames, or not in order. {AGAIN}")
    if min(info.size) < 1 or not math.isfinite(info.fps):
        raise UserError(f"The shot has no size. {AGAIN}")
    if not info.data_frames:
        return
    first, last = info.data_frames[0], info.data_frames[-1]
    if info.data_frames != tuple(range(first, last + 1)) or info.frames[0] < first or info.frames[-1] > last:
        raise UserError(f"The data layer does not cover every frame of the shot. {AGAIN}")
    if set(info.data_frames) - set(info.cameras):
        raise UserError(f"The shot has no camera for frame {min(set(info.data_frames) - set(info.cameras))}. {AGAIN}")


def check_files(folder: Path, info: ShotInfo) -> None:
    """Raise UserError where a frame's file is missing, or a beauty frame is not of the shot's size."""
    wanted = [folder / "beauty" / frame_file(frame, "png") for frame in info.frames]
    wanted += [folder / "data" / frame_file(frame, "exr") for frame in info.data_frames]
    missing = [path for path in wanted if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"The shot lacks {missing[0].parent.name}/{missing[0].name}{more}. {AGAIN}")
    for path in wanted[: len(info.frames)]:
        try:
            with Image.open(path) as image:
                size = image.size
        except OSError as error:
            raise UserError(f"The image {path.name} cannot be read. {AGAIN}") from error
        if size != info.size:
            sizes = f"{size[0]} x {size[1]} pixels, the shot {info.size[0]} x {info.size[1]}"
            raise UserError(f"The image {path.name} is {sizes}. {AGAIN}")


def read_matrices(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read ``matrices.npy``; UserError where it is missing, damaged or of another shape."""
    try:
        matrices = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"The shot's object matrices cannot be read. {AGAIN}") from error
    if matrices.shape != shape:
        raise UserError(f"The shot's object matrices do not match its objects and frames. {AGAIN}")
    return matrices.astype(np.float64)
