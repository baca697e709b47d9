"""The recipe of the embedded ``scenes`` model: its stages, from nothing to the shipped folder."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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

from icd_bench.diffusion.guidance import guidance_embedding
from icd_bench.diffusion.timestep_sets import START, timestep_set
from icd_bench.errors import UsageError
from icd_bench.registry import suggest

from . import autoencoder, clip
from .adapters import Adapters
from .autoencoder import AutoencoderTask
from .bars import BARRED, SCENES, Measurement, measure
from .card import StageRecord, write_card
from .cfg_distill import CfgDistillTask
from .clip import ClipTask
from .data import Pictures, World, draw_pictures, load_world
from .denoiser import DenoiserTask
from .export import export_clip, export_icd, export_pipeline, export_unet
from .icd import (
    FORWARD,
    REVERSE,
    IcdTask,
    chain,
    generation_steps,
    inversion_steps,
    predictor,
)
from .latents import Latents
from .lcm import NAME as LCM
from .lcm import LcmTask
from .loop import CHECKPOINT, Plan, Task, Trainer
from .losses import Boundaries, Levels
from .networks import (
    GUIDANCE_DIM,
    build_scheduler,
    build_unet,
    mixed_precision,
    with_guidance,
)
from .pictures import psnr, write_sheet
from .sampling import ddim_timesteps, denoise
from .tokenizer import build_tokenizer

TRAIN_PICTURES, DEV_PICTURES = 40_000, 512
RANK, ALPHA = 12, 12
_ICD = Plan(
    500, 8, lr=5e-4, warmup=20, ema=0.98, betas=(0.9, 0.99), validate_every=100, checkpoint_every=50
)

# About three hours on two quiet cores, most of them for the denoiser.
PLANS: dict[str, Plan] = {
    "autoencoder": Plan(
        6000, 16, lr=2e-3, ema=0.995, betas=(0.9, 0.99), validate_every=250, checkpoint_every=250
    ),
    "clip": Plan(
        4000, 64, lr=1e-3, warmup=50, weight_decay=0.01, ema=0.99, threads=1,
        validate_every=200, checkpoint_every=100,
    ),
    "denoiser": Plan(
        8000, 32, lr=1e-3, warmup=150, ema=0.998, betas=(0.9, 0.99),
        validate_every=500, checkpoint_every=150,
    ),
    "cfg-distill": Plan(
        1200, 16, lr=4e-4, warmup=20, ema=0.98, betas=(0.9, 0.99),
        validate_every=200, checkpoint_every=50,
    ),
    "icd-4a": _ICD,
    "icd-4b": _ICD,
    "icd-3": _ICD,
    "lcm": replace(_ICD, steps=300, batch_size=16),
}  # fmt: skip


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

    @torch.no_grad()
    def sample(
        self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel, count: int = 64,
        scale: float = 4.0, steps: int = 20,
    ) -> tuple[Tensor, list[str]]:  # fmt: skip
        """Pictures of dev captions under classifier-free guidance."""
        captions = list(self.dev_pictures.captions[:count])
        ids = clip.tokenize(self.tokenizer, ["", *captions])
        with mixed_precision():
            text = text_encoder(ids).last_hidden_state
        rows = torch.cat([text[:1].expand(count, -1, -1), text[1:]])

        def predict(x: Tensor, t: Tensor) -> Tensor:
            with mixed_precision():
                both: Tensor = unet(x.repeat(2, 1, 1, 1), t.repeat(2), rows).sample
            null, conditional = both.float().chunk(2)
            return null + scale * (conditional - null)

        x = torch.randn(count, 4, 16, 16, generator=torch.Generator().manual_seed(1))
        x = denoise(x, predict, ddim_timesteps(steps), self.levels.alphas_cumprod)
        return autoencoder.decode(self.vae, x, self.vae.config.scaling_factor), captions

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

    def dev_text(self, count: int) -> Tensor:
        """Text states of the first dev captions."""
        captions = self.dev_pictures.captions[:count]
        with torch.no_grad():
            return self.encode(clip.tokenize(self.tokenizer, captions))

    @torch.no_grad()
    def sample_distilled(self, unet: UNet2DConditionModel) -> tuple[Tensor, list[str]]:
        """Pictures of dev captions at guidance 4, one row a step."""
        count = 64
        text = self.dev_text(count)
        guidance = guidance_embedding(torch.full((count,), 4.0), GUIDANCE_DIM)

        def predict(x: Tensor, t: Tensor) -> Tensor:
            with mixed_precision():
                eps: Tensor = unet(x, t, text, timestep_cond=guidance).sample
            return eps.float()

        x = torch.randn(count, 4, 16, 16, generator=torch.Generator().manual_seed(1))
        x = denoise(x, predict, ddim_timesteps(20), self.levels.alphas_cumprod)
        return self.decode(x), list(self.dev_pictures.captions[:count])

    def decode(self, latents: Tensor) -> Tensor:
        """Latents -> pictures in [0, 1]."""
        return autoencoder.decode(self.vae, latents, self.vae.config.scaling_factor)

    @torch.no_grad()
    def reconstruct(
        self, adapters: Adapters, boundaries: Boundaries, folder: Path, step: int
    ) -> dict[str, float]:
        """Unguided inversion and reconstruction of 64 dev pictures, and guided generation."""
        count = 64
        x = self.dev_pictures.batch(torch.arange(count))
        x0 = autoencoder.encode(self.vae, x, self.vae.config.scaling_factor)
        noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
        text, unguided = self.dev_text(count), torch.ones(count)
        cd, fcd = (predictor(adapters, name, text) for name in (REVERSE, FORWARD))
        start = self.levels.noised(x0, noise, torch.full((count,), START))
        noisy = chain(start, inversion_steps(boundaries), fcd, unguided, self.levels)
        back = chain(noisy, generation_steps(boundaries), cd, unguided, self.levels)
        fresh = torch.randn(x0.shape, generator=torch.Generator().manual_seed(2))
        made = chain(fresh, generation_steps(boundaries), cd, 4 * unguided, self.levels)
        y, z = self.decode(back), self.decode(made)
        write_sheet(folder / f"reconstructions-{step:06d}.png", [x[:12], y[:12], z[:12]])
        figures = {"psnr": float(psnr(x, y).mean()), "noise_std": float(noisy.std())}
        judged = self.judge(z, self.dev_pictures.captions)
        return figures | {f"generated_{name}": judged[name] for name in BARRED}

    @torch.no_grad()
    def sample_lcm(self, adapters: Adapters, folder: Path, step: int) -> dict[str, float]:
        """Pictures of dev captions in four consistency steps."""
        count, timesteps = 64, (259, 519, 779, 999)
        text = self.dev_text(count)
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(count, 4, 16, 16, generator=generator)
        for t in reversed(timesteps):
            at = torch.full((count,), t)
            with adapters.active(LCM) as unet, mixed_precision():
                eps = unet(x, at, text).sample.float()
            x0 = self.levels.jump(x, eps, at, torch.zeros_like(at))
            noise = torch.randn(x.shape, generator=generator)
            x = x0 if t == timesteps[0] else self.levels.noised(x0, noise, at - 260)
        pictures = self.decode(x)
        write_sheet(folder / f"samples-{step:06d}.png", [pictures[:12], pictures[12:24]])
        return self.judge(pictures, self.dev_pictures.captions)


def digest(module: nn.Module) -> str:
    """The first 12 hex digits of SHA-256 over a module's weights."""
    found = sha256()
    for value in module.state_dict().values():
        found.update(value.contiguous().numpy().tobytes())
    return found.hexdigest()[:12]


# ----------------------------------------------------------------------------- stages


def autoencoder_task(recipe: Recipe, plan: Plan) -> Task:
    """Stage 1."""
    vae = autoencoder.build_autoencoder().to(memory_format=torch.channels_last)
    pictures = recipe.train_pictures, recipe.dev_pictures
    return AutoencoderTask(vae, *pictures, plan.batch_size, plan.threads)


def clip_task(recipe: Recipe, plan: Plan) -> Task:
    """Stage 2."""
    model = clip.build_clip(len(recipe.tokenizer)).to(memory_format=torch.channels_last)
    pictures = recipe.train_pictures, recipe.dev_pictures
    heads = clip.AttributeHeads(recipe.world, recipe.train_pictures.captions)
    return ClipTask(model, heads, recipe.tokenizer, recipe.world, *pictures, plan.batch_size)


def denoiser_task(recipe: Recipe, plan: Plan) -> Task:
    """Stage 3."""
    return DenoiserTask(
        build_unet().to(memory_format=torch.channels_last), recipe.untrained_text_encoder(),
        recipe.latents, recipe.levels, plan.batch_size, plan.seed, recipe.sample, recipe.judge,
        plan.threads,
    )  # fmt: skip


def cfg_distill_task(recipe: Recipe, plan: Plan) -> Task:
    """Stage 4."""
    teacher = recipe.denoiser[0]
    return CfgDistillTask(
        with_guidance(teacher), teacher, recipe.encode, recipe.latents, recipe.levels,
        plan.batch_size, plan.seed, recipe.sample_distilled, recipe.judge, plan.threads,
    )  # fmt: skip


def icd_task(recipe: Recipe, plan: Plan, name: str) -> Task:
    """Stage 5, for one timestep set."""
    adapters = Adapters(recipe.cfg_distilled, (REVERSE, FORWARD), RANK, ALPHA)
    boundaries = Boundaries.of(timestep_set(name))
    replicas = [adapters, *(adapters.replica() for _ in range(plan.threads - 1))]
    return IcdTask(
        replicas, recipe.encode, recipe.latents, recipe.levels, boundaries, plan.batch_size,
        plan.seed, partial(recipe.reconstruct, adapters, boundaries),
    )  # fmt: skip


def lcm_task(recipe: Recipe, plan: Plan) -> Task:
    """Stage 6."""
    adapters = Adapters(recipe.denoiser[0], (LCM,), RANK, ALPHA)
    replicas = [adapters, *(adapters.replica() for _ in range(plan.threads - 1))]
    return LcmTask(
        replicas, recipe.cfg_distilled, recipe.encode, recipe.latents, recipe.levels,
        plan.batch_size, plan.seed, partial(recipe.sample_lcm, adapters),
    )  # fmt: skip


STAGES: dict[str, Callable[[Recipe, Plan], Task]] = {
    "autoencoder": autoencoder_task,
    "clip": clip_task,
    "denoiser": denoiser_task,
    "cfg-distill": cfg_distill_task,
    "icd-4a": partial(icd_task, name="4a"),
    "icd-4b": partial(icd_task, name="4b"),
    "icd-3": partial(icd_task, name="3"),
    "lcm": lcm_task,
}


def train(
    stage: str, out: Path, steps: int | None = None, seed: int = 0, fresh: bool = False
) -> dict[str, float]:
    """Train one stage, continuing from its checkpoint unless ``fresh``; return its last figures.

    Args:
        stage: one of ``STAGES``; the stages before it have to be finished in ``out``.
        out: folder of caches and checkpoints.
        steps: total number of steps; None takes the recipe's.

    Raises:
        UsageError: unknown stage, or a stage before it is missing.
    """
    if stage not in STAGES:
        raise UsageError(
            f'unknown stage "{stage}".{suggest(stage, STAGES)} Known: {", ".join(STAGES)}'
        )
    plan = replace(PLANS[stage], seed=seed)
    plan = plan if steps is None else replace(plan, steps=steps)
    torch.manual_seed(seed)
    trainer = Trainer(STAGES[stage](Recipe(out, seed), plan), plan, out / stage)
    if fresh or not trainer.resume():
        trainer.start_over()
    return trainer.train()


def export(out: Path, folder: Path) -> list[str]:
    """Write every finished stage in ``out`` into a model folder; return what was written."""
    recipe = Recipe(out)
    unet, text_encoder = recipe.denoiser
    export_pipeline(folder, recipe.vae, text_encoder, recipe.tokenizer, unet, build_scheduler())
    export_clip(folder, recipe.clip, recipe.tokenizer)
    written = ["pipeline", "clip"]
    if (out / "cfg-distill" / CHECKPOINT).exists():
        export_unet(folder, recipe.cfg_distilled)
        written.append("cfg-distill")
    for name in ("4a", "4b", "3"):
        stage = f"icd-{name}"
        if (out / stage / CHECKPOINT).exists():
            adapters = Adapters(
                copy.deepcopy(recipe.cfg_distilled), (REVERSE, FORWARD), RANK, ALPHA
            )
            for part in (REVERSE, FORWARD):
                recipe.averaged(stage, part, adapters.module(part))
            export_icd(folder, adapters, timestep_set(name))
            written.append(stage)
    if (out / "lcm" / CHECKPOINT).exists():
        adapters = Adapters(copy.deepcopy(unet), (LCM,), RANK, ALPHA)
        recipe.averaged("lcm", LCM, adapters.module(LCM))
        adapters.save(LCM, folder / "lcm" / "lora.safetensors")
        written.append("lcm")
    return written


def measure_bars(out: Path, folder: Path, count: int = SCENES) -> Measurement:
    """Measure an exported model folder on the test split; write its card and ``bars.json``.

    A ``notes.md`` in ``out`` becomes part of the card.
    """
    measured = measure(folder, load_world("scenes"), count, sheets=out)
    stages = [name for name in STAGES if (out / name / CHECKPOINT).exists()]
    write_card(folder, [StageRecord.read(out, name) for name in stages], measured, _notes(out))
    return measured


def _notes(out: Path) -> str:
    path = out / "notes.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main() -> None:
    """``python -m icd_bench.training.scenes STAGE --out DIR``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=[*STAGES, "export", "bars"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--folder", type=Path, help="the model folder of export and bars")
    parser.add_argument("--scenes", type=int, default=SCENES, help="number of scenes of bars")
    given = parser.parse_args()
    if given.stage == "export":
        print(", ".join(export(given.out, given.folder)))
    elif given.stage == "bars":
        print(measure_bars(given.out, given.folder, given.scenes).record())
    else:
        print(train(given.stage, given.out, given.steps, given.seed, given.fresh))


if __name__ == "__main__":
    main()
