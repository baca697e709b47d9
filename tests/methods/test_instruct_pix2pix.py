"""InstructPix2Pix on a tiny untrained pipeline, saved in the layout of the real one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import (
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
)
from golden_cases import assert_close

from icd_bench.api import Batch, BlendWords
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.noise import generator, randn
from icd_bench.errors import MissingWeights, UsageError
from icd_bench.methods.instruct_pix2pix import InstructPix2Pix, InstructPix2PixSetting
from icd_bench.models import find_model

STEPS = 3
SETTINGS = [
    InstructPix2PixSetting(steps=STEPS),
    InstructPix2PixSetting(steps=STEPS, guidance_scale=3.0, image_guidance_scale=2.0),
]


@pytest.fixture
def folder(instructed_folder: Path) -> Path:
    return instructed_folder


@pytest.fixture
def backbone(instructed: Backbone) -> Backbone:
    return instructed


@pytest.fixture
def batch() -> Batch:
    images = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    return Batch(
        ids=("a", "b", "c"),
        images=images,
        source_prompts=("a cat", "a dog", "a road"),
        target_prompts=("a tiger", "a wolf", "a road in winter"),
        blend_words=(BlendWords(),) * 3,
        seeds=(11, 12, 13),
        instructions=("make it a tiger", "", "let it snow"),
    )


def alone(batch: Batch, member: int) -> Batch:
    chosen = slice(member, member + 1)
    return replace(
        batch,
        ids=batch.ids[chosen],
        images=batch.images[chosen],
        source_prompts=batch.source_prompts[chosen],
        target_prompts=batch.target_prompts[chosen],
        blend_words=batch.blend_words[chosen],
        seeds=batch.seeds[chosen],
        instructions=batch.instructions[chosen],
    )


def run(backbone: Backbone, batch: Batch, settings: list[InstructPix2PixSetting]):
    method = InstructPix2Pix()
    return method.edit(backbone, batch, method.invert(backbone, batch, settings[0]), settings)


def test_edits_are_those_of_the_saved_pipeline(
    folder: Path, backbone: Backbone, batch: Batch
) -> None:
    edits = run(backbone, batch, SETTINGS)

    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.scheduler = EulerAncestralDiscreteScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        prompt=batch.instructions[2],
        image=batch.images[2:],
        latents=randn(batch.seeds[2:], (4, 16, 16), "instruct_pix2pix/start"),
        generator=generator(batch.seeds[2], "instruct_pix2pix/steps"),
        num_inference_steps=STEPS,
        guidance_scale=3.0,
        image_guidance_scale=2.0,
        output_type="pt",
    ).images
    assert_close(edits.images[2, 1], expected[0], 1e-4)


def test_batch_and_micro_batches_do_not_matter(backbone: Backbone, batch: Batch) -> None:
    together = run(backbone, batch, SETTINGS)
    backbone.max_rows = 6
    split = run(backbone, batch, SETTINGS[::-1])
    assert_close(split.images.flip(1), together.images, 1e-4)
    single = run(backbone, alone(batch, 1), SETTINGS[1:])
    assert_close(single.images[0, 0], together.images[1, 1], 1e-4)


def test_a_missing_instruction_is_made_up_and_reported(backbone: Backbone, batch: Batch) -> None:
    edits = run(backbone, batch, SETTINGS[:1])
    assert edits.warnings[0] == edits.warnings[2] == ((),)
    assert "turn it into a wolf" in edits.warnings[1][0][0]
    told = replace(alone(batch, 1), instructions=("turn it into a wolf",))
    assert_close(run(backbone, told, SETTINGS[:1]).images[0], edits.images[1], 1e-4)


def test_other_models_are_refused(small: Backbone, batch: Batch) -> None:
    with pytest.raises(UsageError, match="instruct-pix2pix"):
        run(small, batch, SETTINGS)


def test_the_real_model_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    spec = find_model("instruct-pix2pix")
    with pytest.raises(MissingWeights, match="timbrooks/instruct-pix2pix"):
        spec.folder_of("unet")
