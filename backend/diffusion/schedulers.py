"""Which diffusers scheduler runs a model."""

from __future__ import annotations

from typing import Any

import diffusers

from ..bridge.errors import UserError

SAMPLERS = {
    "ddim": diffusers.DDIMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "dpm++": diffusers.DPMSolverMultistepScheduler,
    "unipc": diffusers.UniPCMultistepScheduler,
    "lcm": diffusers.LCMScheduler,
}


def make_scheduler(config: dict[str, Any], name: str) -> Any:
    """Return a fresh scheduler for a model whose ``scheduler_config.json`` is ``config``.

    ``name`` is one of SAMPLERS or "auto": the model's own, except that PNDM gives way to DDIM, of the same order and
    schedule, since PNDM averages predictions over steps and thereby undoes an edit of x0.
    """
    own = _known(config.get("_class_name"))
    flow = own.__name__.startswith("FlowMatch")
    if flow and name != "auto":
        raise UserError(f"This model is sampled along a flow; the sampler {name} cannot. Choose the sampler auto.")
    kind = SAMPLERS["ddim"] if own is diffusers.PNDMScheduler else own
    if name != "auto":
        kind = SAMPLERS[name]
    if not flow:  # clipping is for pixels: latents leave [-1, 1], and DDIM and LCM clip unless told otherwise
        config = config | {"clip_sample": False, "thresholding": False}
    return kind.from_config(config)


def _known(name: Any) -> Any:
    kind = getattr(diffusers, str(name), None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        raise UserError(f"The model asks for the scheduler {name}, which is not known here. Choose another model.")
    return kind
