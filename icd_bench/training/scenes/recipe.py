"""What the stages share: data, and the networks that earlier stages made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import open_clip
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import safe_open
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from icd_bench.errors import UsageError
from icd_bench.training.batch import ExamplesOf
from icd_bench.training.latents import Latents
from icd_bench.training.loop import CHECKPOINT, Plan
from icd_bench.training.losses import Levels
from icd_bench.training.networks import build_scheduler, build_unet, with_guidance

from . import autoencoder, clip
from .data import Pictures, World, draw_pictures, load_world
from .tokenizer import build_tokenizer

TRAIN_PICTURES, DEV_PICTURES = 40_000, 512
RANK, ALPHA = 12, 12


@dataclass
class Recipe:
    """Everything the stages share, built on demand from the stages before.

    Args:
        out: folder of caches and checkpoints, one folder a stage.
        seed: of every stage.
    """

    out: Path
    seed: int = 0

    @cached_property
    def world(self) -> World:
        """The grammar and renderer."""
        return load_world("scenes")

    @cached_property
    def train_pictures(self) -> Pictures:
        """Pictures that weights are fitted to."""
        return draw_pictures(self.world, "train", TRAIN_PICTURES, self.out / "cache")

    @cached_property
    def dev_pictures(self) -> Pictures:
        """Pictures that progress is watched on."""
        return draw_pictures(self.world, "dev", DEV_PICTURES, self.out / "cache")

    @cached_property
    def tokenizer(self) -> CLIPTokenizer:
        """One token a word."""
        return build_tokenizer(self.world.vocabulary)

    @cached_property
    def levels(self) -> Levels:
        """Stable Diffusion's noise levels."""
        return Levels(build_scheduler().alphas_cumprod)

    def averaged(self, stage: str, name: str, module: nn.Module) -> None:
        """Load the averaged weights of a finished stage into ``module``."""
        path = self.out / stage / CHECKPOINT
        if not path.exists():
            raise UsageError(f"{path}: not there; first run stage {stage}")
        with safe_open(path, framework="pt") as file:
            keys = set(file.keys())
            kind = "average" if any(k.startswith("average.") for k in keys) else "weights"
            with torch.no_grad():
                for key, parameter in module.named_parameters():
                    if f"{kind}.{name}.{key}" in keys:
                        parameter.copy_(file.get_tensor(f"{kind}.{name}.{key}"))
                for key, buffer in module.named_buffers():
                    if f"buffers.{name}.{key}" in keys:
                        buffer.copy_(file.get_tensor(f"buffers.{name}.{key}"))

    @cached_property
    def vae(self) -> AutoencoderKL:
        """The trained autoencoder with its scaling factor (1 / standard deviation of latents)."""
        vae = autoencoder.build_autoencoder()
        self.averaged("autoencoder", "vae", vae)
        vae.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        x = self.train_pictures.batch(torch.arange(512))
        scale = 1 / float(autoencoder.encode(vae, x, scale=1.0).std())
        vae.register_to_config(scaling_factor=round(scale, 5))
        return vae

    @cached_property
    def clip(self) -> open_clip.CLIP:
        """The trained CLIP of the world."""
        model = clip.build_clip(len(self.tokenizer))
        self.averaged("clip", "clip", model)
        return model.eval().requires_grad_(False)

    @cached_property
    def latents(self) -> Latents:
        """The training pictures, encoded once for each autoencoder and cached."""
        path = self.out / "cache" / f"latents-{digest(self.vae)}.npy"
        scale = self.vae.config.scaling_factor
        if not path.exists():
            parts = [
                autoencoder.encode(self.vae, self.train_pictures.batch(rows), scale).half()
                for rows in torch.arange(len(self.train_pictures)).split(500)
            ]
            np.save(path, torch.cat(parts).numpy())
        ids = torch.cat(
            [
                clip.tokenize(self.tokenizer, self.train_pictures.captions[i : i + 2000])
                for i in range(0, len(self.train_pictures), 2000)
            ]
        )
        empty = clip.tokenize(self.tokenizer, [""])[0]
        return Latents(torch.from_numpy(np.load(path)), ids, empty)

    def judge(self, pictures: Tensor, captions: Sequence[str]) -> dict[str, float]:
        """Share of pictures whose caption wins against every one that differs in an attribute."""
        hits = clip.attribute_hits(self.clip, self.tokenizer, self.world, pictures, captions)
        return {name: float(found.mean()) for name, found in hits.items()}

    def untrained_text_encoder(self) -> CLIPTextModel:
        """What the denoiser stage starts from: the text tower of the world's CLIP."""
        return clip.text_encoder_from(self.clip, self.tokenizer)

    @cached_property
    def denoiser(self) -> tuple[UNet2DConditionModel, CLIPTextModel]:
        """The trained U-Net and text encoder."""
        unet, text_encoder = build_unet(), self.untrained_text_encoder()
        self.averaged("denoiser", "unet", unet)
        self.averaged("denoiser", "text_encoder", text_encoder)
        unet.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        return unet, text_encoder.eval().requires_grad_(False)

    @cached_property
    def cfg_distilled(self) -> UNet2DConditionModel:
        """The trained w-embedded U-Net."""
        unet = with_guidance(self.denoiser[0])
        self.averaged("cfg-distill", "unet", unet)
        return unet.eval().requires_grad_(False)

    def encode(self, ids: Tensor) -> Tensor:
        """Token ids (R, 32) -> text states (R, 32, 128)."""
        states: Tensor = self.denoiser[1](ids).last_hidden_state
        return states

    def examples(self, plan: Plan) -> ExamplesOf:
        """Encoded training pairs by step."""
        return partial(self.latents.examples, self.encode, plan.batch_size, plan.seed)

    def null_text(self) -> Tensor:
        """Text states (1, 32, 128) of the empty prompt."""
        return self.latents.null_text(self.encode)

    def dev_text(self, count: int) -> Tensor:
        """Text states of the first dev captions."""
        captions = self.dev_pictures.captions[:count]
        with torch.no_grad():
            return self.encode(clip.tokenize(self.tokenizer, captions))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents -> pictures in [0, 1]."""
        return autoencoder.decode(self.vae, latents, self.vae.config.scaling_factor)


def digest(module: nn.Module) -> str:
    """The first 12 hex digits of SHA-256 over a module's weights."""
    found = sha256()
    for value in module.state_dict().values():
        found.update(value.contiguous().numpy().tobytes())
    return found.hexdigest()[:12]
