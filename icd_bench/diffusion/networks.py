"""The U-Nets of a model by name, each loaded once, when it is first used."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch

from icd_bench.diffusion.compiling import compile_blocks
from icd_bench.diffusion.lora import fuse_lora
from icd_bench.errors import UnusableWeights

if TYPE_CHECKING:
    from icd_bench.models import ModelSpec

UNet: TypeAlias = Any
"""A diffusers ``UNet2DConditionModel`` (diffusers is untyped)."""

DISTILLED: Final = "cfg_distilled"
_BASE_OF: Final = {"icd_forward": DISTILLED, "icd_reverse": DISTILLED, "lcm": "unet"}
"""Adapters and the network that they are fused into: never the plain U-Net for iCD."""


class Networks:
    """Lazy collection of the U-Nets of one model.

    Names are ``base``, ``cfg_distilled``, ``icd_forward:<set>``, ``icd_reverse:<set>`` and
    ``lcm``. Weights are frozen: gradients flow to inputs only.

    Args:
        spec: where the weights are.
        device: torch device.
        dtype: of the weights on the device; adapters are fused in float32 before.
        compiled: compile the networks when they are first used.
    """

    def __init__(
        self, spec: ModelSpec, device: torch.device, dtype: torch.dtype, compiled: bool = False
    ) -> None:
        self._spec, self._device, self._dtype = spec, device, dtype
        self._compiled = compiled
        self._loaded: dict[str, UNet] = {}
        self._whole: dict[Path, UNet] = {}
        self._has_twins = False
        self._read_once: dict[str, UNet] = {}
        self._loading = threading.Lock()
        self.seconds = 0.0
        """Spent on loading so far."""

    def __call__(self, name: str) -> UNet:
        """Return a network, frozen and in evaluation mode.

        Raises:
            MissingWeights: its weights are not on this machine.
            UnusableWeights: a file of it cannot be read or belongs to another network.
        """
        if name not in self._loaded:
            start = time.perf_counter()
            with self._loading:
                if name not in self._read_once:
                    self._read_once[name] = self._load(name)
                unet = self._read_once[name]
                self._loaded[name] = self._copy(unet) if self._has_twins else unet
            self.seconds += time.perf_counter() - start
        return self._loaded[name]

    def twin(self) -> Networks:
        """Return the same networks for another thread: modules of their own, shared weights.

        None of them may be in use meanwhile. Those that follow are read once for all twins.
        """
        self._has_twins = True
        other = copy.copy(self)
        other._loaded = {name: self._copy(unet) for name, unet in self._loaded.items()}
        other.seconds = 0.0
        return other

    def config(self) -> dict[str, Any]:
        """Return the configuration of the pipeline's own U-Net; no weight is read.

        Raises:
            MissingWeights: the U-Net is not on this machine.
        """
        file = self._spec.folder_of("unet") / "config.json"
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return content

    def _load(self, name: str) -> UNet:
        """Read a network; called once for each name, by one thread at a time."""
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
        return self._prepared(unet.eval().requires_grad_(False))

    def _copy(self, unet: UNet) -> UNet:
        return self._prepared(with_same_weights(unet))

    def _prepared(self, unet: UNet) -> UNet:
        if self._compiled:
            compile_blocks(unet)
        return unet

    def _read(self, part: str, dtype: torch.dtype) -> UNet:
        import diffusers

        network: UNet = diffusers.UNet2DConditionModel
        folder = self._spec.folder_of(part)
        try:
            if part == DISTILLED:
                _check_distilled(network.load_config(folder, local_files_only=True), folder)
            return network.from_pretrained(
                folder,
                torch_dtype=dtype,
                variant=self._spec.part(part).variant,
                use_safetensors=True,
                local_files_only=True,
            )
        except (OSError, ValueError) as error:
            raise UnusableWeights(f"{folder}: not a readable diffusers U-Net ({error})") from error


def _check_distilled(config: Mapping[str, Any], folder: Path) -> None:
    """Refuse a plain U-Net in the place of the distilled one: it would ignore all guidance."""
    if not config.get("time_cond_proj_dim"):
        raise UnusableWeights(
            f"{folder / 'config.json'}: time_cond_proj_dim is not set, so this U-Net cannot be "
            "told the guidance that it was distilled with; put a guidance-distilled U-Net there "
            "(icd-bench train cfg-distill makes one)"
        )


def with_same_weights(module: UNet) -> UNet:
    """Return a copy of a module, hooks and attention processors apart, over the same tensors."""
    tensors = (*module.parameters(), *module.buffers())
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
