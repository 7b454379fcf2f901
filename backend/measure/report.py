"""The measure of a job: its numbers as a table and as JSON, and heat maps that show where they come from."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..bridge import VERSION
from ..bridge.errors import UserError
from ..bridge.files import write_json
from ..bridge.job import Job
from ..bridge.models.library import hub_cache
from ..methods import Step
from ..motion.cache import Cache
from ..shot.pictures import read_picture
from ..shot.shot import Shot
from .heatmap import write_heat_maps
from .metrics import LAGS, frame_pairs
from .texture import Run
from .verdict import COLUMNS, LIMITS, Verdict, judge

PICTURES = 384 << 20  # bytes of decoded frames kept, of each run
MEANINGS = {
    "detail": "detail D",
    "structure": "edges where the geometry has them S",
    "style": "distance from the source frames L",
    "texture": "texture unlike the style's own W",
}
COMPARED = {
    "floor": "floor: known texture, same detail",
    "allowance": "allowance: the source frames",
    "independent": "independent run",
    "blurred": "independent run, blurred to this detail",
}
CLIP = {"clip_t": "CLIP-T, prompt", "tem_con": "Tem-Con, consecutive frames", "fram_acc": "Fram-Acc"}
HEADINGS = ("lag 1", "lag 8", "first-last", "sigma")


def measure(
    folder: Path, against: Path | None = None, tell: Callable[[Step], None] = lambda _step: None,
    clip: Path | None = None,
) -> dict[str, Any]:
    """Measure the finished job in ``folder``; write ``measure.json`` and ``heatmap/`` into it and return the numbers.

    ``against`` is the folder of a job that stylized the same shot frame by frame; without it only absolute numbers can
    be told. ``tell`` hears of every step and may raise to stop. ``clip`` is the folder of a CLIP model for the numbers
    that it can tell; without it one in the shared cache is used, if there is any, but does not count in the verdict,
    which is not to depend on what else is on the disk. UserError where a job is unfinished, the two are not of one
    shot, or ``clip`` holds no CLIP model.
    """
    job = Job.open(folder)
    shot = Shot.open(job.shot_folder)
    run = finished_frames(job, shot)
    independent = other = None
    if against is not None:
        other = Job.open(against)
        _check_same_shot(shot, Shot.open(other.shot_folder), other)
        independent = finished_frames(other, shot)
    if len(shot.frames) < 2:
        raise UserError("The shot has one frame: there is nothing to be consistent with. Measure a longer shot.")
    count = itertools.count(1)
    total = sum(len(frame_pairs(shot, lag)) for lag in LAGS) + len(shot.frames)

    def step(note: str) -> None:
        tell(Step(next(count), total, note))

    verdict = judge(shot, {"run": run}, independent, lambda: step("Comparing frames"))["run"]
    words = _clip_numbers(job, shot, run, independent, clip)
    write_heat_maps(shot, run, job.heat_map_folder, lambda: step("Drawing heat maps"))
    measured = {
        "version": VERSION,
        "job": job.name,
        "method": job.settings.method,
        "against": other.name if other is not None else None,
        "frames": len(shot.frames),
        "size": list(shot.info.size),
        "motion": shot.motion.describe().get("source"),
        **plain(verdict),
        "clip": words,
    }
    if clip is not None and words is not None and words["passed"] is not None:
        measured["passed"] = {**measured["passed"], "prompt": words["passed"]}
        measured["admissible"] = measured["admissible"] if words["passed"] else False
    write_json(job.measure_path, measured)
    return measured


def _clip_numbers(
    job: Job, shot: Shot, run: Run, independent: Run | None, folder: Path | None
) -> dict[str, Any] | None:
    """Return what CLIP says of a run, None where there is no CLIP model; UserError where ``folder`` holds none."""
    found = find_clip([folder] if folder else [])
    if folder is not None and found != folder:
        raise UserError(f"{folder} holds no CLIP model in .safetensors. Choose the folder of one, or leave it out.")
    if found is None:
        return None
    prompts = {frame: str(getattr(job.settings.at(frame).chosen, "prompt", "")) for frame in shot.frames}
    source = str(getattr(job.settings.chosen, "source_prompt", ""))
    library = importlib.import_module(".clip", __package__)  # PyTorch is loaded for this alone
    return library.clip_report(library.Clip(found), run, independent, prompts, source)


def find_clip(folders: Iterable[Path]) -> Path | None:
    """Return the first whole CLIP model in ``folders``, or else in the cache that Hugging Face's tools share."""
    for folder in (*folders, *sorted(hub_cache().glob("models--*/snapshots/*"))):
        with contextlib.suppress(OSError, ValueError):
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            kinds = config.get("architectures") if isinstance(config, dict) else None
            if kinds == ["CLIPModel"] and any(folder.glob("*.safetensors")):
                return folder
    return None


def finished_frames(job: Job, shot: Shot) -> Run:
    """Return the job's finished frames as a run; UserError where one is missing or of another size."""
    missing = sorted(set(shot.frames) - set(job.finished()))
    if missing:
        done = len(shot.frames) - len(missing)
        raise UserError(f"The job {job.name} has {done} of {len(shot.frames)} frames. Resume it, then measure it.")

    def load(frame: int) -> Any:
        image = read_picture(job.frame_path(frame))[0]
        if image.shape[:2] != (shot.height, shot.width):
            raise UserError(
                f"Frame {frame} of the job {job.name} is {image.shape[1]} x {image.shape[0]} pixels, the shot "
                f"{shot.width} x {shot.height}. Run the job again."
            )
        return image

    return Cache(PICTURES, load).get


def _check_same_shot(shot: Shot, other: Shot, job: Job) -> None:
    if (shot.frames, shot.info.size) != (other.frames, other.info.size):
        raise UserError(
            f"The job {job.name} is of another shot ({len(other.frames)} frames, {other.width} x {other.height} "
            "pixels). Choose a job that stylized the same frames."
        )


def plain(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON values."""
    return {**dataclasses.asdict(verdict), "admissible": verdict.admissible}


def table(measured: dict[str, Any]) -> str:
    """Return what :func:`measure` found as a table for the terminal."""
    width, height = measured["size"]
    against = f"against {measured['against']}" if measured["against"] else "no independent run to compare with"
    lines = [
        f"{measured['job']}: {measured['method']}, {measured['frames']} frames, {width} x {height}, "
        f"{measured['motion']} motion, {against}",
        _row("change, of 1", HEADINGS, str),
        *_changes(measured),
        *_ratios(measured),
        *_words(measured.get("clip")),
    ]
    return "\n".join(lines) + "\n"


def _changes(measured: dict[str, Any]) -> list[str]:
    change = [measured["change"][column] or {} for column in COLUMNS]
    lines = [_row("mean", [part.get("mean") for part in change])]
    lines.append(_row("95th percentile", [part.get("p95") for part in change]))
    lines += [_row(label, [measured[key][column] for column in COLUMNS]) for key, label in COMPARED.items()]
    lines.append(_row("tested share of all pixels", [part.get("share") for part in change]))
    worst = [max((part.get("objects") or {"-": 0.0}).items(), key=lambda item: item[1])[0] for part in change]
    return [*lines, _row("worst object", worst, str)]


def _ratios(measured: dict[str, Any]) -> list[str]:
    if measured["against"] is None:
        return [
            f"detail D {measured['detail']:.2f} of the source frames'",
            "R, S, L, W and C are relative to an independent run: measure against a job of the same shot, "
            "stylized frame by frame.",
        ]
    lines = [_row("blur-equivalent ratio R", [measured["ratio"][column] for column in COLUMNS]),
             _row("R with nothing subtracted", [measured["plain_ratio"][column] for column in COLUMNS])]
    for key, meaning in MEANINGS.items():
        sign = "<=" if key == "texture" else ">="
        word = {True: "passes", False: "FAILS", None: "not known"}[measured["passed"][key]]
        lines.append(f"{meaning:<42} {_number(measured[key])}  must be {sign} {LIMITS[key]}: {word}")
    word = {True: "admissible", False: "NOT ADMISSIBLE", None: "admissibility not known"}[measured["admissible"]]
    return [*lines, f"consistency C = {_number(measured['consistency']).strip()}, {word}"]


def _words(clip: dict[str, Any] | None) -> list[str]:
    if clip is None:
        return []
    lines = [f"{label + ' (' + clip['model'] + ')':<42} {_number(clip[key])}" for key, label in CLIP.items()]
    if clip["passed"] is None:
        return lines
    word = "passes" if clip["passed"] else "FAILS"
    must = f"{_number(clip['relative'])}  must be >= {clip['least']}: {word}"
    return [*lines, f"{'CLIP-T of the independent run P':<42} {must}"]


def _row(label: str, values: Any, form: Callable[[Any], str] | None = None) -> str:
    return f"{label:<42}" + "".join(f"{(form or _number)(value):>14}" for value in values)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
