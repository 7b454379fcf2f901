"""The project's own numbers, measured in one run: ``python -m backend bench JOB``.

A row function looks at one thing and returns its rows. To add a row, write such a function and name it here.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ..bridge.files import write_json
from ..bridge.job import Job
from ..shot.shot import Shot
from .bench_core import core_overhead
from .bench_deflicker import deflickered_alone, deflickered_baseline, planted_flicker, remap_cost, strip_time
from .bench_measure import synthetic_table
from .bench_memory import peak_memory
from .bench_methods import exemplar_cost
from .bench_motion import chained_matches, pair_time, synthetic_motion, warp_errors
from .bench_noise import anchored_noise, rendered_noise
from .bench_ticks import tick_times
from .bench_tokenflow import memory_by_length
from .bench_truth import ray_cast_truth
from .rows import Rows

ON_A_SHOT: dict[str, tuple[Callable[[Job, Shot], Rows], ...]] = {
    "motion": (warp_errors, pair_time, chained_matches),
    "methods": (exemplar_cost,),
}
LONG_ON_A_SHOT: dict[str, tuple[Callable[[Job, Shot], Rows], ...]] = {
    "core": (core_overhead,),
    "deflicker": (remap_cost, strip_time, planted_flicker),
}
SYNTHETIC: dict[str, tuple[Callable[[], Rows], ...]] = {
    "motion": (synthetic_motion, anchored_noise, peak_memory),
    "measure": (synthetic_table,),
    "deflicker": (deflickered_alone,),
    "methods": (memory_by_length,),
}


def bench(
    folder: Path, target: Path | None = None, quick: bool = False, shots: Path | None = None,
    truth: Path | None = None, ticks: Mapping[str, Path] | None = None, only: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """Measure everything on the job in ``folder``, and, unless ``quick``, what takes long or needs no job.

    ``shots`` is a folder of captured shots on which to measure the diffusion methods too, ``truth`` one shot with its
    ray-cast truth, ``ticks`` the times of Blender's main thread at work, by where it was. ``only`` names methods or
    shots in ``shots``: then nothing else is measured.
    Returns ``{name: {"value", "unit", "bar", "holds"}}`` and writes that to ``target`` as JSON if one is given.
    UserError where the job or its shot cannot be read.
    """
    found: Rows = {} if only else _beside_diffusion(folder, quick, truth, ticks or {})
    if shots is not None:
        tables = importlib.import_module(".bench_diffusion", __package__).diffusion_tables(shots, only)
        found |= {f"diffusion | {name}": one for name, one in tables.items()}
        found |= {} if only else {f"deflicker: {name}": one for name, one in deflickered_baseline(shots).items()}
    rows = {name: dataclasses.asdict(one) for name, one in found.items()}
    if target is not None:
        write_json(target, rows)
    return rows


def _beside_diffusion(folder: Path, quick: bool, truth: Path | None, ticks: Mapping[str, Path]) -> Rows:
    """Return all rows but those of the diffusion methods."""
    job = Job.open(folder)
    shot = Shot.open(job.shot_folder)
    found: Rows = {}
    for area, functions in (ON_A_SHOT if quick else ON_A_SHOT | LONG_ON_A_SHOT).items():
        for measure in functions:
            found |= {f"{area}: {name}": one for name, one in measure(job, shot).items()}
    for area, pure in () if quick else SYNTHETIC.items():
        for work in pure:
            found |= {f"{area}: {name}": one for name, one in work().items()}
    if not quick:  # loaded only here, since the starter's painters do not ship
        starter = importlib.import_module(".bench_starter", __package__).starter_model(job, shot)
        found |= {f"core: {name}": one for name, one in starter.items()}
    if truth is not None:
        for cast in (ray_cast_truth, rendered_noise):
            found |= {f"motion: {name}": one for name, one in cast(truth).items()}
    for place, times in ticks.items():
        found |= {f"{place}: {name}": one for name, one in tick_times(times).items()}
    return found


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the rows as text for the terminal, one a line; those of one run, "... | run | number", in one line."""
    single = {name: row for name, row in rows.items() if " | " not in name}
    widest = max(map(len, single), default=0)
    lines = [f"{name:<{widest}}  {_value(row):>10} {row['unit']:<10} {_goal(row)}" for name, row in single.items()]
    runs: dict[str, dict[str, dict[str, Any]]] = {}
    for name, row in rows.items():
        run, bar, number = name.rpartition(" | ")
        if bar:
            runs.setdefault(run, {})[number] = row
    return "\n".join(line.rstrip() for line in [*lines, *_grid(runs)]) + "\n"


def _grid(runs: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """Return one line for each run under one heading; a number that misses its goal is marked."""
    if not runs:
        return []
    numbers = list(dict.fromkeys(number for rows in runs.values() for number in rows))
    widest = max(map(len, runs))
    lines = [" " * widest + "".join(f" {number[:9]:>9}" for number in numbers)]
    for run, rows in runs.items():
        cells = [(_value(rows[n]) + ("!" if rows[n]["holds"] is False else "")) if n in rows else "" for n in numbers]
        lines.append(f"{run:<{widest}}" + "".join(f" {cell:>9}" for cell in cells))
    return [*lines, "! misses its goal"]


def markdown(rows: dict[str, dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [f"| {name} | {_value(row)} {row['unit']} | {_goal(row)} |" for name, row in rows.items()]
    return "\n".join(["| what | value | goal |", "|---|---|---|", *lines]) + "\n"


def _value(row: dict[str, Any]) -> str:
    return "-" if row["value"] is None else f"{row['value']:.4g}"


def _goal(row: dict[str, Any]) -> str:
    return "" if row["bar"] is None else f"{row['bar']} {'holds' if row['holds'] else 'MISSED'}"
