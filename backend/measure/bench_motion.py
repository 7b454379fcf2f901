"""Rows of the bench about motion: exact against estimated, direct against chained, and against analytic truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ..bridge.job import Job
from ..motion.correspondence import Motion, compose
from ..motion.estimate import estimate_flow
from ..motion.exact import ExactMotion
from ..motion.warp import warp
from ..shot.shot import Shot
from .metrics import JUDGED, evenly, frame_pairs
from .rows import Rows, cpu_seconds, row
from .synthetic import SyntheticShot
from .texture import Run, known_texture


def farneback_flow(image_i: np.ndarray, image_j: np.ndarray) -> np.ndarray:
    """Estimate the flow from frame i to j by polynomial expansion (Farnebäck 2003), OpenCV's usual settings.

    Images are ``(H, W, 3)`` float32 sRGB in [0, 1]; returns ``(H, W, 2)`` float32 pixels.
    """
    grey = [cv2.cvtColor(np.rint(image * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY) for image in (image_i, image_j)]
    start = np.zeros((*grey[0].shape, 2), np.float32)
    return cv2.calcOpticalFlowFarneback(grey[0], grey[1], start, 0.5, 5, 15, 3, 5, 1.2, 0)


PAIR_TIME = 60  # ms
GRAZING = 0.2  # cosine between normal and view

ESTIMATORS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "DIS": estimate_flow,
    "Farneback": farneback_flow,
}


def warp_errors(job: Job, shot: Shot) -> Rows:  # noqa: ARG001 - all row functions are called alike
    """Compare flows between neighbouring frames: exact, dense inverse search (medium) and Farnebäck, in one run.

    The estimators see the source frames. Each flow then carries one frame onto its neighbour (cubic), and the mean
    absolute difference is taken over the same pixels for all three, of 255:

    *Albedo-like*: of a known texture that lies on the surfaces (``texture.known_texture``: every scale down to the
    pixel, as much contrast as the source frames), where an exact sample touches one surface only (strict). It stands
    for what a stylization paints: texture that is not in the render, and lies on smooth surfaces too, where an estimate
    is wrong without the source frames showing it. Neither render noise nor moving light nor borders count, about which
    no flow can do anything. The texture is made from the surface-address passes; between neighbours the flow is from
    the Vector pass, or from object matrices for what only these move: neither is made from the other.

    *Source frames*: of these as they are, over all visible pixels, with noise, moving light and borders.
    """
    if not shot.has_data:
        return {}
    found = _Compared(shot)
    for i, j in _spaced(frame_pairs(shot, "1")):
        found.add(i, j)
    return found.rows()


class _Compared:
    """Sums of the differences that each flow leaves."""

    def __init__(self, shot: Shot) -> None:
        self.shot = shot
        self.texture = known_texture(shot.layer, shot.info.cameras)
        self.albedo, self.source, self.astray = (dict.fromkeys(("exact", *ESTIMATORS), 0.0) for _ in range(3))
        self.clean = self.visible = 0
        self.contrasts: list[tuple[float, float]] = []

    def add(self, i: int, j: int) -> None:
        """Compare all flows from frame ``i`` to ``j``."""
        shot, exact = self.shot, self.shot.motion.pair(i, j)
        visible = exact.valid > 0
        self.clean += int(exact.strict.sum())
        self.visible += int(visible.sum())
        self.contrasts.append((float(self.texture(i).std()), float(shot.beauty(i).std((0, 1)).mean())))
        flows = {name: estimate(shot.beauty(i), shot.beauty(j)) for name, estimate in ESTIMATORS.items()}
        for name, flow in {"exact": exact.flow, **flows}.items():
            self.albedo[name] += _left(self.texture, i, j, flow)[exact.strict].sum()
            self.source[name] += _left(shot.beauty, i, j, flow)[visible].sum()
            self.astray[name] += np.linalg.norm(flow - exact.flow, axis=-1)[visible].sum(dtype=np.float64)

    def rows(self) -> Rows:
        """Return the means as rows; none where nothing was visible."""
        if not self.clean or not self.visible:
            return {}
        texture, source = np.mean(self.contrasts, 0)
        rows = {}
        for name in self.albedo:
            rows[f"warp error, albedo-like, {name}"] = row(self.albedo[name] / self.clean * source / texture, "of 255")
            rows[f"warp error, source frames, {name}"] = row(self.source[name] / self.visible, "of 255")
        for name in ESTIMATORS:
            rows[f"warp error, albedo-like, {name} / exact"] = row(self.albedo[name] / self.albedo["exact"], at_least=2)
            rows[f"warp error, source frames, {name} / exact"] = row(self.source[name] / self.source["exact"])
            rows[f"distance of {name} from exact motion"] = row(self.astray[name] / self.visible, "px")
        return rows


def _left(run: Run, i: int, j: int, flow: np.ndarray) -> np.ndarray:
    """Return what is left of frame ``i`` once frame ``j`` is warped onto it, ``(H, W)`` float64, of 255."""
    return 255 * np.abs(run(i) - warp(run(j), flow)).mean(-1, dtype=np.float64)


def _spaced(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    chosen = evenly(range(len(pairs)), JUDGED) if pairs else []
    return [pairs[k] for k in chosen]


def pair_time(job: Job, shot: Shot) -> Rows:  # noqa: ARG001
    """Time one answer of exact motion between far frames, when the frames on the way have been judged and are at hand.

    The goal is of the size that the shot happens to have; it is stated for 512 x 288.
    """
    frames = evenly(shot.frames, 4)
    if len(frames) < 4:
        return {}
    a, b, c, d = frames
    far = ((a, c), (b, d), (d, a), (c, b))
    for i, j in far:
        shot.motion.pair(j, i)
    spent = cpu_seconds(lambda: [shot.motion.pair(i, j) for i, j in far])
    return {f"pair, warm, {shot.width} x {shot.height}": row(1000 * spent / len(far), "CPU ms", at_most=PAIR_TIME)}


def chained_matches(job: Job, shot: Shot) -> Rows:  # noqa: ARG001
    """Count how many of the direct matches between first and last frame are left when neighbours are chained."""
    return {"matches first to last, chained / direct": row(chained_share(shot.motion, shot.frames))}


def synthetic_motion() -> Rows:
    """Hold exact motion against analytic truth, by matrices and by surface address, and chain neighbours against both.

    Accepted pixels are those with a valid flow; precision and recall are of acceptance against ray-cast visibility.
    Faces seen at less than ``GRAZING`` in either frame are reported apart.
    """
    shot = SyntheticShot((256, 144))
    kept = chained_share(shot.motion, shot.frames)
    rows = {"matches first to last, chained / direct": row(kept, at_most=0.05)}
    for rigid, how in ((True, "by matrices"), (False, "by surface address")):
        motion = ExactMotion(shot.geometry(rigid))
        for lag, (i, j) in synthetic_lags(shot).items():
            clear = shot.motion.facing(i, j) > GRAZING
            found, truth = motion.pair(i, j), shot.motion.pair(i, j)
            error = np.linalg.norm(found.flow - truth.flow, axis=-1)
            judged = accuracy(error, found.valid > 0, truth.valid > 0, clear)
            rows |= {f"{how}, {lag}: {name}": one for name, one in judged.items()}
    return {f"synthetic shot, {name}": one for name, one in rows.items()}


def synthetic_lags(shot: SyntheticShot) -> dict[str, tuple[int, int]]:
    """Return the pairs of frames that are looked at, by their lag."""
    middle = shot.frames[len(shot.frames) // 2]
    return {"lag 8": (middle, middle - 8), "first-last": (shot.frames[-1], shot.frames[0])}


def accuracy(error: np.ndarray, accepted: np.ndarray, visible: np.ndarray, clear: np.ndarray) -> Rows:
    """Return the rows of accepted correspondences: arrays of one shape, ``error`` px, the others bool.

    ``visible`` is the truth, ``clear`` is false on grazing faces, which are reported apart.
    """
    right = accepted & visible
    found = error[right & clear]
    return {
        "mean error": row(found.mean() if found.size else None, "px", at_most=0.005),
        "99th percentile": row(np.percentile(found, 99) if found.size else None, "px", at_most=0.05),
        "precision": row(share(right & clear, accepted & clear), at_least=0.97),
        "recall": row(share(right & clear, visible & clear), at_least=0.96),
        "recall, grazing": row(share(right & ~clear, visible & ~clear), at_least=0.7),
    }


def share(part: np.ndarray, whole: np.ndarray) -> float | None:
    """Return how much of ``whole`` (bool) is ``part`` of it; None where it is nothing."""
    return float(part.sum() / whole.sum()) if whole.any() else None


def chained_share(motion: Motion, frames: Sequence[int]) -> float | None:
    """Return the share of the matches from last to first frame that is left when neighbours are chained."""
    chain = motion.pair(frames[-1], frames[-1])
    for after, before in zip(frames[:0:-1], frames[-2::-1], strict=True):
        chain = compose(chain, motion.pair(after, before))
    direct = motion.pair(frames[-1], frames[0]).valid > 0
    return share(direct & (chain.valid > 0), direct)
