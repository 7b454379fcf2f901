"""Rows of the bench about the measure itself: whether it sees through what only looks consistent."""

from __future__ import annotations

from .rows import Rows, cpu_seconds, row
from .stylizers import stylizers
from .synthetic import SyntheticShot
from .verdict import LIMITS, Verdict, judge

CAUGHT = 0.75  # a ratio that gives a cheat away
LOW_PASSED = ("independent, blur 2 px", "independent, blur 4 px", "independent, box 5 px")
COLUMN_OF = {
    "screen-fixed": "8",
    "warp chain": "first-last",
    "warp chain, 20 % refresh": "first-last",
    "slow drift": "first-last",
    "keys every 8, cross-fade": "first-last",
}


def synthetic_table() -> Rows:
    """Measure pretended stylizations of the synthetic shot; each cheat must show in the column that is meant for it.

    The ratios are those with nothing subtracted, so that nothing of what is unavoidable is forgiven.
    """
    shot = SyntheticShot()
    runs = stylizers(shot)
    found: dict[str, Verdict] = {}
    spent = cpu_seconds(lambda: found.update(judge(shot, runs, runs["independent"])))
    rows = {"anchored: largest R": row(_furthest(found["anchored"], 0), at_most=0.15)}
    for name in LOW_PASSED:
        rows[f"{name}: largest |R - 1|"] = row(_furthest(found[name], 1), at_most=0.02)
    for name, column in COLUMN_OF.items():
        rows[f"{name}: R {column}"] = row(found[name].plain_ratio[column], at_least=CAUGHT)
    rows["warp chain, 20 % refresh: D"] = row(found["warp chain, 20 % refresh"].detail, at_most=LIMITS["detail"])
    rows["unstylized input: L"] = row(found["unstylized input"].style, at_most=LIMITS["style"])
    rows["blur with anchored grain: W"] = row(found["blur with anchored grain"].texture, at_least=LIMITS["texture"])
    rows["anchored: |W - 1|"] = row(abs((found["anchored"].texture or 0) - 1), at_most=0.1)
    rows["anchored, 3 % flicker: C"] = row(found["anchored, 3 % flicker"].consistency)
    return {f"synthetic shot, {name}": one for name, one in rows.items()} | {
        "measure, one run of the synthetic shot": row(spent / len(runs) / len(shot.frames), "CPU s a frame")
    }


def _furthest(verdict: Verdict, ideal: float) -> float | None:
    """Return how far the worst R is from ``ideal``; None where one is not known."""
    distances = [None if ratio is None else abs(ratio - ideal) for ratio in verdict.plain_ratio.values()]
    return None if None in distances else max(value for value in distances if value is not None)
