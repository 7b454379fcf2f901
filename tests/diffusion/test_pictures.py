"""Pictures of any size go in padded and come out as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.bridge.errors import UserError
from backend.diffusion.pictures import crop, pad, to_picture, to_tensor


@pytest.mark.parametrize("multiple", [8, 16, 64])
@pytest.mark.parametrize("size", [(1, 1), (63, 65), (64, 64), (43, 130)])
def test_padding_repeats_the_border_and_is_undone_exactly(size: tuple[int, int], multiple: int) -> None:
    image = np.random.default_rng(0).random((*size, 3), np.float32)
    padded = pad(image, multiple)
    assert padded.shape[0] % multiple == padded.shape[1] % multiple == 0
    assert padded.shape[0] - size[0] < multiple
    assert padded.shape[1] - size[1] < multiple
    assert np.array_equal(padded[-1, : size[1]], image[-1])
    assert np.array_equal(padded[: size[0], -1], image[:, -1])
    assert np.array_equal(crop(to_picture(to_tensor(padded)), size), image)


def test_pictures_are_clipped_and_never_nan() -> None:
    assert to_picture(torch.tensor([-1.0, 0.5, 2.0]).view(3, 1, 1)).tolist() == [[[0.0, 0.5, 1.0]]]
    with pytest.raises(UserError, match="not a number"):
        to_picture(torch.full((3, 2, 2), float("nan")))
