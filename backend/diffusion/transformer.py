"""A transformer family: Stable Diffusion 3. It predicts a flow, and has no layers of self-attention alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..bridge.errors import UserError
from .attention import AttentionControl
from .conditioning import Text, encode_clip
from .latents import LatentCodec
from .memory import MemoryPlan, Residence
from .protocol import Images, Info, Watch
from .schedulers import make_scheduler
from .transformer_parts import TransformerParts

LONGEST = 256  # tokens that the third text encoder reads of a prompt


class TransformerModel:
    """A latent diffusion model around an SD3Transformer2DModel (see ``protocol.Model``)."""

    attention: AttentionControl | None = None

    def __init__(
        self, parts: TransformerParts, device: torch.device, dtype: torch.dtype, plan: MemoryPlan, preview: Any = None
    ) -> None:
        """Take over ``parts``, as ``plan`` says."""
        self.device, self._dtype = device, dtype
        self.evaluations = 0
        self.watch: Watch | None = None
        self._transformer, self._encoders, self._tokenizers = parts.transformer, parts.encoders, parts.tokenizers
        self._long, self._long_tokenizer, self._scheduler_config = parts.long, parts.long_tokenizer, parts.scheduler
        config = self._transformer.config
        networks = [self._transformer, parts.vae, *([] if preview is None else [preview])]
        self._residence = Residence(networks, device, plan.offload)
        self.codec = LatentCodec(parts.vae, preview, plan.tile, self._residence.enter)
        factor = self.codec.factor
        self.info = Info("sd3", config.sample_size * factor, factor * config.patch_size)

    def encode_text(self, prompts: Sequence[str]) -> list[Text]:
        """Encode prompts of any length to texts of one length; the third encoder reads LONGEST tokens of each."""
        spoken = []
        self._residence.make_room()
        for tokenizer, encoder in zip(self._tokenizers, self._encoders, strict=True):
            spoken.append(encode_clip(prompts, tokenizer, encoder.to(self.device), layer=-2))
            encoder.to("cpu")
        texts = []
        for (first, second), long in zip(zip(*spoken, strict=True), self._encode_long(prompts), strict=True):
            tokens = torch.cat([first.tokens, second.tokens], dim=-1)
            tokens = torch.cat([pad(tokens, (0, long.shape[-1] - tokens.shape[-1])), long])
            texts.append(Text(tokens, torch.cat([first.pooled, second.pooled])))
        return texts

    @torch.inference_mode()
    def _encode_long(self, prompts: Sequence[str]) -> list[Tensor]:
        """Return the third encoder's states (LONGEST, d) for each prompt; zeros where the model is without it."""
        if self._long is None:
            width = self._transformer.config.joint_attention_dim
            return [torch.zeros(LONGEST, width, dtype=self._dtype, device=self.device)] * len(prompts)
        options = {"padding": "max_length", "max_length": LONGEST, "truncation": True, "return_tensors": "pt"}
        ids = [self._long_tokenizer(prompt, **options).input_ids.to(self.device) for prompt in prompts]
        self._long.to(self.device)
        states = [self._long(each)[0][0] for each in ids]
        self._long.to("cpu")
        return states

    def encode_style(self, picture: Tensor, text: Text, negative: Text) -> tuple[Text, Text]:  # noqa: ARG002
        """Raise UserError: no style adapter is known for this family."""
        raise UserError("This family of models takes no style image here. Leave the style adapter empty.")

    def scheduler(self, name: str = "auto") -> Any:
        """Return a fresh diffusers scheduler; flow models have one, called "auto"."""
        return make_scheduler(self._scheduler_config, name)

    @torch.inference_mode()
    def predict(
        self, x: Tensor, t: Tensor, texts: Sequence[Text],
        images: Images = (), guidance: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Return the transformer's raw output for states ``x`` (R, C, h, w); see ``protocol.Model.predict``."""
        self.evaluations += len(x)
        x = x.to(self.device, self._dtype)
        return self._transformer(
            hidden_states=x, timestep=t.to(self.device).expand(len(x)),
            encoder_hidden_states=torch.stack([text.tokens for text in texts]),
            pooled_projections=torch.stack([text.pooled for text in texts if text.pooled is not None]),
            return_dict=False,
        )[0].float()  # fmt: skip

    def offload(self) -> None:
        """Leave the GPU's memory to others; the model runs no more until it is opened again."""
        self._residence.leave()
