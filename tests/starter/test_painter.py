import cv2
import numpy as np
import pytest

from backend.bridge.errors import UserError
from backend.shot.pictures import encode_png, read_picture
from backend.starter.painter import main, paint


@pytest.fixture(scope="module")
def picture():
    image = np.full((54, 96, 3), (0.3, 0.5, 0.8), np.float32)
    image[:, 48:] = (0.75, 0.5, 0.15)
    for row in range(0, 54, 6):
        image[row : row + 3, :, 1] -= 0.3  # lines that lead strokes across the edge
    return image


@pytest.fixture(scope="module")
def painting(picture):
    return paint(picture, seed=3)


def test_the_seed_decides_the_strokes(picture, painting):
    assert painting.dtype == np.float32 and painting.shape == picture.shape
    assert painting.min() >= 0 and painting.max() <= 1
    assert np.array_equal(paint(picture, seed=3), painting)
    assert np.abs(paint(picture, seed=4) - painting).mean() > 0.01


def test_flat_areas_show_strokes_and_edges_stay_where_they_are(painting):
    grey = painting.mean(-1)
    strokes = grey - cv2.GaussianBlur(grey, (0, 0), 4)
    assert strokes[8:-8, 8:38].std() > 0.01
    red = painting[..., 0]
    edge = red > (red[:, :36].mean() + red[:, 60:].mean()) / 2
    assert edge[:, :45].mean() < 0.01 and edge[:, 51:].mean() > 0.99


def test_command_line_paints_a_file_and_keeps_alpha(tmp_path, picture, painting):
    source, target = tmp_path / "größe.png", tmp_path / "painted.png"
    alpha = np.linspace(0, 1, 96, dtype=np.float32) * np.ones((54, 1), np.float32)
    source.write_bytes(encode_png(picture, alpha))
    main([str(source), str(target), "--seed", "3"])
    painted, kept = read_picture(target)
    assert np.abs(painted - painting).mean() < 0.05
    assert np.abs(kept - alpha).max() < 0.003
    with pytest.raises(UserError, match=r"missing\.png"):
        main([str(tmp_path / "missing.png"), str(target)])
