"""A shot whose every correspondence is known: rays cast at solids of which each has an equation.

A camera orbits and moves in on a ground with a turning box, a rolling sphere and two pillars in the foreground, under
a sky. Nothing is estimated and nothing is sampled: the surface point behind a pixel of one frame is moved by its
object's matrix, projected by the other frame's camera, and visible there if the ray towards it hits it first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ..motion.correspondence import Correspondence, identity, inside, taps
from ..motion.geometry import Camera, DataLayer, SceneGeometry, SceneObject, pixel_grid, project
from ..shot.shot import ShotInfo, VectorTrust
from .texture import SurfaceTexture, surface_address

SKY_DEPTH = 1e10
ORBIT = np.radians(80.0)
KEPT = 64  # frames whose rays are kept
ALBEDO = np.array([[0.60, 0.72, 0.85], [0.45, 0.42, 0.36], [0.70, 0.35, 0.28], [0.33, 0.48, 0.68], [0.30, 0.32, 0.30],
                   [0.55, 0.50, 0.30]])

Hit = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Solid:
    """One object: ``hit(origin, directions)`` in its own space gives the distance along the ray, inf where it misses.

    ``matrix(u)`` is its ``(4, 4)`` world matrix at the moment ``u`` in [0, 1] of the shot, ``normal(points)`` its
    outward normal at points of its own space.
    """

    name: str
    hit: Hit
    normal: Callable[[np.ndarray], np.ndarray]
    matrix: Callable[[float], np.ndarray]


def _first_positive(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    return np.where(near > 1e-9, near, np.where(far > 1e-9, far, np.inf))


def disc(radius: float) -> Hit:
    """Return the rays' hits with a disc in the plane z = 0."""
    def hit(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        t = -origin[2] / np.where(direction[:, 2] == 0, 1e-30, direction[:, 2])
        point = origin[:2] + t[:, None] * direction[:, :2]
        return np.where((t > 1e-9) & (np.einsum("ij,ij->i", point, point) < radius**2), t, np.inf)
    return hit


def box(half: np.ndarray) -> Hit:
    """Return the rays' hits with a box around the origin of the given half sides (slab test)."""
    def hit(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        inverse = 1 / np.where(direction == 0, 1e-30, direction)
        a, b = (-half - origin) * inverse, (half - origin) * inverse
        near, far = np.minimum(a, b).max(1), np.maximum(a, b).min(1)
        return np.where(near <= far, _first_positive(near, far), np.inf)
    return hit


def ball(radius: float, axes: int = 3, height: float = np.inf) -> Hit:
    """Return the rays' hits with a sphere (``axes`` 3) or a round pillar (``axes`` 2) from z = 0 to ``height``."""
    def hit(origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        o, d = origin[:axes], direction[:, :axes]
        a, b, c = np.einsum("ij,ij->i", d, d), d @ o, o @ o - radius**2
        root = b * b - a * c
        s = np.sqrt(np.maximum(root, 0))
        t = np.where(root > 0, _first_positive((-b - s) / a, (-b + s) / a), np.inf)
        if axes == 3:
            return t
        z = origin[2] + np.where(np.isfinite(t), t, 0) * direction[:, 2]
        return np.where((z >= 0) & (z <= height), t, np.inf)
    return hit


def placed(x: float, y: float, z: float, angle: float = 0.0, axis: Sequence[float] = (0, 0, 1)) -> np.ndarray:
    """Return the ``(4, 4)`` matrix that turns by ``angle`` radians about the unit ``axis``, then moves (Rodrigues)."""
    k = np.cross(np.eye(3), np.asarray(axis, np.float64)) * -1
    matrix = np.eye(4)
    matrix[:3, :3] += np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)
    matrix[:3, 3] = x, y, z
    return matrix


def _rolling(u: float) -> np.ndarray:
    """Return the sphere's matrix: it rolls along x without slipping."""
    return placed(-1.0 + 3.2 * u, -1.9, 0.7, 3.2 * u / 0.7, (0, 1, 0))


def _box_normal(points: np.ndarray) -> np.ndarray:
    side = np.abs(points).argmax(1)
    return np.eye(3)[side] * np.sign(points[np.arange(len(points)), side])[:, None]


def _round_normal(points: np.ndarray) -> np.ndarray:
    return points / np.linalg.norm(points, axis=1, keepdims=True)


SOLIDS = (
    Solid("Ground", disc(13.0), lambda p: np.broadcast_to((0.0, 0.0, 1.0), p.shape), lambda _: np.eye(4)),
    Solid("Box", box(np.full(3, 0.9)), _box_normal, lambda u: placed(-1.7, 0.5, 0.9, 2.1 * u)),
    Solid("Sphere", ball(0.7), _round_normal, _rolling),
    Solid("Pillar left", ball(0.25, 2, 6.0), lambda p: _round_normal(p * (1, 1, 0)), lambda _: placed(-1.5, -4.1, 0)),
    Solid("Pillar right", ball(0.25, 2, 6.0), lambda p: _round_normal(p * (1, 1, 0)), lambda _: placed(2.2, -3.7, 0)),
)


def orbit_camera(u: float, size: tuple[int, int]) -> Camera:
    """Return the camera at the moment ``u`` in [0, 1]: an orbit of 80° that moves in from 9 to 6.6 units."""
    angle, radius = ORBIT * (u - 0.5), 9.0 - 2.4 * u
    eye = np.array([radius * np.sin(angle), -radius * np.cos(angle), 2.6])
    back = eye - (0.0, 0.0, 1.0)
    back /= np.linalg.norm(back)
    right = np.cross((0.0, 0.0, 1.0), back)
    right /= np.linalg.norm(right)
    world = np.eye(4)
    world[:3] = np.stack([right, np.cross(back, right), back, eye], 1)
    lens = 1 / np.tan(np.radians(52.0) / 2)
    near, far = 0.1, 100.0
    projection = np.array([
        [lens, 0, 0, 0],
        [0, lens * size[0] / size[1], 0, 0],
        [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
        [0, 0, -1, 0],
    ])
    return Camera("Camera", "PERSP", world, projection, far)


def view_rays(camera: Camera, positions: np.ndarray) -> np.ndarray:
    """Return the world directions ``(..., 3)`` float64 seen at image ``positions`` ``(..., 2)``, not normalised.

    Positions are normalised device coordinates (x right, y up); the directions reach one unit along the view axis.
    """
    p = camera.projection
    view = np.stack([(positions[..., 0] + p[0, 2]) / p[0, 0], (positions[..., 1] + p[1, 2]) / p[1, 1],
                     -np.ones(positions.shape[:-1])], -1)
    axes = camera.matrix_world[:3, :3]
    return view @ (axes / np.linalg.norm(axes, axis=0)).T  # Blender ignores a camera's scale


def device_coordinates(size: tuple[int, int]) -> np.ndarray:
    """Return the normalised device coordinates of the pixel centres, ``(H, W, 2)`` float64."""
    return (pixel_grid(size).astype(np.float64) + 0.5) * (2 / size[0], -2 / size[1]) + (-1, 1)


@dataclass(frozen=True)
class Rays:
    """What each pixel sees: object number (−1 sky), world point, and point in the object's own space."""

    solid: np.ndarray
    world: np.ndarray
    local: np.ndarray


class SyntheticMotion:
    """Exact correspondence by construction; also the truth that other motion is held against."""

    def __init__(self, shot: SyntheticShot) -> None:
        self.shot = shot
        self.pair = lru_cache(maxsize=256)(self._pair)

    def describe(self) -> dict[str, Any]:
        """Say where the motion comes from."""
        return {"source": "analytic", "objects": {}}

    def target(self, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
        """Return where the points seen in frame ``i`` are in frame ``j``, hidden or not.

        Flow ``(H, W, 2)`` float64, NaN behind the camera of j, and the world points ``(H, W, 3)`` at the time of j.
        """
        shot, rays = self.shot, self.shot.rays(i)
        camera = shot.info.cameras[j]
        moved = rays.world.copy()
        for number in range(len(SOLIDS)):
            on = rays.solid == number
            matrix = shot.matrix(number, j)
            moved[on] = rays.local[on] @ matrix[:3, :3].T + matrix[:3, 3]
        direction = view_rays(shot.info.cameras[i], device_coordinates(shot.info.size))
        sky = (rays.solid < 0)[..., None]  # a direction is a point with w = 0
        points = np.concatenate([np.where(sky, direction, moved), ~sky], -1)
        return project(camera.clip, points, shot.info.size)[0] - pixel_grid(shot.info.size), moved

    def facing(self, i: int, j: int) -> np.ndarray:
        """Return the cosine between normal and view of what frame ``i`` shows, ``(H, W)``, in i or j, the smaller one.

        Near 0 a face is seen edge-on in ``i`` or in ``j``, where its points are hard to tell apart; the sky has 1.
        """
        shot, rays = self.shot, self.shot.rays(i)
        flattest = np.ones(rays.solid.shape)
        for frame, points in ((i, rays.world), (j, self.target(i, j)[1])):
            towards = shot.info.cameras[frame].matrix_world[:3, 3] - points
            for number, solid in enumerate(SOLIDS):
                on = rays.solid == number
                normal = solid.normal(rays.local[on]) @ shot.matrix(number, frame)[:3, :3].T
                cosine = np.einsum("ij,ij->i", normal, towards[on]) / np.linalg.norm(towards[on], axis=1)
                flattest[on] = np.minimum(flattest[on], np.abs(cosine))
        return flattest

    def _pair(self, i: int, j: int) -> Correspondence:
        shot = self.shot
        if i == j:
            return identity(shot.info.size)
        rays = shot.rays(i)
        flow, moved = self.target(i, j)
        known = np.isfinite(flow).all(-1)
        flow = np.where(known[..., None], flow, 0).astype(np.float32)
        eye = shot.info.cameras[j].matrix_world[:3, 3]
        there = device_coordinates(shot.info.size) + flow * (2 / shot.width, -2 / shot.height)
        direction = np.where((rays.solid < 0)[..., None], view_rays(shot.info.cameras[j], there), moved - eye)
        distance, solid = shot.cast(j, direction.reshape(-1, 3))
        first = (rays.solid < 0) | (np.abs(distance.reshape(flow.shape[:2]) - 1) < 1e-5)
        visible = known & first & (solid.reshape(flow.shape[:2]) == rays.solid)
        x, y, weights = taps(flow)
        same = ((shot.rays(j).solid[y, x] == rays.solid) | (weights <= 1e-4)).all(0)
        return Correspondence(flow, (visible & inside(flow)).astype(np.float32), visible & same & inside(flow, 0.0))


class SyntheticShot:
    """The analytic shot, with the interface of :class:`backend.shot.shot.Shot`.

    ``size`` is (width, height), ``count`` the number of frames, numbered from 1; the move takes the whole shot.
    """

    has_data = True

    def __init__(self, size: tuple[int, int] = (160, 90), count: int = 32) -> None:
        frames = tuple(range(1, count + 1))
        self.cast_cache = lru_cache(maxsize=KEPT)(self._rays)
        self.layer = lru_cache(maxsize=KEPT)(self._layer)
        self.beauty = lru_cache(maxsize=KEPT)(self._beauty)
        self.width, self.height = size
        self.frames = frames
        self.info = ShotInfo(
            name="Synthetic", source="scene", blender="", frames=frames, data_frames=frames, fps=24.0, size=size,
            pixel_aspect=(1.0, 1.0), alpha=False, colour={}, cuts=(), view_layer="ViewLayer",
            cameras={frame: orbit_camera(self.moment(frame), size) for frame in frames},
            objects=tuple(SceneObject(s.name, "", (k + 0.5) / 8, k + 1, True) for k, s in enumerate(SOLIDS)),
            vector=VectorTrust(True, ""), notes=(),
        )
        self.motion = SyntheticMotion(self)

    def moment(self, frame: int) -> float:
        """Return how far the shot has come at ``frame``, 0 at the first and 1 at the last frame."""
        return (frame - 1) / max(len(self.frames) - 1, 1)

    def matrix(self, number: int, frame: int) -> np.ndarray:
        """Return the world matrix ``(4, 4)`` of solid ``number`` at ``frame``."""
        return SOLIDS[number].matrix(self.moment(frame))

    def geometry(self, rigid: bool = True) -> SceneGeometry:
        """Return the shot as a captured scene would give it, to hold real motion against this truth.

        Not ``rigid``, nothing is told of the objects' matrices, as of a mesh that deforms.
        """
        objects = tuple(replace(item, rigid=rigid) for item in self.info.objects)
        matrices = np.array([[self.matrix(k, frame) for frame in self.frames] for k in range(len(SOLIDS))])
        return SceneGeometry(self.frames, self.info.size, self.info.cameras, objects, matrices, frozenset(), self.layer)

    def cast(self, frame: int, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Send rays ``(N, 3)`` from the camera of ``frame``; return distance in ray lengths, and object or −1."""
        eye = self.info.cameras[frame].matrix_world[:3, 3]
        hits = []
        for number, solid in enumerate(SOLIDS):
            inverse = np.linalg.inv(self.matrix(number, frame))
            hits.append(solid.hit(inverse[:3, :3] @ eye + inverse[:3, 3], direction @ inverse[:3, :3].T))
        distance = np.array(hits)
        nearest = distance.min(0)
        return nearest, np.where(np.isfinite(nearest), distance.argmin(0), -1)

    def rays(self, frame: int) -> Rays:
        """Return what every pixel of ``frame`` sees."""
        return self.cast_cache(frame)

    def _rays(self, frame: int) -> Rays:
        camera = self.info.cameras[frame]
        direction = view_rays(camera, device_coordinates(self.info.size)).reshape(-1, 3)
        distance, solid = self.cast(frame, direction)
        hit = np.isfinite(distance)
        world = camera.matrix_world[:3, 3] + np.where(hit, distance, 0)[:, None] * direction
        local = np.zeros_like(world)
        for number in range(len(SOLIDS)):
            inverse = np.linalg.inv(self.matrix(number, frame))
            on = solid == number
            local[on] = world[on] @ inverse[:3, :3].T + inverse[:3, 3]
        shape = self.height, self.width
        return Rays(solid.reshape(shape), world.reshape(*shape, 3), local.reshape(*shape, 3))

    def _layer(self, frame: int) -> DataLayer:
        rays, camera = self.rays(frame), self.info.cameras[frame]
        sky = rays.solid < 0
        on_surface = ~sky[..., None]
        normal = np.zeros_like(rays.world)
        for number, solid in enumerate(SOLIDS):
            on = rays.solid == number
            normal[on] = solid.normal(rays.local[on]) @ self.matrix(number, frame)[:3, :3].T
        to_eye = camera.matrix_world[:3, 3] - rays.world
        vector = np.full((*sky.shape, 4), np.nan)
        for step, columns, sign in ((-1, slice(0, 2), (1, -1)), (1, slice(2, 4), (-1, 1))):
            if frame + step in self.frames:
                vector[..., columns] = np.where(on_surface, self.motion.target(frame, frame + step)[0] * sign, 0)
        address = np.where(on_surface, rays.local, 0).astype(np.float32)
        return DataLayer(
            depth=np.where(sky, SKY_DEPTH, to_eye @ camera.matrix_world[:3, 2]).astype(np.float32),
            normal=normal.astype(np.float32),
            vector=vector.astype(np.float32),
            position=np.where(on_surface, rays.world, 0).astype(np.float32),
            uv=address[..., :2].copy(),
            generated=address,
            rest=address,
            random=np.where(sky, 0, (rays.solid + 0.5) / 8).astype(np.float32),
            index=(rays.solid + 1).astype(np.int32),
            surface=~sky,
            sky=sky,
        )

    def _beauty(self, frame: int) -> np.ndarray:
        """Return a flatly lit picture, one colour an object and a faint coarse texture: ``(H, W, 3)`` float32 sRGB."""
        layer = self.layer(frame)
        texture = SurfaceTexture(1.2, 4.8, waves=4, seed=5)(surface_address(layer, self.info.cameras[frame]))
        return np.clip(ALBEDO[layer.index] + 0.012 * texture, 0, 1).astype(np.float32)
