"""The hierarchical constraints that hold a key frame to finished ones (Rerender A Video, key frame translation).

Finished key frames are references: the first ones anchors, beside them the one nearest in time. Early in the run an
anchor's clean prediction, moved along the motion, settles the shapes; in the middle the pictures of all references,
moved likewise, settle the texture; late, an anchor's colour statistics settle the colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from ..bridge.settings.rerender import FUSED
from ..diffusion.attention import TokenBank
from ..diffusion.pictures import pad
from ..diffusion.sampling import Window, fuse_noised
from ..diffusion.warping import warp as warp_cells
from ..motion.cells import at_cells
from ..motion.correspondence import Correspondence
from ..motion.warp import gather
from ..patches.blending import sampling

COARSE = 0.5  # a surface that a reference shows this much smaller, across or along, is drawn anew


@dataclass(frozen=True)
class Preset:
    """When each constraint acts, in progress, and how.

    ``weight`` is the share of the references in the fused pixels, ``inner`` how much of the noise's strength that
    fusion takes is given back. With ``two_passes`` the rough picture under the references comes from a run without
    them, else from what the run itself predicts just before pixels are fused: with tight masks, little of it is seen.
    Masks of what is hidden grow by ``margin`` px and are then blurred over ``soft`` px. With ``seen_colours`` colours
    are matched over what an anchor shows, else over the whole picture.
    """

    shape: Window
    pixel: Window
    colour: Window
    weight: float
    inner: float
    two_passes: bool
    margin: int
    soft: int
    seen_colours: bool


_PAPER = Preset(
    Window(0, 0.1), Window(*FUSED), Window(0.8, 1), 0.5, 0.9, two_passes=True, margin=4, soft=9, seen_colours=False
)
PRESETS = {
    # Along exact motion pixels can be fused to the end; by estimated motion that would smear them.
    "exact": replace(_PAPER, pixel=Window(0.5, 1.0), inner=1.0, two_passes=False, margin=1, soft=3, seen_colours=True),
    "paper": _PAPER,
    "released": replace(_PAPER, colour=Window(1, 1)),
}


@dataclass(frozen=True, eq=False)
class Reference:
    """A finished key frame: its ``image`` ``(H, W, 3)`` sRGB, and what the network made of it at every step.

    ``clean`` are the clean predictions (1, C, h, w) by step, ``tokens`` what went into self-attention.
    """

    frame: int
    image: np.ndarray
    clean: Mapping[int, Tensor]
    tokens: TokenBank


@dataclass(frozen=True, eq=False)
class View:
    """What a key frame sees of a reference.

    ``image`` ``(H, W, 3)`` is the reference's, moved here; ``hidden`` ``(H, W)`` bool where it does not show the
    frame, ``veil`` ``(H, W)`` in [0, 1] the same with a soft margin. On latent cells: ``flow`` (1, h, w, 2) leads to
    the reference, ``shown`` (1, 1, h, w) in [0, 1] is what all of a cell's pixels see of it.
    """

    reference: Reference
    image: np.ndarray
    hidden: np.ndarray
    veil: np.ndarray
    flow: Tensor
    shown: Tensor


def look(reference: Reference, pair: Correspondence, preset: Preset, factor: int, multiple: int) -> View:
    """Return what a frame sees of ``reference``, by the correspondence ``pair`` to it.

    ``factor`` is the side of a latent cell in px, ``multiple`` what the picture's sides are padded to.
    """
    smaller, larger = sampling(pair.flow)
    hidden = (pair.valid <= 0) | (smaller < COARSE)
    veil = veiled(hidden, preset)
    shown = cells(1 - veil, factor, multiple)
    flow = torch.from_numpy(at_cells(pair, factor, (shown.shape[2], shown.shape[3])).flow)[None]
    image = gather(reference.image, pair.flow, np.sqrt(smaller * larger) * ~hidden)
    return View(reference, image, hidden, veil, flow, shown)


def veiled(hidden: np.ndarray, preset: Preset) -> np.ndarray:
    """Return a mask ``(H, W)`` bool as one in [0, 1] that is 1 where it was true and fades around it."""
    grown = cv2.dilate(hidden.astype(np.float32), np.ones((2 * preset.margin + 1,) * 2, np.uint8))
    return np.clip(cv2.GaussianBlur(grown, (preset.soft, preset.soft), 2 * preset.soft) + hidden, 0, 1)


def cells(mask: np.ndarray, factor: int, multiple: int) -> Tensor:
    """Return a mask ``(H, W)`` in [0, 1] on latent cells, (1, 1, h, w): the least of each cell's pixels."""
    whole = torch.from_numpy(pad(mask[..., None].astype(np.float32), multiple)[None, ..., 0][None])
    return -max_pool2d(-whole, factor)


def anchored(views: Sequence[View], step: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the anchors' clean predictions at ``step``, moved here, and how much of each cell they show.

    (1, C, h, w), 0 where no anchor shows a cell, and (1, 1, h, w); the first anchor that shows it counts.
    """
    total, left = torch.zeros_like(like), torch.ones_like(like[:, :1])
    for view in views:
        moved = warp_cells(view.reference.clean[step].to(like), view.flow, "nearest")
        total = total + left * view.shown.to(like) * moved
        left = left * (1 - view.shown.to(like))
    return total / (1 - left).clamp_min(1e-6), 1 - left


def adain(x0: Tensor, like: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return ``x0`` (N, C, h, w) with each channel's mean and standard deviation those of ``like``.

    ``weight`` (N, 1, h, w) says how much each cell counts in the statistics of both; without it all count alike
    (adaptive instance normalisation, Huang and Belongie, ICCV 2017).
    """
    weight = torch.ones_like(x0[:, :1]) if weight is None else weight
    (mean, deviation), (wanted, spread) = _moments(x0, weight), _moments(like, weight)
    return (x0 - mean) / deviation.clamp_min(1e-6) * spread + wanted


def _moments(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    total = weight.sum((2, 3), keepdim=True).clamp_min(1e-6)
    mean = (x * weight).sum((2, 3), keepdim=True) / total
    return mean, (((x - mean) ** 2 * weight).sum((2, 3), keepdim=True) / total).sqrt()


def overlay(rough: np.ndarray, views: Sequence[View]) -> np.ndarray:
    """Return ``rough`` ``(H, W, 3)`` with what the references show laid over it, the first uppermost (eq. 10)."""
    image = rough
    for view in reversed(views):
        image = image + (1 - view.veil[..., None]) * (view.image - image)
    return image


@dataclass(frozen=True)
class PixelTarget:
    """Latents that a run is pulled to: ``z`` (1, C, h, w) by ``weight`` (1, 1, h, w), the noise kept at ``inner``."""

    z: Tensor
    weight: Tensor
    inner: Tensor

    def fuse(self, x: Tensor, noise: Tensor, fresh: Tensor, scales: tuple[float, float]) -> Tensor:
        """Return the state ``x``, in which ``noise`` is predicted, fused with the target under ``fresh`` noise.

        ``scales`` are the sampler's (A, S) of the step; both noises are of unit strength.
        """
        A, S = scales
        return fuse_noised(x, S * noise, A * self.z + S * fresh, self.weight, self.inner)


def pixel_target(z: Tensor, views: Sequence[View], preset: Preset, factor: int, multiple: int) -> PixelTarget:
    """Return the target of the encoded overlay ``z``: nothing is pulled where no reference shows the frame.

    The noise's strength is restored where the weight is the same all around; at a mask's border its share is kept.
    """
    hidden = np.all([view.hidden for view in views], axis=0)
    shown = cells(1 - veiled(hidden, preset), factor, multiple).to(z)
    flat = max_pool2d(shown, 3, 1, 1) == -max_pool2d(-shown, 3, 1, 1)
    return PixelTarget(z, preset.weight * shown, preset.inner * flat)
