"""A known texture that lies on the surfaces of a shot: the yardstick that any measured picture is held against.

The texture is a sum of plane waves through the space of surface addresses, so its value at an address never changes
and each wave can be filtered to the pixel exactly: sampled at address r with image-plane Jacobian J, the wave cos(2π
f·r) under a Gaussian pixel of deviation s has the amplitude exp(−2π²s²|Jᵀf|²).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import numpy as np

from ..motion.cache import Cache
from ..motion.geometry import Camera, DataLayer
from ..motion.sky import sky_address

# px, deviation of the Gaussian pixel: under a tenth of the contrast is left at the grid's own limit, so that a warped
# texture differs by the flow and by interpolation, and not by aliasing.
PIXEL = 0.7
TEXTURE_CACHE = 256 << 20  # bytes of rendered textures kept
FAINTEST = 0.02  # waves whose filtered amplitude stays below this everywhere are left out

Run = Callable[[int], np.ndarray]


def surface_address(layer: DataLayer, camera: Camera) -> np.ndarray:
    """Return what stays the same on a surface point whatever moves, ``(H, W, 3)`` float64.

    Rest position where the object has one, else Generated coordinates; on the sky its direction.
    """
    height, width = layer.sky.shape
    rested = np.unique(layer.index[np.abs(layer.rest).max(-1) > 0])
    has_rest = np.isin(layer.index, rested)
    address = np.where(has_rest[..., None], layer.rest, layer.generated).astype(np.float64)
    sky = sky_address(camera, (width, height))
    return np.where(layer.sky[..., None], sky, address)


class SurfaceTexture:
    """Plane waves of random direction and phase, every octave equally strong, as in natural images (1/f).

    ``shortest`` and ``longest`` are wavelengths in address units; ``waves`` is the number of waves an octave.
    """

    def __init__(self, shortest: float, longest: float, waves: int = 6, channels: int = 1, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        octaves = max(1, round(np.log2(longest / shortest)))
        length = shortest * 2 ** ((np.arange(octaves * waves) + rng.random(octaves * waves)) / waves)
        direction = rng.normal(size=(length.size, 3))
        self.frequency = direction / np.linalg.norm(direction, axis=1, keepdims=True) / length[:, None]
        self.phase = 2 * np.pi * rng.random((length.size, channels))

    def reseeded(self, seed: int) -> SurfaceTexture:
        """Return another texture of the same waves in other places: the same spectrum, nothing else in common."""
        other = copy.copy(self)
        other.phase = 2 * np.pi * np.random.default_rng(seed).random(self.phase.shape)
        return other

    def __call__(self, address: np.ndarray) -> np.ndarray:
        """Render at ``address`` ``(H, W, 3)``: ``(H, W, channels)`` float32, mean 0, variance 1 before filtering."""
        across = np.gradient(address, axis=1).astype(np.float32)
        down = np.gradient(address, axis=0).astype(np.float32)
        picture = np.zeros((*address.shape[:2], self.phase.shape[1]), np.float32)
        for frequency, phase in zip(self.frequency, self.phase, strict=True):
            f = frequency.astype(np.float32)
            amplitude = np.exp(-2 * np.pi**2 * PIXEL**2 * ((across @ f) ** 2 + (down @ f) ** 2))
            if amplitude.max() < FAINTEST:
                continue
            turns = address @ frequency
            angle = (2 * np.pi * (turns - np.floor(turns))).astype(np.float32)
            cosine, sine = amplitude * np.cos(angle), amplitude * np.sin(angle)
            picture += cosine[..., None] * np.cos(phase, dtype=np.float32)
            picture -= sine[..., None] * np.sin(phase, dtype=np.float32)
        return picture * np.float32((2 / len(self.phase)) ** 0.5)


def known_texture(
    layer: Callable[[int], DataLayer | None], cameras: Mapping[int, Camera], seed: int = 0
) -> Run:
    """Return the run that shows one fixed grey texture on every surface of a shot, mean 0.5, deviation about 0.1.

    It has every scale from a thousandth of a unit to 64 units, so that it is pixel-fine on any object. Needs data
    layers.
    """
    texture = SurfaceTexture(2**-10, 2**6, waves=4, seed=seed)

    def render(frame: int) -> np.ndarray:
        found = layer(frame)
        if found is None:
            raise ValueError("a texture needs a data layer to lie on")
        return 0.5 + 0.1 * texture(surface_address(found, cameras[frame]))

    return Cache(TEXTURE_CACHE, render).get
