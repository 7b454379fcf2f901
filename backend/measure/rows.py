"""The rows of the bench: one number each, with its unit and, where a goal is set, whether it is met.

Goals are ratios, errors and sizes. Times depend on the machine and on what else it does; few have a goal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A number of the bench; ``value`` None where it could not be had, ``bar`` its goal ("<= 0.45") or None."""

    value: float | None
    unit: str
    bar: str | None = None
    holds: bool | None = None


Rows = dict[str, Row]


def row(value: float | None, unit: str = "", at_least: float | None = None, at_most: float | None = None) -> Row:
    """Return the row of ``value``, held against at most one goal. A number that cannot be had misses its goal."""
    known = None if value is None else float(value)
    if at_least is not None:
        return Row(known, unit, f">= {at_least:g}", known is not None and known >= at_least)
    if at_most is not None:
        return Row(known, unit, f"<= {at_most:g}", known is not None and known <= at_most)
    return Row(known, unit)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the processor time that ``work`` takes in this process, whatever else the machine does meanwhile."""
    started = time.process_time()
    work()
    return time.process_time() - started
