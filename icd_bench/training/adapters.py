"""LoRA adapters on one U-Net, switched by name, saved with the released key layout."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from diffusers import UNet2DConditionModel
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import Tensor, nn

from .networks import replicate

TARGETS = (
    "to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2",
    "conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj",
)  # fmt: skip
PREFIX = "unet.base_model.model."


class Adapters:
    """Named LoRAs on one U-Net; the U-Net itself is frozen.

    Args:
        unet: the base; peft replaces its targeted layers in place.
        names: one adapter each.
        rank: rank of every adapter.
        alpha: the update is ``alpha / rank * B A``.
        trained: adapters whose weights require a gradient.
    """

    def __init__(
        self, unet: UNet2DConditionModel, names: Sequence[str], rank: int, alpha: int,
        trained: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        self.unet, self.names, self.rank, self.alpha = unet, tuple(names), rank, alpha
        unet.requires_grad_(False)
        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(TARGETS))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            for name in self.names:
                unet.add_adapter(config, adapter_name=name)
        trained = self.names if trained is None else trained
        self.layers = lora_layers(unet)
        self.weights = {name: self._weights_of(name) for name in self.names}
        for name, weights in self.weights.items():
            for parameter in weights.values():
                parameter.requires_grad_(name in trained)

    def _weights_of(self, name: str) -> dict[str, nn.Parameter]:
        marks = (f".lora_A.{name}.", f".lora_B.{name}.")
        return {
            key.replace(f".{name}.", "."): parameter
            for key, parameter in self.unet.named_parameters()
            if any(mark in key for mark in marks)
        }

    def replica(self) -> Adapters:
        """The same weights on a copy of the U-Net, whose switches are its own."""
        twin = copy.copy(self)
        twin.unet = replicate(self.unet)
        twin.layers = lora_layers(twin.unet)
        return twin

    def module(self, name: str) -> nn.Module:
        """One adapter's weights as a module of their own, for optimiser and checkpoint."""
        holder = nn.Module()
        for key, parameter in self.weights[name].items():
            holder.register_parameter(key.replace(".", "/"), parameter)
        return holder

    @contextmanager
    def active(self, name: str | None) -> Iterator[UNet2DConditionModel]:
        """The U-Net with one adapter on, or with none.

        The layers' switches are set directly: peft's own methods also switch ``requires_grad`` of
        the weights, which replicas in other threads share.
        """
        for layer in self.layers:
            layer._disable_adapters = name is None
            if name is not None:
                layer._active_adapter = name
        yield self.unet

    def state(self, name: str) -> dict[str, Tensor]:
        """Released key -> weight."""
        return {PREFIX + key: p.detach() for key, p in self.weights[name].items()}

    def load(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Set an adapter's weights from released keys."""
        for key, parameter in self.weights[name].items():
            parameter.data.copy_(tensors[PREFIX + key])

    def save(self, name: str, path: Path) -> None:
        """Write one adapter as fp16 safetensors, with alpha in its metadata.

        Alone: several entries are written in any order, and the same weights are the same file.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {key: value.half().contiguous() for key, value in self.state(name).items()}
        partial = path.with_suffix(".partial")
        save_file(tensors, partial, metadata={"alpha": str(self.alpha)})
        os.replace(partial, path)


def lora_layers(unet: UNet2DConditionModel) -> list[BaseTunerLayer]:
    """Every layer that carries adapters."""
    return [module for module in unet.modules() if isinstance(module, BaseTunerLayer)]
