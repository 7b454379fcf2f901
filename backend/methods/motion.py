"""Which motion a method follows: the scene's own, or what can be told from the pictures alone."""

from __future__ import annotations

from ..motion.correspondence import Motion
from ..motion.estimate import EstimatedMotion
from ..shot.shot import Shot


def motion_of(shot: Shot, choice: str) -> Motion:
    """Return the motion of ``shot`` as the setting ``motion`` says: "exact" (of footage, what there is) or "estimated".

    Estimated motion is what a video method has without a scene: optical flow between the source frames.
    """
    if choice == "exact":
        return shot.motion
    return EstimatedMotion(shot.frames, shot.beauty, frozenset(shot.info.cuts))
