"""Writes the shipped model folder: a diffusers pipeline, extra U-Nets and adapters, in fp16."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import open_clip
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from icd_bench.diffusion.timestep_sets import TimestepSet
from icd_bench.training.adapters import Adapters
from icd_bench.training.icd import FORWARD, REVERSE

from .clip import save_clip
from .truncate import truncate


def export_pipeline(
    folder: Path, vae: AutoencoderKL, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel, scheduler: DDIMScheduler,
) -> None:  # fmt: skip
    """Write ``model_index.json`` and the five parts of a Stable Diffusion pipeline."""
    pipeline = StableDiffusionPipeline(
        vae=copy.deepcopy(vae).half(),
        text_encoder=copy.deepcopy(text_encoder).half(),
        tokenizer=tokenizer,
        unet=copy.deepcopy(unet).half(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    tokenizer.backend_tokenizer.model.save(str(folder / "tokenizer"))  # vocab.json, merges.txt


def export_unet(folder: Path, unet: UNet2DConditionModel, name: str = "unet_cfg_distilled") -> None:
    """Write another U-Net beside the pipeline's."""
    copy.deepcopy(unet).half().save_pretrained(folder / name)


def export_icd(
    folder: Path, adapters: Adapters, timesteps: TimestepSet,
    names: Sequence[str] = (FORWARD, REVERSE), rank: int | None = None,
) -> None:  # fmt: skip
    """Write adapters of a timestep set under their released names.

    Args:
        folder: where the files go.
        adapters: their weights.
        timesteps: the set.
        names: which of the two.
        rank: cuts them to it; None keeps them as they are.
    """
    files = {FORWARD: timesteps.forward_file, REVERSE: timesteps.reverse_file}
    for name in names:
        if rank is None:
            adapters.save(name, folder / files[name])
        else:
            change = adapters.alpha / adapters.rank
            save_adapter(truncate(adapters.state(name), rank), folder / files[name], rank * change)


def save_adapter(adapter: dict[str, Tensor], path: Path, alpha: float) -> None:
    """Write released keys as fp16 safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.half().contiguous() for key, value in adapter.items()}
    save_file(tensors, path, metadata={"alpha": str(alpha)})


def export_clip(folder: Path, clip: open_clip.CLIP, tokenizer: CLIPTokenizer) -> None:
    """Write the open_clip folder."""
    save_clip(clip, tokenizer, folder / "clip")
    tokenizer.backend_tokenizer.model.save(str(folder / "clip"))
