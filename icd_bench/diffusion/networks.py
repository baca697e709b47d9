"""The U-Nets of a model by name, each loaded once, when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from icd_bench.diffusion.lora import fuse_lora
from icd_bench.errors import UsageError

if TYPE_CHECKING:
    from icd_bench.models import ModelSpec

UNet: TypeAlias = Any
"""A diffusers ``UNet2DConditionModel`` (diffusers is untyped)."""

_BASE_OF = {"icd_forward": "cfg_distilled", "icd_reverse": "cfg_distilled", "lcm": "unet"}
"""Adapters and the network that they are fused into: never the plain U-Net for iCD."""


class Networks:
    """Lazy collection of the U-Nets of one model.

    Names are ``base``, ``cfg_distilled``, ``icd_forward:<set>``, ``icd_reverse:<set>`` and
    ``lcm``. Weights are frozen: gradients flow to inputs only.

    Args:
        spec: where the weights are.
        device: torch device.
        dtype: of the weights on the device; adapters are fused in float32 before.
    """

    def __init__(self, spec: ModelSpec, device: torch.device, dtype: torch.dtype) -> None:
        self._spec, self._device, self._dtype = spec, device, dtype
        self._loaded: dict[str, UNet] = {}

    def __call__(self, name: str) -> UNet:
        """Return a network, frozen and in evaluation mode.

        Raises:
            MissingWeights: its weights are not on this machine.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> UNet:
        part = "unet" if name == "base" else name
        base = _BASE_OF.get(part.partition(":")[0])
        adapter = self._spec.folder_of(part) if base else None
        # A part may be a whole U-Net where other models have an adapter, as LCM Dreamshaper's.
        whole = base is None or (adapter is not None and adapter.is_dir())
        unet = self._read(part if whole else str(base))
        if adapter is not None and not whole:
            fuse_lora(unet, adapter)
        # Not diffusers' own ``to``, which warns of a change of dtype even where it is float32.
        torch.nn.Module.to(unet, self._device, self._dtype)
        return unet.eval().requires_grad_(False)

    def _read(self, part: str) -> UNet:
        import diffusers

        network: UNet = diffusers.UNet2DConditionModel
        folder = self._spec.folder_of(part)
        try:
            return network.from_pretrained(
                folder, torch_dtype=torch.float32, use_safetensors=True, local_files_only=True
            )
        except (OSError, ValueError) as error:
            raise UsageError(f"{folder}: not a readable diffusers U-Net ({error})") from error
