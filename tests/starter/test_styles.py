import cv2
import numpy as np
import pytest

from backend.starter.styles import STYLES, paint


@pytest.fixture(scope="module")
def picture():
    y, x = np.mgrid[:144, :256].astype(np.float32)
    image = np.stack([0.35 + 0.4 * x / 256, 0.75 - 0.3 * y / 144, 0.55 + 0 * x], -1)
    image[(x - 80) ** 2 + (y - 75) ** 2 < 45**2] = (0.75, 0.2, 0.15)
    image[40:110, 160:225] = (0.15, 0.12, 0.3)
    return image.astype(np.float32)


def outlines(image):
    soft = cv2.GaussianBlur(image.mean(-1), (0, 0), 4)
    return np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))[8:-8, 8:-8]


@pytest.mark.parametrize("style", STYLES)
def test_strokes_fall_anew_but_things_stay_where_they_are(style, picture):
    first, again, other = paint(style, picture, 1), paint(style, picture, 1), paint(style, picture, 2)
    assert first.shape == picture.shape and first.dtype == np.float32
    assert first.min() >= 0 and first.max() <= 1
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 0.004
    for painting in (first, other):
        assert np.corrcoef(outlines(painting).ravel(), outlines(picture).ravel())[0, 1] > 0.35
        # the shapes, and nothing mirrored or moved
        moved = np.roll(outlines(painting), 20, axis=1)
        assert np.corrcoef(moved.ravel(), outlines(picture).ravel())[0, 1] < 0.35


def test_styles_differ_more_than_seeds(picture):
    paintings = {style: paint(style, picture, 1) for style in STYLES}
    for style, painting in paintings.items():
        seeds = np.abs(painting - paint(style, picture, 2)).mean()
        soft = cv2.GaussianBlur(painting, (0, 0), 3)
        assert all(
            np.abs(soft - cv2.GaussianBlur(other, (0, 0), 3)).mean() > 0.02 for name, other in paintings.items()
            if name != style
        ), style
        assert seeds < 0.3


def test_sizes_follow_the_picture(picture):
    # a painting at half the size looks like the painting, made smaller: brushes are not fixed in pixels
    half = cv2.resize(picture, (128, 72), interpolation=cv2.INTER_AREA)
    for style in STYLES:
        large, small = paint(style, picture, 1), paint(style, half, 1)
        assert abs(large.mean() - small.mean()) < 0.09, style
