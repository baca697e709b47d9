"""Fuses low-rank adapters in the released key format into a U-Net.

A file has, for every adapted module, ``unet.base_model.model.<module>.lora_A.weight`` (r, in, ..)
and ``.lora_B.weight`` (out, r, ..). The module's weight becomes W + alpha / r B A, where alpha is
in the file's metadata, or 8 as for the released iCD models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from icd_bench.errors import UnusableWeights

PREFIX: Final = "unet.base_model.model."
DEFAULT_ALPHA: Final = 8.0

_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_REMEDY: Final = "get the file anew, or train it anew"
_OTHER_NETWORK: Final = "fuse it into the network it was trained on"


class _Pair(NamedTuple):
    """The two factors of the change of one module's weight."""

    module: str
    down: Tensor
    """(r, in, ..)."""
    up: Tensor
    """(out, r, ..)."""

    @property
    def rank(self) -> int:
        """r."""
        return len(self.down)

    @property
    def change(self) -> tuple[int, int]:
        """Rows and columns of B A."""
        return len(self.up), math.prod(self.down.shape[1:])


def fuse_lora(unet: nn.Module, file: Path) -> list[str]:
    """Add a LoRA file to the weights of a network, in place; nothing is added where it is refused.

    Args:
        unet: the network the adapters were trained on.
        file: a safetensors file.

    Returns:
        Names of the changed modules.

    Raises:
        UnusableWeights: the file cannot be read or has no adapters, a key has another form, a value
            is not finite, or a module is missing or has another shape: the adapters belong to
            another network.
    """
    alpha, tensors = _read(file)
    pairs = _pairs(tensors, file)
    weights = [_weight_of(unet, pair, file) for pair in pairs]
    for pair, weight in zip(pairs, weights, strict=True):
        delta = pair.up.flatten(1).to(torch.float32) @ pair.down.flatten(1).to(torch.float32)
        with torch.no_grad():
            weight += (delta * (alpha / pair.rank)).reshape(weight.shape).to(weight)
    return [pair.module for pair in pairs]


def _read(file: Path) -> tuple[float, dict[str, Tensor]]:
    try:
        with safe_open(file, framework="pt") as content:
            alpha = _alpha((content.metadata() or {}).get("alpha", str(DEFAULT_ALPHA)), file)
            return alpha, {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UnusableWeights(f"{file}: not a readable safetensors file ({error})") from error


def _alpha(text: str, file: Path) -> float:
    """Return the adapters' scale, as the file's metadata have it."""
    try:
        alpha = float(text)
    except ValueError:
        alpha = math.nan
    if not 0 < alpha < math.inf:
        raise UnusableWeights(
            f'{file}: metadata "alpha": "{text}" is not a finite number above 0; write the alpha '
            "that the adapters were trained with"
        )
    return alpha


def _pairs(tensors: Mapping[str, Tensor], file: Path) -> list[_Pair]:
    """Return the adapters by module, each with sound values and factors that fit one another."""
    modules = sorted(_module_of(key, file) for key in tensors if key.endswith(_DOWN))
    if len(tensors) != 2 * len(modules):
        unpaired = next(key for key in tensors if _partner(key) not in tensors)
        raise UnusableWeights(
            f'{file}: key "{unpaired}" is not one of a lora_A / lora_B pair; {_REMEDY}'
        )
    if not modules:
        raise UnusableWeights(f"{file}: there is no lora_A / lora_B pair in it; {_REMEDY}")
    for key, tensor in tensors.items():
        _check_values(key, tensor, file)
    return [_pair(module, tensors, file) for module in modules]


def _pair(module: str, tensors: Mapping[str, Tensor], file: Path) -> _Pair:
    key = PREFIX + module
    pair = _Pair(module, tensors[key + _DOWN], tensors[key + _UP])
    if pair.up.flatten(1).shape[1] != pair.rank:
        raise UnusableWeights(
            f'{file}: key "{key + _UP}": shape {tuple(pair.up.shape)} does not fit rank '
            f"{pair.rank} of lora_A, {tuple(pair.down.shape)}; {_REMEDY}"
        )
    return pair


def _check_values(key: str, tensor: Tensor, file: Path) -> None:
    """Refuse what no factor of a change is: a vector, an empty or a damaged matrix."""
    if tensor.ndim < 2 or not tensor.numel():
        raise UnusableWeights(
            f'{file}: key "{key}": shape {tuple(tensor.shape)} is no matrix; {_REMEDY}'
        )
    # Not every number type of a file, such as float8, can be asked.
    if not tensor.to(torch.float32).isfinite().all():
        raise UnusableWeights(f'{file}: key "{key}": not all values are finite; {_REMEDY}')


def _module_of(key: str, file: Path) -> str:
    if not key.startswith(PREFIX):
        raise UnusableWeights(
            f'{file}: key "{key}" does not start with "{PREFIX}"; name it as released files do'
        )
    return key.removeprefix(PREFIX).removesuffix(_DOWN)


def _partner(key: str) -> str:
    if key.endswith(_DOWN):
        return key.removesuffix(_DOWN) + _UP
    return key.removesuffix(_UP) + _DOWN


def _weight_of(unet: nn.Module, pair: _Pair, file: Path) -> Tensor:
    """Return the weight that a pair changes."""
    try:
        weight = unet.get_parameter(f"{pair.module}.weight")
    except AttributeError as error:
        raise UnusableWeights(
            f'{file}: the network has no module "{pair.module}"; {_OTHER_NETWORK}'
        ) from error
    if math.prod(pair.change) != weight.numel() or pair.change[0] != len(weight):
        raise UnusableWeights(
            f'{file}: "{pair.module}" makes a change of shape {pair.change} but the network has '
            f"{tuple(weight.shape)}; {_OTHER_NETWORK}"
        )
    return weight
