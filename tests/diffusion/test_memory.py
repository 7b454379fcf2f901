"""A model is fitted into the memory, and a run in which that runs out ends with the frames of the smaller plan."""

from __future__ import annotations

import gc
import json
import math
import platform
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models import modeling_utils
from safetensors import SafetensorError

from backend import worker
from backend.bridge.errors import UserError
from backend.bridge.job import Job, State
from backend.bridge.messages import Run
from backend.bridge.models.library import count_numbers
from backend.bridge.settings import from_keywords
from backend.diffusion import fitting, memory
from backend.diffusion.latents import LatentCodec
from backend.diffusion.memory import MemoryPlan, Residence, choose_plan, is_out_of_memory, needed
from backend.diffusion.model import open_model
from backend.diffusion.unet import UNetModel
from backend.shot.shot import Shot
from backend.worker import run_job
from tests.diffusion import tiny
from tests.footage import write_shot

ROOT = Path(__file__).resolve().parents[2]

SIZE, FRAMES = (61, 43), [1, 2, 3]
Painted = dict[int, bytes]


def make_job(folder: Path, model: Path) -> Job:
    settings = from_keywords("framewise", model=str(model), steps=2, guidance=1.0, seed=3)
    job = Job.create(folder, folder.name, settings)
    write_shot(job.shot_folder, FRAMES, SIZE)
    return job


def painted(job: Job) -> Painted:
    return {frame: job.frame_path(frame).read_bytes() for frame in job.finished()}


def run_with(plan: MemoryPlan, folder: Path, model: Path) -> Painted:
    job = make_job(folder, model)
    job.memory_path.write_text(json.dumps(vars(plan)))
    assert run_job(job.folder, lambda _: None, lambda: False).state == "done"
    return painted(job)


def exhaust(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, calls: set[int]) -> None:
    """Let the ``calls``-th calls of a method, counted from 1, run out of memory as CUDA does."""
    method: Callable[..., Any] = getattr(owner, name)
    made = iter(range(1, 10_000))

    def called(*arguments: Any, **keywords: Any) -> Any:
        if next(made) in calls:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return method(*arguments, **keywords)

    monkeypatch.setattr(owner, name, called)


@pytest.mark.parametrize(
    ("owner", "name", "call"), [(LatentCodec, "encode", 1), (UNetModel, "predict", 3), (LatentCodec, "decode", 3)]
)
def test_a_run_that_runs_out_ends_with_the_frames_of_the_smaller_plan(
    owner: type, name: str, call: int, sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run_with(MemoryPlan(offload=True), tmp_path / "small", sd_folder)
    exhaust(monkeypatch, owner, name, {call})
    job = make_job(tmp_path / "job", sd_folder)
    ended = run_job(job.folder, lambda _: None, lambda: False)
    assert (ended.state, painted(job)) == ("done", expected)
    assert "Memory ran out, so the run went on with one network at a time" in ended.message
    assert json.loads(job.memory_path.read_text()) == {"offload": True, "tile": 1536}


def test_memory_that_runs_out_while_a_model_is_read_is_not_taken_for_a_damaged_file(
    sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """diffusers tells such an error in an OSError of its own, as it tells a damaged file."""
    read, tried = modeling_utils.load_state_dict, []

    def short(*arguments: Any, **keywords: Any) -> Any:
        if not tried:
            tried.append(True)
            try:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 41943040 bytes.")
            except RuntimeError:
                raise OSError("Unable to load weights from checkpoint file") from None
        return read(*arguments, **keywords)

    monkeypatch.setattr(modeling_utils, "load_state_dict", short)
    job = make_job(tmp_path / "job", sd_folder)
    ended = run_job(job.folder, lambda _: None, lambda: False)
    assert tried and ended.state == "done"
    assert "Memory ran out, so the run went on with one network at a time" in ended.message


def test_a_plan_with_other_tiles_paints_all_frames_by_it(
    sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "TILES", (1536, 32))
    expected = run_with(MemoryPlan(offload=True, tile=32), tmp_path / "small", sd_folder)
    whole = run_with(MemoryPlan(), tmp_path / "whole", sd_folder)
    assert whole != expected, "tiles change the picture a little"
    exhaust(monkeypatch, LatentCodec, "decode", {2, 4})
    job = make_job(tmp_path / "job", sd_folder)
    assert run_job(job.folder, lambda _: None, lambda: False).state == "done"
    assert painted(job) == expected


def test_a_model_that_fits_in_no_way_says_so_and_keeps_what_is_finished(
    sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhaust(monkeypatch, UNetModel, "predict", set(range(2, 100)))
    job = make_job(tmp_path / "job", sd_folder)
    ended = run_job(job.folder, lambda _: None, lambda: False)
    assert ended.state == "failed"
    assert "does not fit into the memory" in ended.message
    assert job.finished() == [1]


def test_other_errors_are_no_reason_to_try_again(
    sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(UNetModel, "predict", broken)
    job = make_job(tmp_path / "job", sd_folder)
    assert "cannot be multiplied" in run_job(job.folder, lambda _: None, lambda: False).message
    assert not job.memory_path.exists()


def test_each_back_end_says_it_in_its_own_way() -> None:
    for error in (
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("could not create a primitive"),
        SafetensorError("Error preparing buffer: Cannot allocate memory (os error 12)"),
    ):
        assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("shapes"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_the_roomiest_plan_that_fits_is_chosen(sd_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size, cuda = (1024, 768), torch.device("cuda")
    weights = 2 * count_numbers(sd_folder)  # in half precision
    plans = [MemoryPlan()]
    while smaller := plans[-1].smaller(size):
        plans.append(smaller)
    assert plans == [MemoryPlan(False, 1536), MemoryPlan(True, 1536), MemoryPlan(True, 768), MemoryPlan(True, 384)]
    needs = [needed(int(weights * (memory.LARGEST if plan.offload else 1)), plan, size) for plan in plans]
    assert needs == sorted(needs, reverse=True)
    for plan, need in zip(plans, needs, strict=True):
        free = int(need / memory.SPARE) + 10
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 2 * free))
        assert choose_plan(sd_folder, cuda, size) == plan
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 2000))
    with pytest.raises(UserError, match="GB of memory at the least"):
        choose_plan(sd_folder, cuda, size)


def test_a_processor_must_hold_all_of_a_model(sd_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, weights = torch.device("cpu"), 4 * count_numbers(sd_folder)
    assert memory.free_memory(cpu) > 1e8
    monkeypatch.setattr(memory, "free_memory", lambda _: int(1.2 * weights))
    assert choose_plan(sd_folder, cpu, (64, 64)) == MemoryPlan()
    monkeypatch.setattr(memory, "free_memory", lambda _: int(0.9 * weights))
    with pytest.raises(UserError, match="GB of memory at the least"):
        choose_plan(sd_folder, cpu, (64, 64))


def test_what_is_loaded_beside_a_model_counts(
    sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, cuda, size = torch.device("cpu"), torch.device("cuda"), (64, 64)
    control = tiny.save_control(tmp_path / "control", sd_folder)
    alone = 4 * count_numbers(sd_folder)
    monkeypatch.setattr(memory, "free_memory", lambda _: int(1.2 * alone))
    assert choose_plan(sd_folder, cpu, size) == MemoryPlan()
    with pytest.raises(UserError, match=r"with what is chosen beside it needs .* GB of memory"):
        choose_plan(sd_folder, cpu, size, [control])
    whole = 2 * count_numbers(sd_folder) + 2 * count_numbers(control)
    just = needed(whole, MemoryPlan(), size)
    for free, offload in ((just, False), (just - 1, True)):
        monkeypatch.setattr(memory, "free_memory", lambda _, free=free: math.ceil(free / memory.SPARE))
        assert choose_plan(sd_folder, cuda, size, [control]).offload == offload


def test_a_job_counts_its_controlnets_and_its_style(
    sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = tiny.save_control(tmp_path / "control", sd_folder)
    asked: list[Path] = []
    monkeypatch.setattr(fitting, "choose_plan", lambda *given: asked.extend(given[3]) or MemoryPlan())
    folders = {"controlnet": str(control), "controlnet_2": str(control), "style_adapter": "/a/style.safetensors"}
    job = Job.create(tmp_path / "job", "job", from_keywords("framewise", model=str(sd_folder), **folders))
    with pytest.raises(UserError, match="style"):
        fitting.fit(job, SIZE, lambda _: State("done", ""))
    assert asked == [control, Path("/a/style.safetensors"), Path("/a/image_encoder")], "one network counts once"


def test_a_worker_that_is_done_holds_no_model(
    sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    born: list[weakref.ref[UNetModel]] = []
    make = UNetModel.__init__

    def noted(model: UNetModel, *arguments: Any, **keywords: Any) -> None:
        born.append(weakref.ref(model))
        make(model, *arguments, **keywords)

    given_back: list[bool] = []
    monkeypatch.setattr(UNetModel, "__init__", noted)
    monkeypatch.setattr(memory, "give_back", lambda: given_back.append(all(model() is None for model in born)))
    job = make_job(tmp_path / "job", sd_folder)
    worker._serve_one(Run(str(job.folder)), lambda _: None, set())
    assert job.finished() == FRAMES
    assert born
    assert given_back == [True], "what it held is given back to others when nothing refers to it any more"


def test_only_the_network_at_work_is_on_the_device() -> None:
    places: dict[str, str] = {}

    class Network(torch.nn.Linear):
        def __init__(self, name: str) -> None:
            super().__init__(2, 2)
            self.name = name

        def to(self, place: object) -> Network:  # type: ignore[override]
            places[self.name] = str(place)
            return self

    first, second = Network("first"), Network("second")
    device = torch.device("meta")
    residence = Residence([first, second], device, offload=True)
    assert places == {"first": "cpu", "second": "cpu"}
    first(torch.ones(1, 2))
    assert places == {"first": "meta", "second": "cpu"}
    residence.enter(second)
    assert places == {"first": "cpu", "second": "meta"}
    residence.make_room()
    assert places == {"first": "cpu", "second": "cpu"}
    whole = Residence([first, second], device, offload=False)
    whole.make_room()
    assert places == {"first": "meta", "second": "meta"}


def test_a_file_that_is_no_checkpoint_is_refused_by_its_header(sd_folder: Path, tmp_path: Path) -> None:
    lora = tiny.save_lora(tmp_path / "lora.safetensors", sd_folder)
    with pytest.raises(UserError, match=r"lora\.safetensors is a lora\. Choose a whole checkpoint"):
        open_model(lora)


def test_freed_memory_stays_until_it_is_given_back() -> None:
    """In a process of its own, whose allocator no other test has set."""
    script = (
        "import psutil, torch; from backend.bridge import allocator as a; a.hold_freed(); held = [torch.ones(1 << 20)"
        " for _ in range(40)]; own = psutil.Process().memory_info; held.clear(); kept = own().rss; a.give_back();"
        " print(kept - own().rss)"
    )
    freed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert int(freed) > 100 << 20 or platform.libc_ver()[0] != "glibc"


def test_what_a_finished_job_kept_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, memory.__name__)  # as in a worker that has not opened a model
    job = Job.create(tmp_path / "job", "job", from_keywords("deflicker"))
    write_shot(job.shot_folder, FRAMES, SIZE)
    shots = [found for found in gc.get_objects() if type(found) is Shot]
    gc.disable()  # else Python may come across it by itself
    try:
        worker._serve_one(Run(str(job.folder)), lambda _event: None, set())
        assert Job.open(job.folder).state.state == "done"
        assert all(any(found is known for known in shots) for found in gc.get_objects() if type(found) is Shot)
    finally:
        gc.enable()
