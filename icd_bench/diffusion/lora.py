"""Fuses low-rank adapters in the released key format into a U-Net.

A file has, for every adapted module, ``unet.base_model.model.<module>.lora_A.weight`` (r, in, ..)
and ``.lora_B.weight`` (out, r, ..). The module's weight becomes W + alpha / r B A, where alpha is
in the file's metadata, or 8 as for the released iCD models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from icd_bench.errors import UsageError

PREFIX: Final = "unet.base_model.model."
DEFAULT_ALPHA: Final = 8.0

_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


def fuse_lora(unet: nn.Module, file: Path) -> list[str]:
    """Add a LoRA file to the weights of a network, in place.

    Args:
        unet: the network the adapters were trained on.
        file: a safetensors file.

    Returns:
        Names of the changed modules.

    Raises:
        UsageError: the file cannot be read, a key has another form, or a module is missing or has
            another shape: the adapters belong to another network.
    """
    alpha, tensors = _read(file)
    modules = sorted(_module_of(key, file) for key in tensors if key.endswith(_DOWN))
    if len(tensors) != 2 * len(modules):
        unpaired = next(key for key in tensors if _partner(key) not in tensors)
        raise UsageError(f'{file}: key "{unpaired}" is not one of a lora_A / lora_B pair')
    for module in modules:
        down, up = tensors[PREFIX + module + _DOWN], tensors[PREFIX + module + _UP]
        weight = _weight_of(unet, module, file)
        delta = (up.flatten(1).to(torch.float32) @ down.flatten(1).to(torch.float32)) * (
            alpha / down.shape[0]
        )
        if delta.numel() != weight.numel() or len(delta) != len(weight):
            raise UsageError(
                f'{file}: "{module}" makes a change of shape {tuple(delta.shape)} but the network '
                f"has {tuple(weight.shape)}; fuse it into the network it was trained on"
            )
        with torch.no_grad():
            weight += delta.reshape(weight.shape).to(weight)
    return modules


def _read(file: Path) -> tuple[float, dict[str, Tensor]]:
    try:
        with safe_open(file, framework="pt") as content:
            alpha = float((content.metadata() or {}).get("alpha", DEFAULT_ALPHA))
            return alpha, {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{file}: not a readable safetensors file ({error})") from error


def _module_of(key: str, file: Path) -> str:
    if not key.startswith(PREFIX):
        raise UsageError(f'{file}: key "{key}" does not start with "{PREFIX}"')
    return key.removeprefix(PREFIX).removesuffix(_DOWN)


def _partner(key: str) -> str:
    if key.endswith(_DOWN):
        return key.removesuffix(_DOWN) + _UP
    return key.removesuffix(_UP) + _DOWN


def _weight_of(unet: nn.Module, module: str, file: Path) -> Tensor:
    try:
        return unet.get_parameter(f"{module}.weight")
    except AttributeError as error:
        raise UsageError(
            f'{file}: the network has no module "{module}"; fuse it into the network it was '
            "trained on"
        ) from error
