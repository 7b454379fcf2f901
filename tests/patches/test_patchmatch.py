import cv2
import numpy as np
import pytest

from backend.patches.patchmatch import GUIDES, Exemplar, Library, extended, matched, synthesize, vote

SIZE = (48, 64)
RNG = np.random.default_rng(11)


def texture(seed, sigma=1.5):
    noise = np.random.default_rng(seed).standard_normal((*SIZE, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.clip(0.5 + 0.25 * smooth / smooth.std(), 0, 1)


def frame(style, guide=None, labels=None):
    guides = np.zeros((*SIZE, GUIDES), np.float32)
    if guide is not None:
        guides[..., :3] = guide
    return Exemplar(guides, np.zeros(SIZE, np.int32) if labels is None else labels, style)


def positions(number=0, dx=0.0, dy=0.0):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    return np.dstack([np.full(SIZE, number, np.float32), x + dx, y + dy])


@pytest.fixture
def gap():
    mask = np.zeros(SIZE, bool)
    mask[16:32, 24:44] = True
    return mask


def test_a_gap_that_motion_explains_is_filled_exactly(gap):
    style, guide = texture(1), texture(2)
    moved = [np.roll(image, (3, -5), (0, 1)) for image in (style, guide)]
    holed = np.where(gap[..., None], 0, moved[0]).astype(np.float32)
    filled = synthesize(frame(holed, moved[1]), gap, Library([frame(style, guide)]), positions(0, 5, -3))
    assert np.abs(filled - moved[0]).max() < 1e-5
    assert np.array_equal(filled[~gap], holed[~gap])


def test_where_nothing_is_known_the_guides_lead(gap):
    guide = texture(3, 2.5)
    style = 1 - guide[..., ::-1]
    turned = np.ascontiguousarray(guide[::-1, ::-1])
    wanted = 1 - turned[..., ::-1]
    start = positions()
    start[gap] = -1
    holed = np.where(gap[..., None], 0, wanted).astype(np.float32)
    filled = synthesize(frame(holed, 2 * turned), gap, Library([frame(style, 2 * guide)]), start)
    assert np.abs(filled - wanted)[gap].mean() < 0.12
    assert np.abs(holed - wanted)[gap].mean() > 0.4


@pytest.mark.parametrize(("look", "own"), [(0.3, True), (0.6, False)])
def test_a_surface_is_painted_from_its_own_object_unless_that_looks_different(gap, look, own):
    """Two objects side by side; the border between them has moved, and each now looks like the other did."""
    source_labels, labels = np.zeros((2, *SIZE), np.int32)
    source_labels[:, 32:] = 1
    labels[:, 36:] = 1
    red, blue = 0.4 + 0.2 * np.eye(3, dtype=np.float32)[[0, 2]]
    painted = np.where(source_labels[..., None] == 0, red, blue)
    library = Library([frame(painted, look / np.sqrt(3) * source_labels[..., None], source_labels)])
    wanted = np.where(labels[..., None] == 0, red, blue)
    holed = np.where(gap[..., None], 0, wanted).astype(np.float32)
    start = np.where((gap | (labels == 1))[..., None], positions(), positions(0, -4))
    filled = synthesize(frame(holed, look / np.sqrt(3) * (1 - labels[..., None]), labels), gap, library, start)
    assert (np.abs(filled - wanted).max() < 1e-5) == own


def test_pixels_that_must_not_serve_do_not(gap):
    stained = np.full((*SIZE, 3), 0.5, np.float32)
    stained[2:-2, 8:-8] = (1, 0, 0)
    labels = np.where(stained[..., 0] == 1, -1, 0).astype(np.int32)
    grey = np.full_like(stained, 0.5)
    filled = synthesize(frame(grey), gap, Library([frame(stained, None, labels)]), positions())
    assert np.abs(filled - 0.5).max() < 1e-5
    assert np.abs(synthesize(frame(grey), gap, Library([frame(stained)]), positions()) - 0.5).max() > 0.4


def test_a_label_that_no_source_has_takes_what_looks_alike(gap):
    guide = texture(4, 2.5)
    labels = np.where(gap, 7, 0).astype(np.int32)
    holed = np.where(gap[..., None], 0, 1 - guide).astype(np.float32)
    start = positions()
    start[gap] = -1
    filled = synthesize(frame(holed, 2 * guide, labels), gap, Library([frame(1 - guide, 2 * guide)]), start)
    assert np.abs(filled - (1 - guide))[gap].mean() < 0.05


def test_the_same_input_gives_the_same_picture(gap):
    start = positions()
    start[gap] = -1
    style, guide, other = texture(5), texture(6), texture(7)
    pictures = [
        synthesize(frame(style, other), gap, Library([frame(style, guide), frame(other, guide)]), start, seed)
        for seed in (1, 1, 2)
    ]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_patches_may_come_from_any_frame_of_the_library(gap):
    black, style = np.zeros((*SIZE, 3), np.float32), texture(8)
    library = Library([frame(black, np.ones_like(black)), frame(style)])
    holed = np.where(gap[..., None], 0, style).astype(np.float32)
    assert np.abs(synthesize(frame(holed), gap, library, positions(1)) - style).max() < 1e-5


@pytest.mark.parametrize("patch", [3, 5, 7])
def test_gaps_at_the_border_and_odd_sizes_are_filled(patch):
    size = (31, 45)
    style = np.full((*size, 3), 0.25, np.float32)
    gap = np.zeros(size, bool)
    gap[-9:, -12:] = True
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    start = np.dstack([np.where(gap, -1, 0).astype(np.float32), x, y])
    one = Exemplar(np.zeros((*size, GUIDES), np.float32), np.zeros(size, np.int32), style)
    holed = Exemplar(one.guides, one.labels, np.where(gap[..., None], 0, style).astype(np.float32))
    assert np.abs(synthesize(holed, gap, Library([one], patch), start) - style).max() < 1e-6


def test_a_gap_everywhere_is_painted_too():
    start = np.full((*SIZE, 3), -1, np.float32)
    guide = texture(9, 2.5)
    everywhere = np.ones(SIZE, bool)
    library = Library([frame(1 - guide, 2 * guide)])
    filled = synthesize(frame(np.zeros_like(guide), 2 * guide), everywhere, library, start)
    assert np.abs(filled - (1 - guide)).mean() < 0.05


def test_motion_is_extended_from_the_nearest_pixel_of_the_same_object(gap):
    labels = np.zeros(SIZE, np.int32)
    labels[:, 34:] = 1
    start = np.where((labels == 0)[..., None], positions(0, 2, 0), positions(1, -6, 1)).astype(np.float32)
    found = extended(start, ~gap, labels, gap)
    assert np.array_equal(found, start)
    labels[20:24, 30:32] = 5
    found = extended(start, ~gap, labels, gap)
    assert (found[20:24, 30:32, 0] == -1).all()


def test_a_whole_frame_is_matched_by_its_look_and_carried_by_votes():
    guide, style = 10 * texture(4), texture(5)
    moved, wanted = (np.roll(image, (9, -14), (0, 1)) for image in (guide, style))
    field = matched(frame(np.zeros_like(style), moved), frame(style, guide), seed=1)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    right = (field == np.dstack([x + 14, y - 9])).all(-1)
    assert right[11:-2, 2:-16].mean() > 0.97
    assert np.abs(vote(style, field) - wanted)[11:-2, 2:-16].mean() < 0.01


def test_votes_are_means_that_no_border_darkens():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    here = np.dstack([x, y]).astype(np.float32)
    image = RNG.random((*SIZE, 4))
    assert np.allclose(vote(image, here), image, atol=1e-12)
    moved = np.clip(here + 7, 0, [SIZE[1] - 1, SIZE[0] - 1]).astype(np.float32)
    assert np.allclose(vote(np.ones((*SIZE, 1)), moved), 1)
