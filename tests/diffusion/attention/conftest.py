"""Golden Prompt-to-Prompt cases, their tokenizer, and a U-Net small enough to run often."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTokenizer

GOLDEN = Path(__file__).parents[2] / "golden" / "p2p"


@dataclass(frozen=True)
class Case:
    settings: dict[str, Any]
    tensors: dict[str, Tensor]


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Case]:
    def load(name: str) -> Case:
        return Case(
            json.loads((GOLDEN / name / "case.json").read_text()),
            load_file(GOLDEN / name / "tensors.safetensors"),
        )

    return load


@pytest.fixture(scope="session")
def tokenizer() -> CLIPTokenizer:
    """CLIP's own, cut to the tokens of the golden prompts."""
    return CLIPTokenizer.from_pretrained(GOLDEN / "tokenizer")


@pytest.fixture(scope="session")
def unet() -> UNet2DConditionModel:
    """Random, for 8x8 latents, with attention at 8x8 and 4x4, in float64.

    Untrained networks with sharp attention amplify rounding; in float64 it stays invisible.
    """
    torch.manual_seed(0)
    network = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=8,
    )
    for name, weight in network.named_parameters():
        if "to_q" in name or "to_k" in name:
            torch.nn.init.normal_(weight, std=0.7)  # sharp, uneven attention
    return network.eval().double().requires_grad_(False)
