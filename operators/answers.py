"""What the worker found out about a job, as the artist reads it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ..backend.bridge.errors import UserError
from ..backend.bridge.files import read_json
from ..backend.bridge.job import Job as JobFolder

COLUMNS = {"1": "Next Frame", "8": "8 Frames On", "first-last": "First to Last", "sigma": "Spread"}
_MOST = 4  # objects that are named
_COST: dict[object, str] = {True: "at no cost to the look", False: "at a cost to the look", None: "cost not known"}


def numbers(files: JobFolder) -> tuple[tuple[str, ...], ...]:
    """Return what was measured of ``files`` as rows, each a label and its values; none where nothing was.

    Change E (of 1) always has its four columns, the blur-equivalent ratio R and the consistency C only where there was
    a frame-by-frame job to compare with.
    """
    measured = _read(files.measure_path)
    if not measured:
        return ()
    change = {column: _part(part).get("mean") for column, part in _part(measured.get("change")).items()}
    ratio = _part(measured.get("ratio"))
    rows = [("", *COLUMNS.values()), _row("Change", change)]
    if any(value is not None for value in ratio.values()):
        rows.append(_row("Ratio", ratio))
    rows.append(("Detail", _number(measured.get("detail"))))
    if measured.get("consistency") is not None:
        rows.append(("Consistency", _number(measured["consistency"]), _COST.get(measured.get("admissible"), "")))
    if clip := _part(measured.get("clip")):  # only where the artist has a CLIP model
        rows += [("Fits the Prompt", _number(clip.get("clip_t"))), ("Frames Alike", _number(clip.get("tem_con")))]
    return tuple(rows)


def suggestion(files: JobFolder) -> str:
    """Return which frames to paint, the most telling first, as one sentence; "" where that was not asked."""
    suggested = _read(files.suggestion_path)
    frames = ", ".join(str(frame) for frame in suggested.get("keys", ()))
    return f"{suggested['sentence']}: {frames}." if suggested.get("sentence") and frames else ""


def motion(files: JobFolder) -> tuple[str, ...]:
    """Return where the motion of the job's last run came from, and why where it was estimated, as sentences."""
    told = _part(_read(files.report_path).get("motion"))
    if told.get("source") == "estimated":
        return (f"Estimated. {told.get('reason', '')}".strip(),)
    objects = {name: part for name, part in _part(told.get("objects")).items() if isinstance(part, dict)}
    if not told:
        return ()
    doubtful = {name: str(part["reason"]) for name, part in objects.items() if part.get("reason")}
    exact, total, hidden = len(objects) - len(doubtful), len(objects), len(doubtful) - _MOST
    lines = [f"Exact for {exact} of {total} objects." if total != 1 else f"Exact for {exact} of {total} object."]
    lines += [f"{name}: {reason}" for name, reason in list(doubtful.items())[:_MOST]]
    if hidden == 1:
        lines.append("One more is told in the job's report.")
    elif hidden > 1:
        lines.append(f"{hidden} more are told in the job's report.")
    return (*lines, *filter(None, [str(told.get("vector", ""))]))


def report(files: JobFolder) -> dict[str, Any]:
    """Return what the last run of the job took, {} where that is not known."""
    return _read(files.report_path)


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(UserError):  # answers that cannot be read are none: asking again brings new ones
        return read_json(path) if path.is_file() else {}
    return {}


def _part(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _row(label: str, values: dict[str, Any]) -> tuple[str, ...]:
    return (label, *(_number(values.get(column)) for column in COLUMNS))


def _number(value: object) -> str:
    return f"{round(value, 3) + 0.0:.3f}" if isinstance(value, float | int) else "-"  # + 0.0: never "-0.000"
