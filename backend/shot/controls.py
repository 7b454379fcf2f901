"""Control images for ControlNets, computed from the render passes: measured, not guessed.

A control image is ``(H, W, 3)`` float32 in [0, 1], in the convention that public ControlNets were trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np

from ..bridge.errors import UserError
from ..motion.geometry import Camera, DataLayer
from .shot import Shot

KINDS = ("depth", "normal", "lines", "softedge", "edges", "tile")
MEASURED = ("depth", "normal")  # nothing in a footage's pixels can stand in for these
DEPTH_SAMPLES = 24  # frames that decide the shot's range of depth
SOFT_ANGLES = (15.0, 45.0)  # degrees between neighbouring normals: from here a line shows, there it is full
SOFT_JUMPS = (0.02, 0.08)  # the same for the bend of inverse depth, as a share of it
EDGE_WIDTH = 1 / 340  # of the picture's longer side: the sigma of a soft edge


class ControlMaps:
    """The control images of a shot, made when asked for.

    Raises UserError where ``kinds`` holds one that this shot has no data for.
    """

    def __init__(self, shot: Shot, kinds: Sequence[str] = ()) -> None:
        self._shot = shot
        for kind in kinds:
            if kind in MEASURED and not shot.has_data:
                raise UserError(f"Footage has no {kind} to guide a ControlNet. Choose the control lines or edges.")

    def image(self, kind: str, frame: int) -> np.ndarray:
        """Return the control image of one of KINDS for ``frame``, ``(H, W, 3)`` float32 in [0, 1].

        "depth" is near white, far black, one range for the shot; "normal" camera-space, red left, green up, blue to
        the viewer; "lines", "softedge" and "edges" white on black; "tile" the frame itself.
        """
        if kind == "tile":
            return self._shot.beauty(frame)
        layer = self._shot.layer(frame)
        if kind == "edges" or layer is None:
            drawn = edges(self._shot.beauty(frame))
            return _grey(soften(drawn) if kind == "softedge" else drawn)
        camera = self._shot.info.cameras[frame]
        if kind == "normal":
            return normals(layer, camera)
        if kind == "depth":
            return _grey(nearness(layer, *self.depth_range))
        drawn = lines(layer, camera)
        return _grey(soften(drawn) if kind == "softedge" else drawn)

    @cached_property
    def depth_range(self) -> tuple[float, float]:
        """The nearest and the farthest depth of the shot in scene units, stray pixels left out.

        One range for all frames, from at most DEPTH_SAMPLES spread over the shot: a range of each frame's own flickers
        whenever something enters.
        """
        frames = self._shot.info.data_frames
        chosen = sorted({frames[round(i)] for i in np.linspace(0, len(frames) - 1, min(len(frames), DEPTH_SAMPLES))})
        depths = []
        for frame in chosen:
            layer = self._shot.layer(frame)
            if layer is not None and not layer.sky.all():
                depths.append(np.quantile(layer.depth[~layer.sky], (0.001, 0.999)))
        if not depths:
            return 1.0, 2.0
        nearest, farthest = np.min(depths, axis=0)[0], np.max(depths, axis=0)[1]
        return float(nearest), float(max(farthest, nearest * 1.001))


def nearness(layer: DataLayer, nearest: float, farthest: float) -> np.ndarray:
    """Return inverse depth, 1 at ``nearest`` and 0 at ``farthest`` and on the sky, ``(H, W)`` float32.

    Inverse depth up to scale and shift is what MiDaS estimates, on which depth ControlNets were trained.
    """
    inverse = 1.0 / np.maximum(layer.depth, 1e-6)
    near, far = 1.0 / nearest, 1.0 / farthest
    return np.where(layer.sky, 0.0, np.clip((inverse - far) / (near - far), 0.0, 1.0)).astype(np.float32)


def normals(layer: DataLayer, camera: Camera) -> np.ndarray:
    """Return normals seen from the camera as colours, ``(H, W, 3)``: red is left, green up, blue to the viewer.

    That is the convention of ControlNet 1.1 (its README, "Normal 1.1"). The sky faces the viewer.
    """
    axes = camera.matrix_world[:3, :3] / np.linalg.norm(camera.matrix_world[:3, :3], axis=0)
    seen = layer.normal @ axes.astype(np.float32)
    seen /= np.maximum(np.linalg.norm(seen, axis=-1, keepdims=True), 1e-6)
    seen[layer.sky] = (0.0, 0.0, 1.0)
    return (seen * np.array([-0.5, 0.5, 0.5], np.float32) + 0.5).clip(0.0, 1.0)


def lines(layer: DataLayer, camera: Camera) -> np.ndarray:
    """Return a line drawing of the geometry, white on black, ``(H, W)`` float32 in [0, 1].

    A line is where the object changes, where normals turn, or where depth jumps, on the nearer side of it and one pixel
    wide, so that thin things do not fill up. Jumps are seen in the second difference of inverse depth, which is zero on
    any plane in perspective: grazing ground draws no lines.
    """
    close = -layer.depth if camera.kind == "ORTHO" else 1.0 / np.maximum(layer.depth, 1e-6)
    drawn = np.zeros(layer.depth.shape, np.float32)
    for axis in (0, 1):
        one, other = _pair(axis)
        border = (layer.index[one] != layer.index[other]) | (layer.random[one] != layer.random[other])
        border |= layer.sky[one] != layer.sky[other]
        seen = ~layer.sky[one] & ~layer.sky[other]
        cosine = (layer.normal[one] * layer.normal[other]).sum(-1).clip(-1.0, 1.0)
        line = np.maximum(_ramp(np.degrees(np.arccos(cosine)), SOFT_ANGLES) * seen, border)
        first = close[one] >= close[other]
        drawn[one] = np.maximum(drawn[one], line * first)
        drawn[other] = np.maximum(drawn[other], line * ~first)
        bend = -np.diff(close, n=2, axis=axis)  # positive where the middle one is nearer than its neighbours say
        middle = (slice(1, -1), slice(None)) if axis == 0 else (slice(None), slice(1, -1))
        jump = _ramp(bend / np.maximum(np.abs(close[middle]), 1e-12), SOFT_JUMPS) * ~layer.sky[middle]
        drawn[middle] = np.maximum(drawn[middle], jump)
    return drawn


def edges(image: np.ndarray) -> np.ndarray:
    """Return Canny edges of a display-referred picture, white on black, ``(H, W)`` float32: 0 or 1."""
    grey = cv2.cvtColor((image * 255).round().astype(np.uint8), cv2.COLOR_RGB2GRAY)
    return cv2.Canny(grey, 100, 200).astype(np.float32) / 255


def soften(drawn: np.ndarray) -> np.ndarray:
    """Return a line drawing with soft edges, as HED draws them, ``(H, W)`` float32 in [0, 1]."""
    sigma = max(1.0, max(drawn.shape) * EDGE_WIDTH)
    blurred = cv2.GaussianBlur(drawn, (0, 0), sigma)
    return np.minimum(blurred * (sigma * np.sqrt(2 * np.pi)), 1.0).astype(np.float32)  # a 1 px line peaks at 1


def _ramp(value: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return ((value - limits[0]) / (limits[1] - limits[0])).clip(0.0, 1.0)


def _pair(axis: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the slices of every pixel but the last and of every pixel but the first along ``axis``."""
    if axis == 0:
        return (slice(None, -1), slice(None)), (slice(1, None), slice(None))
    return (slice(None), slice(None, -1)), (slice(None), slice(1, None))


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=-1)
