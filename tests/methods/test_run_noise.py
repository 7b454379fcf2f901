"""The noise that the artist chose, on a wall that a camera passes: fresh, shared, or stuck to the wall."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from backend.bridge.errors import UserError
from backend.methods.noise import RunNoise
from backend.motion.exact import ExactMotion
from backend.motion.geometry import Camera, DataLayer, SceneGeometry, SceneObject
from backend.shot.shot import Shot
from tests.footage import write_shot

WIDTH, HEIGHT, FACTOR = 64, 48, 8
SHAPE = (4, HEIGHT // FACTOR, WIDTH // FACTOR)
FRAMES = (1, 2, 3)
STEP = 0.5  # units that the camera goes right in a frame: 8 pixels, one latent cell


def projection() -> np.ndarray:
    """Return a perspective that shows 16 pixels a unit at distance 10."""
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[1, 1] = 320 / WIDTH, 320 / HEIGHT
    matrix[2] = [0, 0, -1, -0.2]
    matrix[3, 2] = -1
    return matrix


def wall(frame: int) -> DataLayer:
    """Return what the camera at (STEP * frame, 0, 10), looking down, sees of a wall at z = 0."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    position = np.dstack([(x + 0.5 - WIDTH / 2) / 16 + STEP * frame, (HEIGHT / 2 - y - 0.5) / 16, 0 * x])
    shift = np.broadcast_to(np.array([8, 0, 8, 0]), (HEIGHT, WIDTH, 4))
    passes = {
        "depth": x * 0 + 10, "normal": x[..., None] * 0 + (0, 0, 1), "vector": shift, "position": position,
        "uv": position[..., :2], "generated": position / 20 + 0.5, "rest": position, "random": x * 0 + 0.25,
    }  # fmt: skip
    flat = np.ones((HEIGHT, WIDTH), bool)
    arrays = {name: np.asarray(values, np.float32) for name, values in passes.items()}
    return DataLayer(**arrays, index=flat.astype(np.int32), surface=flat, sky=~flat)


@pytest.fixture(scope="module")
def rendered() -> SimpleNamespace:
    cameras = {}
    for frame in FRAMES:
        matrix = np.eye(4)
        matrix[:3, 3] = (STEP * frame, 0, 10)
        cameras[frame] = Camera("Camera", "PERSP", matrix, projection())
    scene = SceneGeometry(
        frames=FRAMES, size=(WIDTH, HEIGHT), cameras=cameras, objects=(SceneObject("Wall", "", 0.25, 1, True),),
        matrices=np.eye(4)[None, None].repeat(len(FRAMES), 1), cuts=frozenset(), layer=wall,
    )  # fmt: skip
    return SimpleNamespace(motion=ExactMotion(scene), info=SimpleNamespace(data_frames=FRAMES))


def test_anchored_noise_goes_with_the_wall(rendered: SimpleNamespace) -> None:
    noise = RunNoise("anchored", rendered, 5, FACTOR)
    both = noise.of([1, 2], SHAPE)
    assert torch.equal(both(0)[:1], noise.of([1], SHAPE)(0))
    for stream in (0, 1):
        first, second = both(stream)
        assert np.corrcoef(first[:, :, 1:].flatten(), second[:, :, :-1].flatten())[0, 1] > 0.9
        assert abs(np.corrcoef(first.flatten(), second.flatten())[0, 1]) < 0.4
        assert float(first.std()) == pytest.approx(1.0, abs=0.2)
    assert abs(np.corrcoef(both(0).flatten(), both(1).flatten())[0, 1]) < 0.2


def test_padded_latents_have_noise_to_their_edge(rendered: SimpleNamespace) -> None:
    padded = RunNoise("anchored", rendered, 5, FACTOR).of([1], (4, 8, 9))(0)[0]
    plain = RunNoise("anchored", rendered, 5, FACTOR).of([1], SHAPE)(0)[0]
    assert torch.equal(padded[:, :6, :8], plain)
    assert float(padded[:, 6:].std()) == pytest.approx(1.0, abs=0.3)


def test_shared_noise_is_one_and_fresh_noise_is_not(rendered: SimpleNamespace) -> None:
    shared = RunNoise("shared", rendered, 5, FACTOR).of([1, 2], SHAPE)(0)
    fresh = RunNoise("fresh", rendered, 5, FACTOR).of([1, 2], SHAPE)(0)
    assert torch.equal(shared[0], shared[1])
    assert abs(np.corrcoef(fresh[0].flatten(), fresh[1].flatten())[0, 1]) < 0.4


def test_footage_has_nothing_to_anchor_noise_to(tmp_path: Path) -> None:
    write_shot(tmp_path, [1, 2])
    with pytest.raises(UserError, match="no surfaces to anchor noise to"):
        RunNoise("anchored", Shot.open(tmp_path), 5, FACTOR)
