"""The project's own numbers, measured in one run: ``python -m backend bench JOB``.

A row function looks at one thing and returns its rows. To add a row, write such a function and name it here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..bridge.job import Job, write_json
from ..shot.shot import Shot
from .bench_measure import synthetic_table
from .bench_methods import exemplar_cost
from .bench_motion import chained_matches, pair_time, synthetic_motion, warp_errors
from .rows import Rows

ON_A_SHOT: dict[str, tuple[Callable[[Job, Shot], Rows], ...]] = {
    "motion": (warp_errors, pair_time, chained_matches),
    "methods": (exemplar_cost,),
}
SYNTHETIC: dict[str, tuple[Callable[[], Rows], ...]] = {
    "motion": (synthetic_motion,),
    "measure": (synthetic_table,),
}


def bench(folder: Path, target: Path | None = None, quick: bool = False) -> dict[str, dict[str, Any]]:
    """Measure everything on the job in ``folder``, and, unless ``quick``, what needs no job on the synthetic shot.

    Returns ``{name: {"value", "unit", "bar", "holds"}}`` and writes that to ``target`` as JSON if one is given.
    UserError where the job or its shot cannot be read.
    """
    job = Job.open(folder)
    shot = Shot.open(job.shot_folder)
    found: Rows = {}
    for area, functions in ON_A_SHOT.items():
        for measure in functions:
            found |= {f"{area}: {name}": one for name, one in measure(job, shot).items()}
    for area, pure in () if quick else SYNTHETIC.items():
        for work in pure:
            found |= {f"{area}: {name}": one for name, one in work().items()}
    rows = {name: dataclasses.asdict(one) for name, one in found.items()}
    if target is not None:
        write_json(target, rows)
    return rows


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the rows as text for the terminal, one a line."""
    widest = max(map(len, rows), default=0)
    lines = [f"{name:<{widest}}  {_value(row):>10} {row['unit']:<10} {_goal(row)}" for name, row in rows.items()]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def markdown(rows: dict[str, dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [f"| {name} | {_value(row)} {row['unit']} | {_goal(row)} |" for name, row in rows.items()]
    return "\n".join(["| what | value | goal |", "|---|---|---|", *lines]) + "\n"


def _value(row: dict[str, Any]) -> str:
    return "-" if row["value"] is None else f"{row['value']:.4g}"


def _goal(row: dict[str, Any]) -> str:
    return "" if row["bar"] is None else f"{row['bar']} {'holds' if row['holds'] else 'MISSED'}"
