"""The U-Nets of the embedded model."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn

GUIDANCE_DIM = 512
Module = TypeVar("Module", bound=nn.Module)


def build_unet(guidance_dim: int | None = None) -> UNet2DConditionModel:
    """A Stable-Diffusion U-Net for 16x16 latents, 9.4 M parameters, attention at 16, 8 and 4.

    It attends by plain matrix products: at most 256 tokens and 24 channels a head are too few for
    fused attention, whose backward pass on a CPU takes a third of a training step.

    Args:
        guidance_dim: width of the guidance embedding; None for a plain U-Net.
    """
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(64, 96, 224),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=4,
        norm_num_groups=16,
        cross_attention_dim=128,
        time_cond_proj_dim=guidance_dim,
    )
    with torch.no_grad():
        unet.conv_out.weight.zero_()
        unet.conv_out.bias.zero_()
    unet.set_attn_processor(AttnProcessor())
    return unet


def embed_guidance(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Return a float32 copy that takes a guidance embedding, which at first changes nothing."""
    config: dict[str, Any] = {k: v for k, v in unet.config.items() if not k.startswith("_")}
    config["time_cond_proj_dim"] = GUIDANCE_DIM
    student: UNet2DConditionModel = UNet2DConditionModel.from_config(config)
    student.load_state_dict(unet.state_dict(), strict=False)
    nn.init.zeros_(student.time_embedding.cond_proj.weight)
    return student


def with_guidance(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Return a copy of the embedded model's U-Net that takes a guidance embedding."""
    student = embed_guidance(unet)
    student.set_attn_processor(AttnProcessor())
    student.to(memory_format=torch.channels_last)
    return student


def mixed_precision() -> torch.autocast:
    """Matrix products in bfloat16.

    Without autocast's cache: it is shared by threads, and a cast made under ``no_grad`` by one
    would cut the gradient of another.
    """
    return torch.autocast("cpu", torch.bfloat16, cache_enabled=False)


def replicate(module: Module) -> Module:
    """Return a copy of a module that shares its parameters: for use in another thread."""
    return copy.deepcopy(module, {id(p): p for p in module.parameters()})


def channels_last(x: Tensor) -> Tensor:
    """The memory layout in which convolutions are fastest."""
    return x.contiguous(memory_format=torch.channels_last)


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
