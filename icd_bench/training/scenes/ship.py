"""From finished stages to the shipped folder, its measurement and its card."""

from __future__ import annotations

import copy
from pathlib import Path

from icd_bench.diffusion.timestep_sets import timestep_set
from icd_bench.training.adapters import Adapters
from icd_bench.training.icd import FORWARD, REVERSE
from icd_bench.training.lcm import NAME as LCM
from icd_bench.training.loop import CHECKPOINT
from icd_bench.training.networks import build_scheduler

from .ablations import ABLATIONS, FURTHER_RANK
from .bars import SCENES, Measurement, measure
from .card import StageRecord, write_card
from .data import load_world
from .model_folder import export_clip, export_icd, export_pipeline, export_unet
from .recipe import ALPHA, RANK, Recipe
from .stages import STAGES

SETS: dict[str, int | None] = {"4a": None, "4b": FURTHER_RANK, "3": FURTHER_RANK}
"""Timestep sets with all losses, and the rank that they are shipped with."""


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
    written += export_consistency_models(recipe, folder)
    if (out / "lcm" / CHECKPOINT).exists():
        adapters = Adapters(copy.deepcopy(unet), (LCM,), RANK, ALPHA)
        recipe.averaged("lcm", LCM, adapters.module(LCM))
        adapters.save(LCM, folder / "lcm" / "lora.safetensors")
        written.append("lcm")
    return written


def export_consistency_models(recipe: Recipe, folder: Path) -> list[str]:
    """Write the adapters of every stage of iCD; return the stages."""
    own = {
        f"icd-{name}": (name, folder / "icd", (FORWARD, REVERSE), rank)
        for name, rank in SETS.items()
    }
    others = {
        stage: (a.timesteps, folder / "icd" / "ablations" / a.losses, a.moved, FURTHER_RANK)
        for stage, a in ABLATIONS.items()
    }
    stages = [s for s in (*own, *others) if (recipe.out / s / CHECKPOINT).exists()]
    if not stages:
        return []
    adapters = Adapters(copy.deepcopy(recipe.cfg_distilled), (REVERSE, FORWARD), RANK, ALPHA)
    for stage in stages:
        for part in (REVERSE, FORWARD):
            recipe.averaged(stage, part, adapters.module(part))
        name, place, parts, rank = (own | others)[stage]
        export_icd(place, adapters, timestep_set(name), parts, rank)
    return stages


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
