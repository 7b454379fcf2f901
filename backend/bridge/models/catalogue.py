"""The recommended models: where each lies, how big it is, what its licences allow, and what it is good for.

Repositories are those of the Hugging Face Hub. Licences and sizes are as their pages there name them, or programs that
fetch the same files. The checksum of every file comes from the hub's own listing when it is fetched.

For normals and lines there is no ControlNet of XL alone whose licence is plain. The union ControlNet has learned both,
and depth, soft edges and edges too: one network, to which each control image says what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

FAMILIES = {"sd": "Stable Diffusion 1.5", "sdxl": "Stable Diffusion XL"}
KINDS = {
    "model": "Model",
    "controlnet": "ControlNet",
    "lora": "LoRA",
    "preview": "Tiny Autoencoder",
    "style": "Style Adapter",
}
OPENRAIL = "CreativeML Open RAIL-M: free, also commercially; some harmful uses are forbidden"
OPENRAIL_PLUS = "CreativeML Open RAIL++-M: free, also commercially; some harmful uses are forbidden"
RAIL_CONTROL = "OpenRAIL: free, also commercially; some harmful uses are forbidden"
APACHE, MIT = "Apache 2.0: free, also commercially", "MIT: free, also commercially"

HALF = "*.fp16.safetensors"
_PARTS = ("model_index.json", "*/config.json", "scheduler/*", "tokenizer/*")
_ONE = ("unet/" + HALF, "vae/" + HALF, "text_encoder/" + HALF)
_TWO = (*_ONE, "text_encoder_2/" + HALF, "tokenizer_2/*")
_CONTROL = ("config.json", "diffusion_pytorch_model.safetensors")
_CONTROL_HALF = ("config.json", "diffusion_pytorch_model.fp16.safetensors")


@dataclass(frozen=True)
class Entry:
    """A recommended model.

    ``files`` are patterns of the paths in ``repository`` that are fetched, ``size`` about how many bytes these are;
    ``use`` is the file or folder among them that a setting names, "" for the whole folder.
    ``kind`` is one of KINDS, ``family`` one of FAMILIES, ``control`` what a ControlNet wants to see. ``code`` and
    ``weights`` are licences: of the code that made the weights, and of the weights themselves.
    """

    identifier: str
    label: str
    kind: str
    family: str
    repository: str
    files: tuple[str, ...]
    size: int
    code: str
    weights: str
    good_for: str
    control: str = ""
    use: str = ""

    def is_called(self, label: str) -> bool:
        """Return whether a model that was found under ``label`` (see ``library.Found``) is this one."""
        return label in (self.repository, f"{self.repository}/{self.use.rpartition('/')[2]}")


def _controlnet(name: str, label: str, kind: str, good_for: str) -> Entry:
    """Return a ControlNet 1.1 (Zhang et al. 2023) for Stable Diffusion 1.5."""
    return Entry(
        f"sd-{kind}", label, "controlnet", "sd", f"lllyasviel/{name}", _CONTROL_HALF, 723_000_000,
        APACHE, RAIL_CONTROL, good_for, control=kind,
    )  # fmt: skip


def _xl_controlnet(name: str, label: str, kind: str, good_for: str) -> Entry:
    """Return one of the ControlNets by xinsir for Stable Diffusion XL."""
    return Entry(
        f"sdxl-{kind}", label, "controlnet", "sdxl", f"xinsir/{name}", _CONTROL, 2_510_000_000,
        APACHE, APACHE, good_for, control=kind,
    )  # fmt: skip


CATALOGUE = (
    Entry(
        "sd15", "Stable Diffusion 1.5", "model", "sd", "stable-diffusion-v1-5/stable-diffusion-v1-5",
        (*_PARTS, *_ONE), 2_140_000_000, OPENRAIL, OPENRAIL,
        "Pictures of 512 pixels on cards from 4 GB; has the most ControlNets and LoRAs",
    ),
    Entry(
        "sdxl", "Stable Diffusion XL 1.0", "model", "sdxl", "stabilityai/stable-diffusion-xl-base-1.0",
        (*_PARTS, *_TWO), 6_940_000_000, MIT, OPENRAIL_PLUS,
        "Pictures of 1024 pixels on cards from 8 GB; finer and slower than 1.5",
    ),
    _controlnet("control_v11f1p_sd15_depth", "Depth for 1.5", "depth", "Holds the space of a shot: the first to try"),
    _controlnet("control_v11p_sd15_normalbae", "Normals for 1.5", "normal", "Holds the form of surfaces in flat light"),
    _controlnet("control_v11p_sd15_lineart", "Lines for 1.5", "lines", "Holds outlines; good with drawn styles"),
    _controlnet("control_v11p_sd15_softedge", "Soft Edges for 1.5", "softedge", "Holds outlines, and leaves them room"),
    _controlnet("control_v11p_sd15_canny", "Edges for 1.5", "edges", "Holds what is drawn on surfaces"),
    Entry(  # of this one its authors have pickles alone
        "sd-tile", "Tile for 1.5", "controlnet", "sd", "comfyanonymous/ControlNet-v1-1_fp16_safetensors",
        ("control_v11f1e_sd15_tile_fp16.safetensors",), 723_000_000,
        APACHE, RAIL_CONTROL, "Holds colours and places; repaints the detail",
        control="tile", use="control_v11f1e_sd15_tile_fp16.safetensors",
    ),
    _xl_controlnet("controlnet-depth-sdxl-1.0", "Depth for XL", "depth", "Holds the space of a shot"),
    _xl_controlnet(
        "controlnet-union-sdxl-1.0", "Normals, Lines and More for XL", "normal",
        "Holds normals, lines, depth, soft edges or edges, whichever control is chosen",
    ),
    _xl_controlnet("controlnet-canny-sdxl-1.0", "Edges for XL", "edges", "Holds what is drawn on surfaces"),
    _xl_controlnet("controlnet-tile-sdxl-1.0", "Tile for XL", "tile", "Holds colours and places; repaints the detail"),
    Entry(
        "lcm-sd", "LCM for 1.5", "lora", "sd", "latent-consistency/lcm-lora-sdv1-5",
        ("pytorch_lora_weights.safetensors",), 135_000_000, MIT, OPENRAIL_PLUS,
        "Four to eight steps in place of twenty; guidance 1 to 2 and the sampler LCM",
        use="pytorch_lora_weights.safetensors",
    ),
    Entry(
        "lcm-sdxl", "LCM for XL", "lora", "sdxl", "latent-consistency/lcm-lora-sdxl",
        ("pytorch_lora_weights.safetensors",), 394_000_000, MIT, OPENRAIL_PLUS,
        "Four to eight steps in place of twenty; guidance 1 to 2 and the sampler LCM",
        use="pytorch_lora_weights.safetensors",
    ),
    Entry(
        "taesd", "Tiny Autoencoder for 1.5", "preview", "sd", "madebyollin/taesd", _CONTROL, 9_800_000, MIT, MIT,
        "Sharper fusion of synchronized frames for little time",
    ),
    Entry(
        "taesdxl", "Tiny Autoencoder for XL", "preview", "sdxl", "madebyollin/taesdxl", _CONTROL, 9_800_000, MIT, MIT,
        "Sharper fusion of synchronized frames for little time",
    ),
    Entry(
        "style-sd", "IP-Adapter for 1.5", "style", "sd", "h94/IP-Adapter",
        ("models/ip-adapter_sd15.safetensors", "models/image_encoder/config.json",
         "models/image_encoder/model.safetensors"),
        2_570_000_000, APACHE, APACHE, "A picture says what the style is, beside the words",
        use="models/ip-adapter_sd15.safetensors",
    ),
)  # fmt: skip


def find_entry(identifier: str) -> Entry | None:
    """Return the entry of that name, None where there is none."""
    return next((entry for entry in CATALOGUE if entry.identifier == identifier), None)
