"""Local statistics of images: means and contrast around a pixel, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec. 709, on sRGB values: a measure, not a colour
MAX_GAIN = 2.0
FINE = 1.5  # px: the deviation of the Gaussian that takes fine detail away
SOFT = 0.7  # px: the deviation of the blur that is mixed in to have less of it: a wider one would blunt edges
BLACK = np.float32(0.02)  # keeps the light of black pixels finite
MAX_LIGHT = np.float32(1.1)  # the most by which light may change, as a natural logarithm: threefold
NOISE = np.float32(0.05)  # and the least


def local_mean(image: np.ndarray, radius: float, weight: np.ndarray | None = None) -> np.ndarray:
    """Return the Gaussian mean (σ = ``radius`` px) of ``image`` ``(H, W)`` or ``(H, W, C)``, of the pixels that count.

    ``weight`` ``(H, W)``, not negative, says how much each pixel counts; far from any that does the mean is 0.
    """
    if weight is None:
        return cv2.GaussianBlur(image, (0, 0), radius)
    total = cv2.GaussianBlur(image * (weight if image.ndim == 2 else weight[..., None]), (0, 0), radius)
    count = np.maximum(cv2.GaussianBlur(weight, (0, 0), radius), 1e-6)
    return total / (count if image.ndim == 2 else count[..., None])


def blend(images: Sequence[np.ndarray], weights: Sequence[np.ndarray], radius: float) -> np.ndarray:
    """Return the weighted mean of images ``(H, W, 3)`` with the local contrast that averaging took restored.

    ``weights`` ``(H, W)``, not negative, need not sum to 1; where all are 0 the result is 0. The mean of two paintings
    of one surface is flatter than either, since their strokes cancel. Around every pixel (σ = ``radius`` px) the mean
    is therefore stretched about its local mean until its standard deviation is the mean of theirs: the
    variance-preserving blend of Heitz and Neyret (HPG 2018, section 3.1), with the correlation measured where they
    assume none. One image, or equal ones, come back as they are.
    """
    total = np.maximum(sum(weights), 1e-12)
    shares = [weight / total for weight in weights]
    mean = sum(share[..., None] * image for share, image in zip(shares, images, strict=True))
    mixed = np.sum([share > 0.02 for share in shares], axis=0) > 1
    if not mixed.any():
        return mean
    wanted = sum(share * _contrast(image, share, radius) for share, image in zip(shares, images, strict=True))
    count = np.minimum(sum(shares), 1)
    centre = local_mean(mean, radius, count)
    gain = np.clip(wanted / np.maximum(_contrast(mean, count, radius), 1e-4), 1, MAX_GAIN)
    return np.where(mixed[..., None], np.clip(centre + gain[..., None] * (mean - centre), 0, 1), mean)


def _contrast(image: np.ndarray, weight: np.ndarray, radius: float) -> np.ndarray:
    """Return the local standard deviation of the luma, ``(H, W)``: smooth, so that every other pixel will do."""
    height, width = image.shape[:2]
    luma, weight = image @ LUMA, weight.astype(np.float32, copy=False)
    sums, half = cv2.merge([weight * luma * luma, weight * luma, weight]), (-(-width // 2), -(-height // 2))
    sums = cv2.GaussianBlur(cv2.resize(sums, half, interpolation=cv2.INTER_AREA), (0, 0), radius / 2)
    square, mean, _ = np.moveaxis(sums, -1, 0) / np.maximum(sums[..., 2], 1e-6)
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    return cv2.resize(deviation, (width, height), interpolation=cv2.INTER_LINEAR)


def contrast_blend(images: Sequence[np.ndarray], weights: Sequence[np.ndarray], like: np.ndarray) -> np.ndarray:
    """Return the weighted mean of images ``(H, W, C)`` with the mean and the contrast of ``like``, channel by channel.

    The images are standardised, averaged by ``weights`` ``(H, W)``, which sum to 1, and scaled to the mean and the
    standard deviation of ``like``: a mean alone would be flatter than what it is made of (Rerender A Video, full video
    translation; the histogram-preserving blending of Heitz and Neyret, HPG 2018, reduced to two moments).
    """
    mixed = sum(weight[..., None] * _standard(image) for weight, image in zip(weights, images, strict=True))
    return _standard(mixed) * like.std((0, 1)) + like.mean((0, 1))


def _standard(image: np.ndarray) -> np.ndarray:
    """Return every channel of ``image`` with mean 0 and standard deviation 1; a constant one is 0."""
    return (image - image.mean((0, 1))) / np.maximum(image.std((0, 1)), 1e-6)


def fine_detail(image: np.ndarray, where: np.ndarray) -> float:
    """Return the strength of what a Gaussian of ``FINE`` px takes away from ``image`` ``(H, W, C)``, over ``where``."""
    return float(np.sqrt(np.square(_fine(image)[where]).mean())) if where.any() else 0.0


def softened(image: np.ndarray, where: np.ndarray, wanted: float) -> np.ndarray:
    """Return ``image`` ``(H, W, C)`` blurred at ``where`` ``(H, W)`` bool, so far that its fine detail is ``wanted``.

    An image that has no more than that stays. The blurred one is mixed in by the share at which the detail, a quadratic
    function of it, is met; where all of it does not suffice, all of it.
    """
    weight = cv2.GaussianBlur(where.astype(np.float32), (0, 0), 1.0)
    change = weight[..., None] * (cv2.GaussianBlur(image, (0, 0), SOFT) - image)
    now, shift = _fine(image)[where], _fine(change)[where]
    excess = np.square(now).mean() - wanted**2 if where.any() else 0.0
    curvature = np.square(shift).mean() if where.any() else 0.0
    if excess <= 0 or curvature <= 0:
        return image
    slope = (now * shift).mean()
    share = (-slope - np.sqrt(max(slope**2 - excess * curvature, 0))) / curvature
    return image + np.float32(np.clip(share, 0, 1)) * change


def _fine(image: np.ndarray) -> np.ndarray:
    return image - cv2.GaussianBlur(image, (0, 0), FINE)


def contrast_ratio(painted: np.ndarray, source: np.ndarray, radius: float) -> float:
    """Return how much stronger light and shade are in a painting ``(H, W, 3)`` than in the frame it was painted over.

    The ratio of the standard deviations of the logarithms of their local mean lumas: 1 where a painting keeps the
    frame's own contrast, 2 where it squares it.
    """
    spread = [np.log(local_mean(image @ LUMA, radius) + BLACK).std() for image in (painted, source)]
    return float(np.clip(spread[0] / max(float(spread[1]), 1e-3), 0.5, 3.0))


def follow_light(
    image: np.ndarray, now: np.ndarray, then: np.ndarray, weight: np.ndarray, *, radius: float, contrast: float = 1.0
) -> np.ndarray:
    """Return ``image``, painted under the light of ``then``, as it would look under the light of ``now``.

    All are ``(H, W, 3)`` in [0, 1]; for the rest see :func:`light_change`. The light changes to the power ``contrast``:
    shadows move on and brush strokes stay.
    """
    return relit(image, light_change(now, then, weight, radius), contrast)


def light_change(now: np.ndarray, then: np.ndarray, weight: np.ndarray, radius: float) -> np.ndarray:
    """Return by how much there is more light in ``now`` than in ``then``, ``(H, W)``, as a logarithm.

    ``then`` is the source frame of a painting, carried to the frame ``now`` like the painting itself, so that the ratio
    of their local means (σ = ``radius`` px, where ``weight`` ``(H, W)`` is above 0) is that of the light alone. A
    change of less than ``NOISE`` is taken for the render's noise, and larger ones count by what they exceed it.
    """
    change = [np.log(np.maximum(local_mean(frame @ LUMA, radius, weight), 0) + BLACK) for frame in (now, then)]
    shift = np.clip(change[0] - change[1], -MAX_LIGHT, MAX_LIGHT)
    return np.sign(shift) * np.maximum(np.abs(shift) - NOISE, 0) * (weight > 0)


def relit(image: np.ndarray, change: np.ndarray, contrast: float = 1.0) -> np.ndarray:
    """Return ``image`` ``(H, W, 3)`` in [0, 1] under light that changed by ``change``, to the power ``contrast``."""
    return np.clip(image * np.exp(np.float32(contrast) * change)[..., None], 0, 1)
