"""Which timesteps are run, against diffusers and the pipelines of official code."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionXLImg2ImgPipeline,
)

from icd_bench.diffusion.samplers import make_sampler
from icd_bench.diffusion.schedule import Schedule
from icd_bench.methods.renoise import ReNoiseSetting, run_jumps

SD = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("scheduler", [DDIMScheduler, EulerAncestralDiscreteScheduler])
def test_trailing_timesteps_are_those_of_diffusers_for_every_number(scheduler: Any) -> None:
    config = {**SD, "timestep_spacing": "trailing"}
    reference, schedule = scheduler(**config), Schedule.from_config(config)
    for steps in range(1, 1001):
        reference.set_timesteps(steps)
        # For some numbers diffusers has one more: -1, which is no timestep.
        expected = [int(t) for t in reference.timesteps if t >= 0]
        assert schedule.ddim_timesteps(steps) == expected, steps


@pytest.mark.parametrize("steps", [4, 7, 50])
@pytest.mark.parametrize("strength", [0.1, 0.3, 0.5, 0.55, 0.75, 0.87, 1.0])
@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_renoise_inverts_as_far_as_the_pipelines_of_its_code(
    family: str, strength: float, steps: int
) -> None:
    reference = DDIMScheduler(**SD)
    reference.set_timesteps(steps)
    pipeline: Any = SimpleNamespace(scheduler=reference)
    if family == "sdxl":
        expected, _ = StableDiffusionXLImg2ImgPipeline.get_timesteps(
            pipeline, steps, strength, "cpu", denoising_start=1 - strength
        )
    else:
        expected, _ = StableDiffusionImg2ImgPipeline.get_timesteps(pipeline, steps, strength, "cpu")
    schedule = Schedule.from_config(SD)
    backbone: Any = SimpleNamespace(family=family, schedule=schedule)
    setting = ReNoiseSetting(sampler="ddim", steps=steps, strength=strength)
    jumps = run_jumps(backbone, make_sampler("ddim", schedule), setting)
    # Of a strength that leaves nothing one step is run.
    assert [t for _, (t, _) in jumps] == (expected.tolist() or [1])
    assert [index for index, _ in jumps] == list(range(steps - len(jumps), steps))
