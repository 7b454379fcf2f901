"""Models are told apart without being loaded, found where other programs keep them, and fetched checked and resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from backend.bridge.errors import UserError
from backend.bridge.install import fetch
from backend.bridge.models.catalogue import CATALOGUE, FAMILIES, KINDS, Entry, find_entry
from backend.bridge.models.header import classify, read_shapes
from backend.bridge.models.hub import download
from backend.bridge.models.library import count_numbers, find_models, look, memory_problem
from backend.bridge.settings.diffusion import CONTROLS
from tests.bridge.wheels import Index, Portal

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LORA = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
PEFT = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight"
UNET = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"


def save(path: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """Write a safetensors file of zeros."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps({**header, "__metadata__": {"format": "pt"}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
    return path


@pytest.mark.parametrize(
    ("shapes", "found"),
    [
        ({UNET: (4, 768)}, ("model", "sd")),
        ({UNET: (4, 1024)}, ("model", "sd2")),
        ({UNET: (4, 2048)}, ("model", "sdxl")),
        ({"model.diffusion_model.joint_blocks.0.x.weight": (2, 2)}, ("model", "sd3")),
        ({"double_blocks.0.img_attn.qkv.weight": (2, 2)}, ("model", "flux")),
        ({LORA: (2, 768)}, ("lora", "sd")),
        ({PEFT: (2, 2048)}, ("lora", "sdxl")),
        ({"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (2, 8)}, ("lora", "sdxl")),
        ({"controlnet_cond_embedding.conv_in.weight": (2, 2), "x.attn2.to_k.weight": (2, 768)}, ("controlnet", "sd")),
        ({"ip_adapter.1.to_k_ip.weight": (2, 768), "image_proj.proj.weight": (2, 2)}, ("style", "sd")),
        ({"decoder.conv_in.weight": (2, 2)}, ("vae", "")),
        ({"emb": (1,)}, ("", "")),
    ],
)  # fmt: skip
def test_a_file_is_told_by_its_header(
    shapes: dict[str, tuple[int, ...]], found: tuple[str, str], tmp_path: Path
) -> None:
    assert classify(read_shapes(save(tmp_path / "file.safetensors", shapes))) == found


@pytest.mark.parametrize("content", [b"", b"\x02\0\0\0\0\0\0\0[]", b"\xff" * 20, b"PK\x03\x04" * 10])
def test_what_is_no_safetensors_file_is_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"no whole \.safetensors file"):
        read_shapes(path)


def test_a_file_that_is_cut_short_and_a_pickle_cannot_run_and_say_so(tmp_path: Path) -> None:
    whole = save(tmp_path / "checkpoints" / "whole.safetensors", {UNET: (4, 768)})
    short = whole.with_name("short.safetensors")
    short.write_bytes(whole.read_bytes()[:-1])
    pickled = whole.with_name("pickled.ckpt")
    pickled.write_bytes(b"\x80\x02anything")
    problems = {each.label: each.problem for each in find_models([tmp_path]) if each.path.parent == whole.parent}
    assert problems["whole"] == ""
    assert "cut short" in problems["short"]
    assert "is a pickle" in problems["pickled"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "WAIT_SECONDS", 0.01)
    return tmp_path / "cache"


def test_the_layouts_of_other_programs_are_read_in_place(tmp_path: Path, cache: Path) -> None:
    comfy, a1111 = tmp_path / "ComfyUI", tmp_path / "webui"
    save(comfy / "models" / "checkpoints" / "oil.safetensors", {UNET: (4, 768)})
    save(comfy / "models" / "loras" / "mine" / "ink.safetensors", {"lora_unet_x_attn2_to_k.lora_down.weight": (2, 768)})
    save(comfy / "output" / "no.safetensors", {UNET: (4, 768)})
    save(a1111 / "models" / "Stable-diffusion" / "comic.safetensors", {UNET: (4, 2048)})
    guides = a1111 / "extensions" / "sd-webui-controlnet" / "models"
    save(guides / "depth.safetensors", {"input_hint_block.0.weight": (2, 2), "x.attn2.to_k.weight": (2, 768)})
    folder = cache / "models--someone--paint" / "snapshots" / COMMIT
    save(folder / "unet" / "diffusion_pytorch_model.safetensors", {"conv_in.weight": (2, 2)})
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}')
    flux = tmp_path / "own" / "flux"
    save(flux / "transformer" / "diffusion_pytorch_model.safetensors", {"x": (2,)})
    (flux / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    found = {each.label: each for each in find_models([comfy, a1111, tmp_path / "own", tmp_path / "gone"])}
    known = {label: (each.kind, each.family) for label, each in found.items() if "Starter" not in label}
    assert known == {
        "oil": ("model", "sd"), "ink": ("lora", "sd"), "comic": ("model", "sdxl"),
        "someone/paint": ("model", "sdxl"), "flux": ("model", "flux"), "depth": ("controlnet", "sd"),
    }  # fmt: skip
    assert "does not run" in found["flux"].problem
    assert found["someone/paint"].path == folder


def test_a_model_that_is_too_big_says_how_much_it_needs() -> None:
    assert memory_problem("Big", 3_200_000_000, 16_000_000_000) == ""
    assert "needs 3.2 GB of memory at the least, and 2.0 GB are free" in memory_problem("Big", 3_200_000_000, 2 * 10**9)


def test_a_models_numbers_are_counted_once_in_whatever_precision_they_lie(tmp_path: Path) -> None:
    for name in ("unet/model.fp16.safetensors", "unet/model.safetensors", "vae/model.fp16.safetensors"):
        save(tmp_path / name, {"a.weight": (30, 20), "b.bias": (5,)})
    assert count_numbers(tmp_path) == 2 * 605
    assert count_numbers(tmp_path / "vae" / "model.fp16.safetensors") == 605
    assert count_numbers(tmp_path / "gone") == 0


def test_of_a_controlnet_only_the_weights_that_are_loaded_count(tmp_path: Path) -> None:
    names = "", "_promax", ".fp16", ".fp16-00001-of-00002", "-00002-of-00002.fp16"
    for name in (*(f"diffusion_pytorch_model{each}" for each in names), "control_v11_canny", "control_v11_canny_fp16"):
        save(tmp_path / f"{name}.safetensors", {"a.weight": (30, 20)})
    assert count_numbers(tmp_path) == 600
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    assert count_numbers(tmp_path) == 3 * 600


def test_a_model_lacks_nothing_that_its_pipeline_leaves_out(tmp_path: Path) -> None:
    index = {"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "U"], "text_encoder_2": [None, None]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert "lacks the weights of its unet" in look(tmp_path).problem
    save(tmp_path / "unet" / "diffusion_pytorch_model.safetensors", {"conv_in.weight": (2, 2)})
    assert look(tmp_path).problem == ""
    index["text_encoder_2"] = ["transformers", "CLIPTextModel"]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert "lacks the weights of its text_encoder_2" in look(tmp_path).problem


def test_what_of_a_model_is_never_loaded_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    for name in ("unet/model.safetensors", "unet/model.non_ema.safetensors", "safety_checker/model.safetensors", "all"):
        save(tmp_path / (name if "/" in name else "v1-5-pruned.safetensors"), {"a.weight": (30, 20)})
    assert count_numbers(tmp_path) == 600
    trained = save(tmp_path / "trained.safetensors", {UNET: (4, 768), "model_ema.diffusion_modelx": (4, 768)})
    assert count_numbers(trained) == 4 * 768


class Hub(Index):
    """A stand-in for the hub: its listing, and files by commit, with all the faults of an Index."""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if not request.path.startswith("/api/"):
            request.path = "/" + request.path.rpartition(COMMIT + "/")[2]
            super().answer(request)
            return
        text = json.dumps(self.tree() if "/tree/" in request.path else {"sha": COMMIT}).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)

    def tree(self) -> list[dict[str, object]]:
        entries: list[dict[str, object]] = [{"type": "file", "path": "../../evil.safetensors", "size": 1, "oid": "0"}]
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                data = path.read_bytes()
                name = path.relative_to(self.folder).as_posix()
                entry = {"type": "file", "path": name, "size": len(data)}
                entry["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
                if name.endswith(".safetensors"):
                    entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest()}
                entries.append(entry)
        return entries


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    served = Hub(tmp_path / "served")
    save(served.folder / "unet" / "diffusion_pytorch_model.fp16.safetensors", {"conv_in.weight": (300, 300)})
    save(served.folder / "unet" / "diffusion_pytorch_model.safetensors", {"conv_in.weight": (300, 300)})
    (served.folder / "unet" / "config.json").write_text("{}")
    (served.folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    monkeypatch.setenv("HF_ENDPOINT", served.address)
    yield served
    served.close()


ENTRY = Entry(
    "x", "X", "model", "sd", "someone/paint", ("model_index.json", "*/config.json", "unet/*.fp16.safetensors",
    "*evil*"), 1, "", "", "",
)  # fmt: skip


def test_a_model_is_fetched_into_the_shared_cache_once(hub: Hub, cache: Path) -> None:
    heard: list[tuple[int, int, str]] = []
    made = download(ENTRY, cache, lambda *event: heard.append(event))
    assert made == cache / "models--someone--paint" / "snapshots" / COMMIT
    files = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert files == {"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"}
    assert (cache / "models--someone--paint" / "refs" / "main").read_text() == COMMIT
    assert heard[-1][0] == heard[-1][1] == sum((hub.folder / name).stat().st_size for name in files)
    assert look(made).problem == ""
    asked = len(hub.log)
    download(ENTRY, cache, lambda *_: None)
    assert len(hub.log) == asked
    assert not (cache.parent / "evil.safetensors").exists()


def test_a_fetch_that_broke_off_goes_on(hub: Hub, cache: Path) -> None:
    hub.cut = [60_000]
    (hub.folder / "model_index.json").unlink()
    (hub.folder / "unet" / "config.json").unlink()
    download(ENTRY, cache, lambda *_: None)
    assert [start for name, start in hub.log] == [0, 60_000]


def test_a_model_that_has_arrived_in_part_is_told_until_it_is_whole(hub: Hub, cache: Path) -> None:
    parts = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    (hub.folder / "model_index.json").write_text(json.dumps(parts))
    (hub.folder / "text_encoder").mkdir()
    save(hub.folder / "text_encoder" / "model.fp16.safetensors", {"x": (2,)})
    entry = replace(ENTRY, files=("model_index.json", "*/*.fp16.safetensors"))

    def stop(_done: int, _total: int, note: str) -> None:
        if note.startswith("unet/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(entry, cache, stop)
    (found,) = (each for each in find_models([]) if each.label == "someone/paint")
    assert "lacks the weights of its unet" in found.problem
    assert look(download(entry, cache, lambda *_: None)).problem == ""


def test_a_controlnet_without_weights_is_told(tmp_path: Path) -> None:
    config = {"_class_name": "ControlNetModel", "cross_attention_dim": 768}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "lacks its weights" in look(tmp_path).problem
    save(tmp_path / "diffusion_pytorch_model.safetensors", {"x": (2,)})
    assert (look(tmp_path).kind, look(tmp_path).family, look(tmp_path).problem) == ("controlnet", "sd", "")


def test_what_of_the_catalogue_is_here_is_told_by_its_label() -> None:
    tile, union = find_entry("sd-tile"), find_entry("sdxl-normal")
    assert tile is not None and union is not None
    shared = "comfyanonymous/ControlNet-v1-1_fp16_safetensors"
    assert tile.is_called(f"{shared}/control_v11f1e_sd15_tile_fp16.safetensors")
    assert not tile.is_called(f"{shared}/control_v11p_sd15_canny_fp16.safetensors")
    assert union.is_called("xinsir/controlnet-union-sdxl-1.0")
    assert not union.is_called("xinsir/controlnet-depth-sdxl-1.0")


def test_what_two_programs_fetch_at_once_is_fetched_by_one(hub: Hub, cache: Path) -> None:
    def another(_done: int, _total: int, note: str) -> None:
        if note.startswith("unet/diffusion") and not told:
            with pytest.raises(UserError) as error:
                download(ENTRY, cache, lambda *_: None)
            told.append(str(error.value))

    told: list[str] = []
    assert look(download(ENTRY, cache, another)).problem == ""
    assert "fetched by another program just now" in told[0]
    assert not list(cache.rglob("*.lock")) and not list(cache.rglob("*.part"))


def test_a_page_in_place_of_the_hub_is_told(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    portal = Portal(tmp_path)
    portal.closed = "/"
    monkeypatch.setenv("HF_ENDPOINT", portal.address)
    with pytest.raises(UserError, match="wants you to sign in"):
        download(ENTRY, cache, lambda *_: None)
    portal.close()


def test_content_that_is_not_what_the_hub_lists_is_refused(hub: Hub, cache: Path) -> None:
    hub.spoil = lambda data: data[:-1] + b"!"
    with pytest.raises(UserError, match="checksum differs"):
        download(ENTRY, cache, lambda *_: None)
    assert not (cache / "models--someone--paint" / "refs").exists()
    hub.spoil = bytes
    download(ENTRY, cache, lambda *_: None)


def test_a_repository_that_is_gone_or_changed_is_told(hub: Hub, cache: Path) -> None:
    (hub.folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    with pytest.raises(UserError, match="no longer has the files"):
        download(ENTRY, cache, lambda *_: None)
    hub.close()
    with pytest.raises(UserError, match="cannot be reached"):
        download(ENTRY, cache, lambda *_: None)


def test_the_catalogue_says_all_that_a_choice_needs() -> None:
    assert len({entry.identifier for entry in CATALOGUE}) == len(CATALOGUE)
    controls = {control for control, _, _ in CONTROLS}
    for entry in CATALOGUE:
        assert entry.kind in KINDS
        assert entry.family in FAMILIES
        assert entry.size > 1e6
        assert entry.code and entry.weights and entry.good_for
        assert (entry.control in controls) == (entry.kind == "controlnet")
        assert all(not pattern.endswith((".bin", ".ckpt", ".pt")) for pattern in entry.files)
        assert all(path.startswith(entry.use) for path in entry.files) or entry.use in entry.files
    for family in FAMILIES:
        kinds = {entry.kind for entry in CATALOGUE if entry.family == family}
        assert {"model", "controlnet", "lora", "preview"} <= kinds
