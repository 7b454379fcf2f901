"""Runs a job's model in the memory that there is, one step smaller each time that it runs out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import cast

from ..bridge.errors import UserError
from ..bridge.files import read_json, write_json
from ..bridge.job import Job, State
from ..bridge.settings.diffusion import DiffusionSettings
from .memory import MemoryPlan, choose_plan, give_back, is_out_of_memory
from .model import STARTER, best_device, load_model
from .protocol import Model


def fit(job: Job, size: tuple[int, int], run: Callable[[Model], State]) -> State:
    """Return what ``run(model)`` comes to, with the job's model fitted into the memory that is free.

    ``size`` (width, height) is that of the pictures. Where memory runs out the model is opened anew by a smaller plan
    and ``run`` is called again; finished frames stay where that plan makes the same ones, and are removed where not.
    The plan is kept in the job's folder, so that a job is of one plan from its first frame to its last. UserError where
    not even the smallest plan fits.
    """
    settings = cast(DiffusionSettings, job.settings.chosen)
    source = Path(settings.model or STARTER)
    plan = _kept_plan(job) or choose_plan(source, best_device(), size, _beside(settings))
    told = ""
    while True:
        try:
            state = run(load_model(settings, plan))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            job.log(f"Out of memory with {plan.describe()}: {' '.join(str(error).split())[:300]}")
        else:
            return State(state.state, told) if state.state == "done" and told else state
        give_back()  # only here: until the except clause is left, its traceback holds on to the model
        plan = _smaller(job, plan, size)
        told = f"Memory ran out, so the run went on with {plan.describe()}."


def _beside(settings: DiffusionSettings) -> list[Path]:
    """Return where the networks are that are loaded beside the model; LoRAs are not, they are added to its numbers."""
    style = Path(settings.style_adapter)
    styles = [style, style.parent / "image_encoder"] if settings.style_adapter else []
    return [*{Path(folder) for _, folder, _ in settings.controls}, *styles]


def _smaller(job: Job, plan: MemoryPlan, size: tuple[int, int]) -> MemoryPlan:
    """Return the next smaller plan, kept in the job's folder; frames that it would make otherwise are outdated."""
    smaller = plan.smaller(size)
    if smaller is None:
        raise UserError(
            "The model does not fit into the memory of this device, not even in the smallest steps. Close what else "
            "uses it, make the frames smaller, or choose a smaller model."
        )
    if not smaller.same_pictures(plan, size):
        job.outdate(job.finished())
    write_json(job.memory_path, dataclasses.asdict(smaller))
    return smaller


def _kept_plan(job: Job) -> MemoryPlan | None:
    return MemoryPlan(**read_json(job.memory_path)) if job.memory_path.is_file() else None
