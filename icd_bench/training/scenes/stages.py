"""The stages, from nothing to the last adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from icd_bench.diffusion.timestep_sets import timestep_set
from icd_bench.errors import UsageError
from icd_bench.registry import suggest
from icd_bench.training.adapters import Adapters
from icd_bench.training.cfg_distill import CfgDistillTask
from icd_bench.training.denoiser import DenoiserTask
from icd_bench.training.icd import ALL_LOSSES, FORWARD, REVERSE, IcdTask, Weights
from icd_bench.training.lcm import NAME as LCM
from icd_bench.training.lcm import LcmTask
from icd_bench.training.loop import Plan, Task, Trainer
from icd_bench.training.losses import Boundaries
from icd_bench.training.networks import build_unet, with_guidance

from . import autoencoder, clip
from .ablations import ABLATIONS
from .autoencoder import AutoencoderTask
from .clip import ClipTask
from .plans import PLANS
from .recipe import ALPHA, RANK, Recipe
from .validation import compare_distilled, reconstruct, sample, sample_lcm


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
    return ClipTask(
        model, heads, recipe.tokenizer, recipe.world, *pictures, recipe.latents, recipe.decode,
        plan.batch_size,
    )  # fmt: skip


def denoiser_task(recipe: Recipe, plan: Plan) -> Task:
    """Stage 3."""
    return DenoiserTask(
        build_unet().to(memory_format=torch.channels_last), recipe.untrained_text_encoder(),
        recipe.latents, recipe.levels, plan.batch_size, plan.seed, partial(sample, recipe),
        recipe.judge, plan.threads,
    )  # fmt: skip


def cfg_distill_task(recipe: Recipe, plan: Plan) -> Task:
    """Stage 4."""
    teacher = recipe.denoiser[0]
    return CfgDistillTask(
        with_guidance(teacher), teacher, recipe.examples(plan), recipe.null_text, recipe.levels,
        partial(compare_distilled, recipe), threads=plan.threads,
    )  # fmt: skip


def icd_task(recipe: Recipe, plan: Plan, timesteps: str, weights: Weights = ALL_LOSSES) -> Task:
    """Stage 5, for one timestep set."""
    adapters = Adapters(recipe.cfg_distilled, (REVERSE, FORWARD), RANK, ALPHA)
    boundaries = Boundaries.of(timestep_set(timesteps))
    replicas = [adapters, *(adapters.replica() for _ in range(plan.threads - 1))]
    return IcdTask(
        replicas, recipe.examples(plan), recipe.levels, boundaries,
        partial(reconstruct, recipe, adapters, boundaries), weights=weights,
    )  # fmt: skip


def lcm_task(recipe: Recipe, plan: Plan) -> Task:
    """Stage 6."""
    adapters = Adapters(recipe.denoiser[0], (LCM,), RANK, ALPHA)
    replicas = [adapters, *(adapters.replica() for _ in range(plan.threads - 1))]
    return LcmTask(
        replicas, recipe.cfg_distilled, recipe.examples(plan), recipe.levels,
        partial(sample_lcm, recipe, adapters),
    )  # fmt: skip


STAGES: dict[str, Callable[[Recipe, Plan], Task]] = {
    "autoencoder": autoencoder_task,
    "clip": clip_task,
    "denoiser": denoiser_task,
    "cfg-distill": cfg_distill_task,
    "icd-4a": partial(icd_task, timesteps="4a"),
    "icd-4b": partial(icd_task, timesteps="4b"),
    "icd-3": partial(icd_task, timesteps="3"),
    "lcm": lcm_task,
    **{
        name: partial(icd_task, timesteps=ablation.timesteps, weights=ablation.weights)
        for name, ablation in ABLATIONS.items()
    },
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
