"""How a model is fitted into the memory of its device, and what to do when it does not fit after all.

A plan has two parts: whether every network waits in main memory until its turn, which changes no picture, and the size
of the tiles that pictures are encoded and decoded in, which changes them a little along the tiles' edges. The numbers
are half precision on a GPU and single precision on a processor, where half is no faster (see ``model.precision``); one
frame is predicted at a time, so that no frame depends on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import SafetensorError

from ..bridge import allocator
from ..bridge.errors import UserError
from ..bridge.models.library import count_numbers, look, memory_problem

TILES = (1536, 768, 384)  # px
BYTES_PER_PIXEL = 3600  # an estimate for decoding: seven maps of 256 channels at full resolution, in half precision
SPARE = 0.9  # the share of the free memory that a plan may count on
SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "could not create a primitive")
LARGEST = 0.75  # about the share of a model that its largest network is


@dataclass(frozen=True)
class MemoryPlan:
    """How a model uses its device: ``offload`` keeps only the network that is at work there; ``tile`` is in pixels."""

    offload: bool = False
    tile: int = TILES[0]

    def smaller(self, size: tuple[int, int]) -> MemoryPlan | None:
        """Return the next plan that takes less for pictures of ``size`` (width, height); None where there is none."""
        if not self.offload:
            return replace(self, offload=True)
        tile = next((tile for tile in TILES if tile < min(self.tile, max(size))), None)
        return replace(self, tile=tile) if tile else None

    def same_pictures(self, other: MemoryPlan, size: tuple[int, int]) -> bool:
        """Return whether both plans make the same pictures of ``size``: whether their tiles are the same."""
        return min(self.tile, max(size)) == min(other.tile, max(size))

    def describe(self) -> str:
        """Return the plan in words."""
        where = "one network at a time on the device" if self.offload else "the whole model on the device"
        return f"{where}, pictures in tiles of {self.tile} px"


def choose_plan(
    source: Path, device: torch.device, size: tuple[int, int], beside: Sequence[Path] = ()
) -> MemoryPlan:
    """Return the roomiest plan that fits the memory that is free on ``device`` just now.

    ``source`` is the model on the disk, which is not loaded, and ``beside`` are the files and folders of the networks
    that are loaded with it; ``size`` (width, height) is that of the pictures. UserError where the memory cannot hold
    its numbers: of the largest network on a GPU of CUDA, of all of them elsewhere, where they have no other place to
    wait. Elsewhere what pictures take is tried, not estimated.
    """
    plan, free = MemoryPlan(), int(free_memory(device) * SPARE)
    each = 4 if device.type == "cpu" else 2  # bytes, see ``model.precision``
    model, others = each * count_numbers(source), [each * count_numbers(path) for path in beside]
    whole, largest = model + sum(others), max([int(LARGEST * model), *others])
    label = look(source).label + (" with what is chosen beside it" if any(others) else "")
    if problem := memory_problem(label, largest if device.type == "cuda" else whole, free):
        raise UserError(problem)
    while (
        device.type == "cuda"
        and needed(largest if plan.offload else whole, plan, size) > free
        and (smaller := plan.smaller(size))
    ):
        plan = smaller
    return plan


def free_memory(device: torch.device) -> int:
    """Return how many bytes a model may still take on ``device``: of main memory, also what can be swapped out."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return int(psutil.virtual_memory().available + psutil.swap_memory().free)


def needed(resident: int, plan: MemoryPlan, size: tuple[int, int]) -> int:
    """Return about how many bytes a run takes on a GPU; ``resident`` are those of the networks that are there at once.

    ``size`` (width, height) is that of the pictures.
    """
    width, height = (min(side, plan.tile) for side in size)
    return resident + BYTES_PER_PIXEL * width * height


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error``, or what it came of, is memory running out; each back end says it its own way."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = str(error).lower()
    if isinstance(error, RuntimeError | OSError | SafetensorError) and any(sign in words for sign in SIGNS):
        return True
    origin = error.__cause__ or error.__context__
    return origin is not None and is_out_of_memory(origin)


def pass_on_out_of_memory(error: BaseException) -> None:
    """Raise MemoryError where memory ran out while a file was read: nothing is wrong with the file then."""
    if is_out_of_memory(error):
        raise MemoryError(str(error)) from error


def give_back() -> None:
    """Return to the machine what a model that is no longer referred to held, on the device and beside it."""
    allocator.give_back()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


class Residence:
    """Where a model's networks are: all on the device, or with ``offload`` only the one that is at work."""

    def __init__(self, networks: Sequence[Any], device: torch.device, offload: bool) -> None:
        """Move the networks to where they wait; from then on a network that is called moves by itself."""
        self._networks, self._device, self._offload = list(networks), device, offload
        for network in self._networks:
            network.to("cpu" if offload else device)
            if offload:
                network.register_forward_pre_hook(lambda called, _: self.enter(called))

    def enter(self, network: Any) -> None:
        """Bring ``network`` onto the device, the others off it; what is called by another name must be brought."""
        if not self._offload:
            return
        for other in self._networks:
            if other is not network:
                other.to("cpu")
        network.to(self._device)

    def make_room(self) -> None:
        """Where the networks take turns, take them all off the device, for one that is not among them."""
        if self._offload:
            self.leave()

    def leave(self) -> None:
        """Take all networks off the device."""
        for network in self._networks:
            network.to("cpu")
        give_back()
