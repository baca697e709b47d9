"""The U-Nets of a model by name, each loaded once, when it is first used."""

from __future__ import annotations

import json
from pathlib import Path
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
        self._whole: dict[Path, UNet] = {}

    def __call__(self, name: str) -> UNet:
        """Return a network, frozen and in evaluation mode.

        Raises:
            MissingWeights: its weights are not on this machine.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def config(self) -> dict[str, Any]:
        """Return the configuration of the pipeline's own U-Net; no weight is read.

        Raises:
            MissingWeights: the U-Net is not on this machine.
        """
        file = self._spec.folder_of("unet") / "config.json"
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return content

    def _load(self, name: str) -> UNet:
        part = "unet" if name == "base" else name
        base = _BASE_OF.get(part.partition(":")[0])
        place = self._spec.folder_of(part)
        # A part may be a whole U-Net where other models have an adapter, as LCM Dreamshaper's.
        if base is None or place.is_dir():
            if place not in self._whole:
                self._whole[place] = self._placed(self._read(part, self._dtype))
            return self._whole[place]
        unet = self._read(base, torch.float32)
        fuse_lora(unet, place)
        return self._placed(unet)

    def _placed(self, unet: UNet) -> UNet:
        # Not diffusers' own ``to``, which warns of a change of dtype even where it is float32.
        torch.nn.Module.to(unet, self._device, self._dtype)
        return unet.eval().requires_grad_(False)

    def _read(self, part: str, dtype: torch.dtype) -> UNet:
        import diffusers

        network: UNet = diffusers.UNet2DConditionModel
        folder = self._spec.folder_of(part)
        try:
            return network.from_pretrained(
                folder,
                torch_dtype=dtype,
                variant=self._spec.part(part).variant,
                use_safetensors=True,
                local_files_only=True,
            )
        except (OSError, ValueError) as error:
            raise UsageError(f"{folder}: not a readable diffusers U-Net ({error})") from error
