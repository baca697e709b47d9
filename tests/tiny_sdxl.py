"""A Stable-Diffusion-XL-shaped model of a few kilobytes, in the folder layout, at 32 pixels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import diffusers
import torch
import transformers
from golden_cases import GOLDEN
from safetensors.torch import save_file
from torch import nn

from icd_bench.diffusion.timestep_sets import RELEASED

WIDTH, POOLED, RANK = 8, 12, 2
ADAPTED = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.2", "conv1", "time_emb_proj")
"""Some of the modules that the released adapters change."""


def make_tiny_sdxl(folder: Path) -> Path:
    """Write a pipeline, its guidance-distilled U-Net, and adapters for the sets 4a and 4b."""
    torch.manual_seed(0)
    pipeline().save_pretrained(folder)
    write_tokenizers(folder)
    distilled = unet(time_cond_proj_dim=16)
    distilled.save_pretrained(folder / "unet_cfg_distilled")
    (folder / "icd").mkdir()
    for name in ("4a", "4b"):
        for file in (RELEASED[name].forward_file, RELEASED[name].reverse_file):
            save_file(adapters(distilled), folder / "icd" / file)
    (folder / "lcm").mkdir()
    save_file(adapters(distilled), folder / "lcm" / "lora.safetensors")
    return folder


def make_turbo(folder: Path, source: Path) -> Path:
    """Write the same pipeline with the sampler of SDXL-Turbo."""
    shutil.copytree(source, folder)
    file = folder / "scheduler" / "scheduler_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(config | {"timestep_spacing": "trailing"}), encoding="utf-8")
    return folder


def write_tokenizers(folder: Path) -> None:
    """Write both as they are released: files of words and merges, the second pads with "!"."""
    for name in ("tokenizer", "tokenizer_2"):
        shutil.rmtree(folder / name)
        shutil.copytree(GOLDEN / "tiny-sd" / "tokenizer", folder / name)
    file = folder / "tokenizer_2" / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(config | {"pad_token": "!"}), encoding="utf-8")


def pipeline() -> diffusers.StableDiffusionXLPipeline:
    tokenizer = transformers.CLIPTokenizer.from_pretrained(GOLDEN / "tiny-sd" / "tokenizer")
    return diffusers.StableDiffusionXLPipeline(
        vae=diffusers.AutoencoderKL(
            block_out_channels=(4, 4),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=2,
            scaling_factor=0.13025,
        ),
        text_encoder=transformers.CLIPTextModel(text_config()),
        text_encoder_2=transformers.CLIPTextModelWithProjection(text_config()),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet(),
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
    )


def text_config() -> transformers.CLIPTextConfig:
    return transformers.CLIPTextConfig(
        hidden_size=WIDTH,
        intermediate_size=8,
        num_attention_heads=2,
        num_hidden_layers=2,
        projection_dim=POOLED,
    )


def unet(time_cond_proj_dim: int | None = None) -> diffusers.UNet2DConditionModel:
    return diffusers.UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=2 * WIDTH,
        attention_head_dim=2,
        norm_num_groups=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=POOLED + 6 * 4,
        time_cond_proj_dim=time_cond_proj_dim,
    )


def adapters(network: nn.Module) -> dict[str, torch.Tensor]:
    """Random adapters in the released key format."""
    tensors = {}
    for name, module in network.named_modules():
        if name.endswith(ADAPTED):
            weight = module.weight
            key = f"unet.base_model.model.{name}"
            kernel = weight.shape[2:]
            tensors[f"{key}.lora_A.weight"] = torch.randn(RANK, weight.shape[1], *kernel) / 4
            tensors[f"{key}.lora_B.weight"] = (
                torch.randn(len(weight), RANK, *(1,) * len(kernel)) / 4
            )
    return tensors
