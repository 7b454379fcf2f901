"""Training that can be broken off at any step and goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

Loss = Callable[[int], Tensor]
"""Step -> loss. All that is random in it comes from the step, so that a resumed run repeats an unbroken one."""

WARMUP = 30
EMA = 0.999


class Training:
    """AdamW on some networks, with an exponential moving average of their weights, kept in one safetensors file.

    ``rate`` is the learning rate, ``rates`` that of networks that want another.
    """

    def __init__(
        self, networks: dict[str, torch.nn.Module], rate: float, path: Path, rates: Mapping[str, float] | None = None
    ) -> None:
        self._weights = {
            f"{name}.{key}": weight for name, network in networks.items() for key, weight in network.named_parameters()
        }
        self._rates = {name: rate for name in networks} | dict(rates or {})
        groups = [{"params": list(network.parameters()), "name": name} for name, network in networks.items()]
        self._optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), weight_decay=1e-3)
        self._averages = {key: weight.detach().clone() for key, weight in self._weights.items()}
        self._path = path
        self.step = 0
        if path.exists():
            self._load()

    def advance(self, loss: Loss) -> float:
        """Take one step down ``loss``; return its value."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rates[group["name"]] * min(1.0, (self.step + 1) / WARMUP)
        value = loss(self.step)
        self._optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self._weights.values(), 1.0)
        self._optimizer.step()
        self.step += 1
        keep = min(EMA, self.step / (self.step + 10))
        for key, weight in self._weights.items():
            self._averages[key].lerp_(weight.detach(), 1 - keep)
        return float(value.detach())

    def use_averages(self) -> None:
        """Put the averaged weights in the networks' place; no step may follow."""
        with torch.no_grad():
            for key, weight in self._weights.items():
                weight.copy_(self._averages[key])

    def save(self) -> None:
        """Write the whole state; a reader never sees half of it."""
        tensors = {f"weight/{key}": weight.detach() for key, weight in self._weights.items()}
        tensors |= {f"average/{key}": average for key, average in self._averages.items()}
        for key, weight in self._weights.items():
            state = self._optimizer.state.get(weight, {})
            tensors |= {f"{part}/{key}": value for part, value in state.items()}
        tensors = {key: value.contiguous().cpu() for key, value in tensors.items()}
        temporary = self._path.with_suffix(".part")
        save_file(tensors, temporary, {"step": str(self.step)})
        temporary.replace(self._path)

    def _load(self) -> None:
        with safe_open(self._path, "pt") as file:
            self.step = int(file.metadata()["step"])
            with torch.no_grad():
                for key, weight in self._weights.items():
                    weight.copy_(file.get_tensor(f"weight/{key}"))
                    self._averages[key].copy_(file.get_tensor(f"average/{key}"))
            if self.step:
                self._load_moments(file)

    def _load_moments(self, file: safe_open) -> None:
        for key, weight in self._weights.items():
            self._optimizer.state[weight] = {
                part: file.get_tensor(f"{part}/{key}").to(weight.device if part != "step" else "cpu")
                for part in ("step", "exp_avg", "exp_avg_sq")
            }
