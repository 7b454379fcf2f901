"""Joining two key frames, both carried to a frame between them (Rerender A Video, full video translation)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from .blending import faded
from .poisson import masked_gradients, screened
from .statistics import contrast_blend

STIFFNESS = (2.5, 0.5, 0.5)  # px, of L, a and b: seams shorter than that dissolve (the values released with the paper)
SPARE = 1e-3  # weight of gradients that count only where no better ones are known


def chosen_later(
    advantages: Sequence[np.ndarray],
    from_before: Callable[[int, np.ndarray], np.ndarray],
    from_after: Callable[[int, np.ndarray], np.ndarray],
) -> list[np.ndarray]:
    """Choose between two images of every frame between two keys: 0 the earlier key's, 1 the later's, ``(H, W)`` each.

    ``advantages`` ``(H, W)`` say for each frame by how much the later one is better. A surface changes from the earlier
    to the later key at most once, where the sum of what it gains over all frames is largest: an error that flickers
    does not make the choice flicker. Rerender A Video keeps what was chosen before; this is the same
    hysteresis, but looks at all frames, and so it is the same forwards and backwards in time. Where both are equally
    good the choice is 0.5.

    ``from_before(k, x)`` carries ``x`` ``(H, W)``, known at frame k - 1, to frame k, and ``from_after`` from frame
    k + 1, with 0 where its surface is not seen there.
    """
    none = np.zeros_like(advantages[0])
    later = [none] * len(advantages)  # by how much the frames to come ask for the earlier key, never above 0
    gain = none
    for k in range(len(advantages) - 1, -1, -1):
        if k + 1 < len(advantages):
            later[k] = from_after(k, np.minimum(gain, 0))
        gain = advantages[k] + later[k]
    chosen, gain = [], none
    for k, advantage in enumerate(advantages):
        gain = advantage + (from_before(k, np.maximum(gain, 0)) if k else none)
        chosen.append(np.heaviside(gain + later[k], np.float32(0.5)))
    return chosen


def interpolated(
    images: Sequence[np.ndarray],
    seen: Sequence[np.ndarray],
    share: float,
    later: np.ndarray,
    fade: float,
    gradients: bool = True,
) -> np.ndarray:
    """Return two pictures of one frame as one, ``(H, W, 3)`` float32 sRGB in [0, 1].

    ``images`` are the earlier and the later key's, whole: where ``seen`` ``(H, W)`` bool says that one does not show
    the frame, it holds something else that fits. The later counts by ``share`` in [0, 1], each yielding to the other
    within ``fade`` px of where it ends. The mean takes its contrast, channel by channel in Lab, from the better picture
    of the two at every pixel (``later`` as :func:`chosen_later` returns it), and with ``gradients`` its gradients too.
    """
    earlier = 1 - later
    lab = [cv2.cvtColor(image, cv2.COLOR_RGB2LAB) for image in images]
    best = earlier[..., None] * lab[0] + later[..., None] * lab[1]
    first, second = faded([(1 - share) * seen[0].astype(np.float32), share * seen[1].astype(np.float32)], fade)
    neither = 1 - first - second
    mixed = contrast_blend(lab, [first + neither * (1 - np.float32(share)), second + neither * np.float32(share)], best)
    if gradients:
        weights = [seen[0] * (earlier + SPARE), seen[1] * (later + SPARE), np.full_like(later, SPARE**2)]
        mixed = screened(mixed, *masked_gradients([*lab, best], weights), STIFFNESS)
    return np.clip(cv2.cvtColor(mixed.astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1)
