"""Weighs what was measured of a run against an independent frame-by-frame run of the same shot.

A result counts as consistent only where it is *admissible*: it keeps the independent run's detail, edges and kind of
texture, and is as far from the source frames as that. Its consistency is C = 1 − max(R1, R8, R_first-last, R_σ): the
worst of the four, since each way of cheating looks good in some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from .appearance import structure, style_change, texture_distance
from .metrics import (
    JUDGED,
    LAGS,
    Difference,
    MeasuredShot,
    Spread,
    blur_ratio,
    blurred,
    detail,
    differences,
    evenly,
    frame_pairs,
    matching_blur,
    spread,
)
from .texture import Run, known_texture

COLUMNS = (*LAGS, "sigma")
BROAD = 2.0  # px, deviation of the Gaussian through which the source frames' own change is seen
LIMITS = {"detail": 0.85, "structure": 0.97, "style": 0.90, "texture": 1.25}

Change = dict[str, Difference | Spread | None]


@dataclass(frozen=True)
class Verdict:
    """All numbers of one run. Dictionaries are keyed by ``COLUMNS``; None where a number cannot be had.

    ``change`` is E and σ, ``independent`` and ``blurred`` their means for the independent run and for that run blurred
    by ``blur`` px to the same detail. ``floor`` is what a known texture on the surfaces changes by being resampled, at
    this run's detail; ``allowance`` what the source frames change through a Gaussian of ``BROAD`` px: moving light,
    without the render noise that no style need repeat. ``ratio`` is R beyond the larger of both, ``plain_ratio`` R
    with nothing subtracted. ``detail``, ``structure``, ``style`` and ``texture``
    (D, S, L, W) are relative to the independent run; without one ``detail`` is relative to the source frames and the
    others are None. ``passed`` says for each of them whether it is admissible; ``consistency`` is C.
    """

    change: Change
    independent: dict[str, float | None]
    blurred: dict[str, float | None]
    blur: float | None
    floor: dict[str, float | None]
    allowance: dict[str, float | None]
    ratio: dict[str, float | None]
    plain_ratio: dict[str, float | None]
    detail: float
    structure: float | None
    style: float | None
    texture: float | None
    passed: dict[str, bool | None]
    consistency: float | None

    @property
    def admissible(self) -> bool | None:
        """Whether nothing was given up for consistency; None where it is not known."""
        if any(passed is False for passed in self.passed.values()):
            return False
        return None if None in self.passed.values() else True


def judge(
    shot: MeasuredShot, runs: Mapping[str, Run], independent: Run | None = None,
    compared: Callable[[], None] = lambda: None,
) -> dict[str, Verdict]:
    """Measure each run over the shot, all on the same pixels and against the same independent run, if there is one.

    ``compared`` is called after each pair of frames of each lag.
    """
    texture = known_texture(shot.layer, shot.info.cameras) if shot.info.data_frames else None
    details = {name: detail(shot, run) for name, run in runs.items()}
    everything: dict[tuple[str, str], Run] = {("run", name): run for name, run in runs.items()}
    everything["input", ""] = blurred(shot.beauty, BROAD)
    blurs: dict[str, float] = {}
    if texture is not None:
        everything["texture", ""] = texture
    if independent is not None:
        everything["independent", ""] = independent
        blurs = {name: matching_blur(shot, independent, details[name]) for name in runs}
        everything |= {("blurred", name): blurred(independent, blurs[name]) for name in runs}
    changes = _changes(shot, everything, compared)
    fineness = detail(shot, texture) if texture is not None else 0.0
    return {
        name: _verdict(
            name, changes, (details[name] / fineness) ** 0.5 if fineness else None, blurs.get(name),
            _appearance(shot, runs[name], details[name], independent),
        )
        for name in runs
    }


def _changes(
    shot: MeasuredShot, runs: Mapping[tuple[str, str], Run], compared: Callable[[], None]
) -> dict[tuple[str, str], Change]:
    named = {f"{kind}\n{name}": run for (kind, name), run in runs.items()}
    found: dict[str, dict[str, Difference | None] | dict[str, Spread | None]] = {
        lag: differences(shot, named, _told(frame_pairs(shot, lag), compared)) for lag in LAGS
    }
    found["sigma"] = spread(shot, named)
    return {key: {column: found[column]["\n".join(key)] for column in COLUMNS} for key in runs}


def _told(pairs: Iterable[tuple[int, int]], compared: Callable[[], None]) -> Iterator[tuple[int, int]]:
    for pair in pairs:
        yield pair
        compared()


def _appearance(shot: MeasuredShot, run: Run, own_detail: float, independent: Run | None) -> dict[str, float | None]:
    """Return D, S, L and W relative to the independent run; without one, D relative to the source frames."""
    if independent is None:
        relative = _share(own_detail, detail(shot, shot.beauty))
        return {"detail": relative, "structure": None, "style": None, "texture": None}
    frames = evenly(shot.frames, JUDGED)
    return {
        "detail": _share(own_detail, detail(shot, independent)),
        "structure": _share(structure(shot, run), structure(shot, independent)),
        "style": _share(style_change(shot, run), style_change(shot, independent)),
        "texture": texture_distance(frames, run, independent) if len(frames) > 1 else None,
    }


def _share(value: float | None, whole: float | None) -> float | None:
    return None if value is None or not whole else value / whole


def _verdict(
    name: str, changes: Mapping[tuple[str, str], Change], fineness: float | None, blur: float | None,
    appearance: Mapping[str, float | None],
) -> Verdict:
    def means(kind: str, key: str = "") -> dict[str, float | None]:
        found = [changes.get((kind, key), {}).get(column) for column in COLUMNS]
        return {column: None if part is None else part.mean for column, part in zip(COLUMNS, found, strict=True)}

    change, blurry, allowance = means("run", name), means("blurred", name), means("input")
    texture = means("texture").items()
    floor = {column: None if value is None or fineness is None else value * fineness for column, value in texture}
    ratio: dict[str, float | None] = {}
    plain: dict[str, float | None] = {}
    for column in COLUMNS:
        error, against = change[column], blurry[column]
        ratio[column] = plain[column] = None
        if error is not None and against is not None:
            ratio[column] = blur_ratio(error, against, max(floor[column] or 0.0, allowance[column] or 0.0))
            plain[column] = blur_ratio(error, against)
    passed = {key: _passes(key, appearance[key]) if blur is not None else None for key in LIMITS}
    return Verdict(
        changes["run", name], means("independent"), blurry, blur, floor, allowance, ratio, plain,
        appearance["detail"] or 0.0, appearance["structure"], appearance["style"], appearance["texture"], passed,
        _consistency(ratio, change),
    )


def _consistency(ratio: Mapping[str, float | None], change: Mapping[str, float | None]) -> float | None:
    """Return C from the columns there are: a short shot has no lag 8, a long move leaves nothing in view throughout.

    None where the change of a column is known but nothing to hold it against, or hardly any column is known at all.
    """
    known = [ratio[column] for column in COLUMNS if change[column] is not None]
    if None in known or change["1"] is None or change["sigma"] is None:
        return None
    return 1 - max(value for value in known if value is not None)


def _passes(key: str, value: float | None) -> bool | None:
    if value is None:
        return None
    return value <= LIMITS[key] if key == "texture" else value >= LIMITS[key]
