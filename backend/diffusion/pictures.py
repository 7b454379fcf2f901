"""Pictures of any size on their way into a model and back: padded to what it takes, cropped back exactly."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..bridge.errors import UserError


def pad(image: np.ndarray, multiple: int) -> np.ndarray:
    """Return ``image`` (H, W, C) grown at the right and the bottom to sides that are multiples of ``multiple`` px.

    The border's pixels are repeated, so that no edge appears that the picture does not have.
    """
    height, width = image.shape[:2]
    return np.pad(image, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="edge")


def crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the part of a padded ``image`` (H', W', C) that was there before padding; ``size`` is (H, W)."""
    return image[: size[0], : size[1]]


def to_tensor(image: np.ndarray) -> Tensor:
    """Return a picture (H, W, 3) as a float32 tensor (3, H, W), values unchanged."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32))


def to_picture(image: Tensor) -> np.ndarray:
    """Return a tensor (3, H, W) as a picture (H, W, 3) float32, clipped to [0, 1]; UserError where it is not finite."""
    if not torch.isfinite(image).all():
        raise UserError("The model's picture is not a number everywhere. Choose fewer adapters, or another model.")
    return image.clamp(0, 1).permute(1, 2, 0).float().cpu().numpy()
