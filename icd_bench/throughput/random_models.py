"""Pipelines of the shapes of real ones with random weights: speed does not depend on the values."""

from __future__ import annotations

from typing import Any, Final

import diffusers
import torch
import transformers
from torch import nn

from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.networks import Networks, UNet
from icd_bench.diffusion.schedule import Schedule
from icd_bench.diffusion.text import DualTextEncoder, TextEncoder
from icd_bench.models import ModelSpec, find_model

RESOLUTIONS: Final = {"sd15-random": 512, "sdxl-random": 1024}
"""Name -> side of the pictures that the real model is made for."""

_GUIDED: Final = {"time_cond_proj_dim": 512}
"""What guidance-distilled U-Nets have beside their teachers."""
_TEXT_TOKENS: Final = 77

_SD15_UNET: Final[dict[str, Any]] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
_SDXL_UNET: Final[dict[str, Any]] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_VAE: Final[dict[str, Any]] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
_CLIP_L: Final[dict[str, Any]] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
_CLIP_BIG_G: Final[dict[str, Any]] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
}


class RandomNetworks(Networks):
    """U-Nets of one shape, each with random weights of its own."""

    def __init__(
        self, spec: ModelSpec, device: torch.device, dtype: torch.dtype, shape: dict[str, Any]
    ) -> None:
        super().__init__(spec, device, dtype)
        self._shape = shape

    def config(self) -> dict[str, Any]:
        """Return the shape."""
        return self._shape

    def _load(self, name: str) -> UNet:
        shape = self._shape | ({} if name == "base" else _GUIDED)
        kind: Any = diffusers.UNet2DConditionModel
        return random_network(kind, shape, self._device, self._dtype)


def random_backbone(
    name: str, device: str, dtype: torch.dtype, resolution: int | None = None
) -> Backbone:
    """Return a pipeline of the shape of Stable Diffusion 1.5 or XL; nothing is fetched.

    Args:
        name: of :data:`RESOLUTIONS`.
        device: torch device.
        dtype: of the networks.
        resolution: side of the pictures, a multiple of 64; default that of the real model.
    """
    place = torch.device(device)
    is_xl = name == "sdxl-random"
    family = "sdxl" if is_xl else "sd"
    spec = ModelSpec(name, f"random {family}", family, resolution or RESOLUTIONS[name], parts=())
    # The autoencoder of Stable Diffusion XL is kept in full precision, as in a real run.
    precision = torch.float32 if is_xl else dtype
    autoencoder: Any = diffusers.AutoencoderKL
    vae = random_network(autoencoder, _VAE, place, precision)
    shape = _SDXL_UNET if is_xl else _SD15_UNET
    return Backbone(
        spec,
        vae,
        _text_encoder(is_xl, place, dtype),
        RandomNetworks(spec, place, dtype, shape),
        Schedule.from_folder(find_model("scenes").folder_of("scheduler")),
    )


def random_network(
    kind: Any, config: dict[str, Any], device: torch.device, dtype: torch.dtype
) -> Any:
    """Return a frozen network: matrices are normal with deviation 0.02, norms are neutral."""
    with torch.device("meta"):
        network = kind(**config)
    nn.Module.to(network, dtype=dtype)
    network.to_empty(device=device)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if weights.ndim > 1:
                weights.normal_(std=0.02)
            else:
                weights.fill_(float(name.endswith("weight")))
    return network.eval().requires_grad_(False)


def _text_encoder(is_xl: bool, device: torch.device, dtype: torch.dtype) -> TextEncoder:
    """Return encoders of the real shape behind the embedded model's own tokenizer."""
    folder = find_model("scenes").folder_of("tokenizer")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.model_max_length = _TEXT_TOKENS
    first = _clip(transformers.CLIPTextModel, _CLIP_L, tokenizer, device, dtype)
    if not is_xl:
        return TextEncoder(tokenizer, first)
    kind = transformers.CLIPTextModelWithProjection
    second = _clip(kind, _CLIP_BIG_G, tokenizer, device, dtype)
    return DualTextEncoder(tokenizer, first, tokenizer, second)


def _clip(
    kind: Any, shape: dict[str, Any], tokenizer: Any, device: torch.device, dtype: torch.dtype
) -> Any:
    config = transformers.CLIPTextConfig(
        max_position_embeddings=_TEXT_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **shape,
    )
    with torch.device(device):
        return kind(config).to(dtype)
