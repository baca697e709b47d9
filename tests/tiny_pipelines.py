"""Pipelines of a few thousand parameters, 16x16 pixels, and pictures to train them on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from icd_bench.models import find_model
from icd_bench.training.networks import build_scheduler

SIDE = 16
WORDS = ("red", "blue", "green", "yellow")


def tiny_unet(text_width: int, **more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1,
        block_out_channels=(16, 16), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=2,
        norm_num_groups=8, cross_attention_dim=text_width, **more,
    )  # fmt: skip


def write_pipeline(folder: Path, family: str = "sd", distilled: bool = True) -> Path:
    """Write a model folder without adapters."""
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4,
        mid_block_add_attention=False, sample_size=SIDE,
    )  # fmt: skip
    vae.save_pretrained(folder / "vae")
    build_scheduler().save_pretrained(folder / "scheduler")
    tokenizer = find_model("scenes").folder_of("tokenizer")
    width = {"sd": 12, "sdxl": 8}[family]
    config = CLIPTextConfig(
        vocab_size=657, hidden_size=width, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=32, projection_dim=8, bos_token_id=655,
        eos_token_id=656, pad_token_id=656,
    )  # fmt: skip
    shutil.copytree(tokenizer, folder / "tokenizer")
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    unets = {"unet": {}, "unet_cfg_distilled": {"time_cond_proj_dim": 512}}
    if family == "sd":
        index, more = {"_class_name": "StableDiffusionPipeline"}, {}
    else:
        shutil.copytree(tokenizer, folder / "tokenizer_2")
        CLIPTextModelWithProjection(config).save_pretrained(folder / "text_encoder_2")
        index = {"_class_name": "StableDiffusionXLPipeline"}
        more = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 4,
            "projection_class_embeddings_input_dim": 8 + 6 * 4,
        }
        width *= 2
    for name, own in unets.items():
        if name == "unet" or distilled:
            tiny_unet(width, **own, **more).save_pretrained(folder / name)
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def picture(number: int, width: int = 24, height: int = 20) -> Image.Image:
    """Smooth colours, different for every number."""
    generator = np.random.default_rng(number)
    small = generator.integers(0, 255, (3, 3, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height))


def caption(number: int) -> str:
    return f"{WORDS[number % len(WORDS)]} picture {number}"


def write_pictures(folder: Path, count: int = 12) -> Path:
    """Write pictures with their captions beside them."""
    folder.mkdir(parents=True)
    for number in range(count):
        picture(number).save(folder / f"{number:03}.png")
        (folder / f"{number:03}.txt").write_text(caption(number))
    return folder
