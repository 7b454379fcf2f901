"""The multi-frame fusion module: what several frames predict of one surface is made one (SMFD, arXiv 2311.14343).

It works on pictures ``(h, w, C)`` of any kind: latents, decoded predictions, finished frames. In the semantic
reconstruction stage every frame's content is propagated to every other and averaged; in the detail refinement stage,
where an average would be smooth, one frame at a time overwrites the others where they see it. Both are joined in the
gradient domain. The paper leaves the weights open; those here are of SyncMVD (arXiv 2311.12891, section 3.2): the
better a frame sees a surface the more it counts, the more so the later it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..motion.cache import Cache
from ..motion.cells import at_cells
from ..motion.correspondence import Motion
from ..motion.warp import Interpolation, warp
from ..patches.blending import sampling, shares
from ..patches.poisson import masked_gradients, screened, seamless
from ..patches.statistics import local_mean

CACHE = 512 << 20  # bytes of links kept
LEAST = 0.25  # confidence in what is seen very small or at a grazing angle
WHOLE = 0.999  # share of a cell's pixels that must be valid for it to be overwritten

RADIUS = 2.0  # cells, of the neighbourhood whose contrast is restored
MOST_GAIN = 3.0
SPARE = 1e-6  # weight of a frame's own gradients where others count

Pictures = Mapping[int, np.ndarray]


@dataclass(frozen=True)
class Link:
    """How one frame finds its content in another, on a grid of cells.

    ``flow`` ``(h, w, 2)`` in cells; ``valid`` ``(h, w)`` in [0, 1]; ``whole`` ``(h, w)`` 1.0 where the other frame may
    overwrite the cell, else 0.0; ``confidence`` ``(h, w)`` in [LEAST, 1]: how large the other frame sees what this one
    sees, 1 for as large or larger.
    """

    flow: np.ndarray
    valid: np.ndarray
    whole: np.ndarray
    confidence: np.ndarray


class Links:
    """The links between the frames of a shot on a grid of cells ``side`` px wide, ``shape`` (rows, columns) of them."""

    def __init__(self, motion: Motion, side: int, shape: tuple[int, int]) -> None:
        self._motion, self._side, self._shape = motion, side, shape
        self._links: Cache[tuple[int, int], Link] = Cache(CACHE, self._link)

    def __call__(self, target: int, source: int) -> Link:
        """Return how frame ``target`` finds its content in frame ``source``."""
        return self._links.get((target, source))

    def _link(self, pair: tuple[int, int]) -> Link:
        found = at_cells(self._motion.pair(*pair), self._side, self._shape)
        whole = (found.valid > WHOLE).astype(np.uint8)
        if self._side == 1:  # a pixel at the border of what is valid is a mixture of two surfaces
            whole = cv2.erode(whole, np.ones((3, 3), np.uint8))
        smaller, _ = sampling(found.flow)
        confidence = np.clip(smaller, LEAST, 1).astype(np.float32)
        return Link(found.flow, found.valid, whole.astype(np.float32), confidence)


Layers = dict[int, tuple[np.ndarray, np.ndarray]]
"""What a frame is made of: for each frame its picture in this one's place, and its weight (h, w); they sum to 1."""


@dataclass(frozen=True)
class Joint:
    """How pictures are put together.

    ``blending``: "screened" (short seams dissolve, over about ``seam`` cells), "seamless" (Pérez et al. 2003: what is
    foreign fits the frame's own picture around it) or "none". ``interpolation`` is between cells: "nearest" for
    latents, since a mean of neighbours is no latent of anything and halves the variance that the network expects
    there, "lanczos" for pictures. ``contrast`` says whether a mean is given back the contrast that averaging takes.
    """

    blending: str = "screened"
    seam: float = 2.0
    interpolation: Interpolation = "lanczos"
    contrast: bool = True


class Fusion:
    """Fuses the pictures of frames along ``links`` as ``joint`` says."""

    def __init__(self, links: Links, joint: Joint) -> None:
        self._links, self._joint = links, joint

    def reconstruct(self, pictures: Pictures, frozen: Pictures, exponent: float) -> dict[int, np.ndarray]:
        """Semantic reconstruction: return every picture as the mean of what all frames show there.

        A frame counts by its confidence to the power ``exponent``, the frame itself by 1. What a ``frozen`` reference
        shows is taken from it.
        """
        fused = {}
        for target, own in pictures.items():
            layers = {}
            for source in sorted(pictures):
                if source == target:
                    layers[target] = (own, np.ones(own.shape[:2], np.float32))
                    continue
                link = self._links(target, source)
                weight = link.valid * link.confidence ** np.float32(exponent)
                layers[source] = (self._moved(pictures[source], link), weight)
            total = sum(weight for _, weight in layers.values())
            layers = {source: (image, weight / total) for source, (image, weight) in layers.items()}
            fused[target] = self._joined(target, self._settled(target, layers, frozen), self._joint.contrast)
        return fused

    def refine(self, pictures: Pictures, frozen: Pictures, reference: int) -> dict[int, np.ndarray]:
        """Detail refinement: return the pictures with what ``reference`` shows of them pasted in; itself it stays.

        What a ``frozen`` reference shows is taken from that.
        """
        return self.agree(pictures, frozen, [reference])

    def agree(self, pictures: Pictures, frozen: Pictures, order: Sequence[int]) -> dict[int, np.ndarray]:
        """Let every surface have one source: the first frame in ``order`` that shows it, or a ``frozen`` reference.

        It is what detail refinement comes to when every frame has been the reference, the first in ``order`` last,
        except that everything is sampled once.
        """
        fused = {}
        for target, own in pictures.items():
            left, layers = np.ones(own.shape[:2], np.float32), {}
            for source in order:
                if source == target:
                    break
                link = self._links(target, source)
                layers[source] = (self._moved(pictures[source], link), left * link.whole)
                left = left * (1 - link.whole)
            layers[target] = (own, left)
            fused[target] = self._joined(target, self._settled(target, layers, frozen))
        return fused

    def _settled(self, target: int, layers: Layers, frozen: Pictures) -> Layers:
        """Lay what frozen references show over ``layers``; of several, by confidence and nearness in time."""
        if not frozen:
            return layers
        links = {source: self._links(target, source) for source in frozen}
        near = shares(target, frozen)
        weights = {source: link.whole * link.confidence * np.float32(near[source]) for source, link in links.items()}
        total = np.maximum(sum(weights.values()), 1e-6)
        seen = np.max([link.whole for link in links.values()], axis=0)
        settled = {
            source: (self._moved(frozen[source], links[source]), seen * weight / total)
            for source, weight in weights.items()
        }
        return {source: (image, (1 - seen) * weight) for source, (image, weight) in layers.items()} | settled

    def _moved(self, picture: np.ndarray, link: Link) -> np.ndarray:
        return warp(picture, link.flow, self._joint.interpolation)

    def _joined(self, target: int, layers: Layers, restore: bool = False) -> np.ndarray:
        """Return one picture of the layers, joined in the gradient domain; a frame's own where no other counts.

        Across a seam, where no layer shows both sides, the gradient is the frame's own: seams are often outlines.
        """
        own, share = layers[target]
        if share.min() == 1:
            return own
        pictures, weights = zip(*layers.values(), strict=True)
        colour = sum(weight[..., None] * picture for picture, weight in zip(pictures, weights, strict=True))
        inside, faint = share < 1, {target: np.maximum(share, SPARE)}
        guides = [faint.get(source, weight) for source, (_, weight) in layers.items()]
        if self._joint.blending == "seamless" and not inside.all():
            started = np.where(inside[..., None], colour, own)
            colour = seamless(started, *masked_gradients(pictures, guides), inside)
        elif self._joint.blending != "none":
            colour = screened(colour, *masked_gradients(pictures, guides), self._joint.seam)
        return _restored(colour, layers) if restore else colour


def _restored(mean: np.ndarray, layers: Layers) -> np.ndarray:
    """Return the ``mean`` of layers with their own local contrast, channel by channel.

    The mean of N independent details has 1/sqrt(N) of their deviation, and a network that is shown too little of it
    paints too little: aggregation shrinks the variance, which must be aligned again (VCD-Texture, arXiv 2407.04461;
    the gain is that of Heitz and Neyret, HPG 2018, section 3.1).
    """
    wanted = sum(weight[..., None] * _deviation(picture, weight) for picture, weight in layers.values())
    everywhere = np.ones(mean.shape[:2], np.float32)
    gain = np.clip(wanted / np.maximum(_deviation(mean, everywhere), 1e-4), 1, MOST_GAIN)
    centre = local_mean(mean, RADIUS)
    return centre + gain * (mean - centre)


def _deviation(picture: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the local standard deviation of each channel, ``(h, w, C)``, of the cells that count."""
    squares = local_mean(picture * picture, RADIUS, weight) - local_mean(picture, RADIUS, weight) ** 2
    return np.sqrt(np.maximum(squares, 0))
