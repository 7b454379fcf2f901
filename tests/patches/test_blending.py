import numpy as np
import pytest

from backend.patches.blending import antialiased, faded, outlines, sampling, shares
from backend.patches.statistics import blend, contrast_ratio, follow_light, light_change

RNG = np.random.default_rng(5)


def test_a_keys_own_frame_is_that_key_alone():
    assert shares(10, [4, 10, 30]) == {4: 0.0, 10: 1.0, 30: 0.0}


@pytest.mark.parametrize("keys", [[0, 12], [0, 5, 40], [3]])
def test_shares_sum_to_one_and_run_alike_in_both_directions_of_time(keys):
    for frame in range(-5, 50):
        forward = shares(frame, keys)
        backward = shares(-frame, [-key for key in keys])
        assert sum(forward.values()) == pytest.approx(1)
        assert all(backward[-key] == share for key, share in forward.items())
    assert shares(6, [0, 12]) == {0: 0.5, 12: 0.5}


def test_far_keys_hardly_count_between_near_ones():
    assert shares(6, [4, 8, 100])[100] < 0.001


def test_equal_images_blend_to_themselves():
    image = RNG.random((24, 32, 3)).astype(np.float32)
    weights = [np.full((24, 32), w, np.float32) for w in (0.3, 0.6)]
    assert np.abs(blend([image, image], weights, 4) - image).max() < 1 / 255


def test_one_image_alone_is_not_touched():
    image = RNG.random((24, 32, 3)).astype(np.float32)
    one, none = np.ones((24, 32), np.float32), np.zeros((24, 32), np.float32)
    assert np.array_equal(blend([image, 1 - image], [one, none], 4), image)
    assert not blend([image], [none], 4).any()


def test_a_blend_of_different_paintings_keeps_their_contrast():
    paintings = [0.5 + 0.1 * RNG.standard_normal((64, 96, 1)).astype(np.float32) * np.ones(3, np.float32) for _ in "ab"]
    halves = [np.full((64, 96), 0.5, np.float32)] * 2
    mean = 0.5 * paintings[0] + 0.5 * paintings[1]
    assert mean.std() < 0.08
    assert blend(paintings, halves, 4).std() == pytest.approx(0.1, abs=0.006)
    assert blend(paintings, halves, 4).mean() == pytest.approx(0.5, abs=0.002)


def test_an_image_fades_towards_its_border_unless_it_is_alone():
    left, right = np.zeros((2, 20, 60), np.float32)
    left[:, :40] = 1.0
    right[:, 30:] = 0.01
    a, b = faded([left, right], 8)
    assert np.allclose(a + b, 1)
    assert (a[:, :28] == 1).all() and (b[:, 42:] == 1).all()
    assert np.abs(np.diff(a[10])).max() < 0.3
    assert a[10, 39] < 0.5 < a[10, 33]


def test_sampling_measures_how_much_larger_the_other_frame_shows_a_surface():
    y, x = np.mgrid[:20, :30].astype(np.float32)
    turned = np.array([[0.6, -0.8], [0.8, 0.6]]) @ np.diag([3.0, 0.5])
    there = np.einsum("ij,yxj->yxi", turned, np.dstack([x, y]))
    small, large = sampling(there - np.dstack([x, y]))
    assert np.allclose(small, 0.5, atol=1e-3) and np.allclose(large, 3.0, atol=1e-3)


def slanted_scene():
    """A ground plane seen at a grazing angle, a box of the same object number before it, and sky."""
    y, _ = np.mgrid[:60, :80]
    depth = np.where(y > 20, 60 / np.maximum(y - 20, 1), 1e10)
    index = np.where(y > 20, 1, 0)
    box = np.zeros((60, 80), bool)
    box[30:50, 30:50] = True
    return np.where(box, 1.5, depth), index


def test_outlines_are_found_on_both_sides_and_nowhere_on_a_slanted_plane():
    depth, index = slanted_scene()
    edge = outlines(index, depth)
    # The plane reaches the box's depth at row 60: everywhere above, the box stands before it.
    assert edge[31:48, 29:31].all() and edge[31:48, 49:51].all() and edge[29:31, 31:49].all()
    assert edge[20:22].all()
    assert not edge[23:28].any() and not edge[53:].any() and not edge[33:46, 33:46].any() and not edge[:19].any()


def disc(size, centre, radius, fine=8):
    """Coverage of a disc, exact to 1/64, and whether the pixel's centre is inside."""
    y, x = np.mgrid[: size[0] * fine, : size[1] * fine]
    inside = np.hypot((x + 0.5) / fine - 0.5 - centre[0], (y + 0.5) / fine - 0.5 - centre[1]) < radius
    coverage = inside.reshape(size[0], fine, size[1], fine).mean((1, 3))
    y, x = np.mgrid[: size[0], : size[1]]
    return coverage[..., None].astype(np.float32), np.hypot(x - centre[0], y - centre[1]) < radius


@pytest.mark.parametrize("contrast", [0.5, 0.02])
def test_outlines_become_as_smooth_as_in_the_source(contrast):
    coverage, inside = disc((48, 64), (30.3, 22.7), 15.2)
    source = 0.4 + contrast * coverage * np.ones(3, np.float32)
    front, back = np.float32([0.9, 0.2, 0.1]), np.float32([0.1, 0.5, 0.9])
    wanted = coverage * front + (1 - coverage) * back
    jagged = np.where(inside[..., None], front, back)
    index, depth = inside.astype(np.int32), np.where(inside, 2.0, 5.0)
    edge = outlines(index, depth)
    smooth = antialiased(jagged, source, index, depth, edge)
    assert np.array_equal(smooth[~edge], jagged[~edge])
    # Where source colours differ they tell the coverage exactly; else its shape does, roughly.
    share = 0.02 if contrast > 0.1 else 0.7
    assert np.abs(smooth - wanted)[edge].mean() < share * np.abs(jagged - wanted)[edge].mean()


def test_light_that_moved_on_is_followed_and_noise_is_not():
    painting = RNG.random((40, 60, 3)).astype(np.float32) * 0.3 + 0.4
    lit = np.full((40, 60, 3), 0.6, np.float32)
    dark = lit.copy()
    dark[:, :30] *= 0.5
    seen = np.ones((40, 60), np.float32)
    now = follow_light(painting, dark, lit, seen, radius=2.0, contrast=1.0)
    assert np.allclose(now[:, 40:], painting[:, 40:])
    assert np.allclose(now[:, :20] / painting[:, :20], 0.53, atol=0.04)
    back = follow_light(now, lit, dark, seen, radius=2.0)
    assert np.abs(back - painting)[:, :20].max() < 0.08
    noisy = lit + 0.02 * RNG.standard_normal(lit.shape).astype(np.float32)
    assert np.abs(follow_light(painting, noisy, lit, seen, radius=2.0) - painting).max() < 0.02


def test_the_light_of_what_sampling_made_darker_than_black_is_a_number():
    dark = np.full((40, 60, 3), -0.1, np.float32)
    seen = np.zeros((40, 60), np.float32)
    seen[:, :30] = 1
    assert np.isfinite(light_change(np.zeros_like(dark), dark, seen, 2.0)).all()


def test_a_painting_with_deeper_shadows_lets_light_count_more():
    source = np.tile(np.linspace(0.2, 0.8, 80, dtype=np.float32), (40, 1))[..., None] * np.ones(3, np.float32)
    assert contrast_ratio(source, source, 3.0) == pytest.approx(1)
    assert contrast_ratio(source**2, source, 3.0) == pytest.approx(2, abs=0.2)
