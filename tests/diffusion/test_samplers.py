"""Samplers against diffusers, and their inversion against themselves."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from golden_cases import assert_close, tiny_sd_spec
from torch import Tensor

from icd_bench.diffusion.samplers import (
    EulerAncestralSampler,
    SamplerName,
    boundary_scalings,
    make_sampler,
)
from icd_bench.diffusion.schedule import Schedule
from icd_bench.diffusion.timestep_sets import CLEAN

NAMES: list[SamplerName] = ["ddim", "lcm", "euler_ancestral"]
TRAILING = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
TRAILING |= {"timestep_spacing": "trailing"}


@pytest.fixture
def schedule() -> Schedule:
    return Schedule.from_folder(tiny_sd_spec().folder_of("scheduler"))


def draws(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(2, 4, 8, 8, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("name", NAMES)
def test_inverted_steps_lead_back(name: SamplerName, schedule: Schedule) -> None:
    sampler = make_sampler(name, schedule)
    x, eps, noise = draws(3)
    for jump in sampler.jumps(4):
        inverted = sampler.invert_step(x, eps, jump, noise)
        assert_close(sampler.step(inverted, eps, jump, noise), x, 1e-5)


def run_diffusers(scheduler: Any, x: Tensor, predictions: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The final latents, and the noises that the steps drew, the noisiest first."""
    generator = torch.Generator().manual_seed(8)
    for t, eps in zip(scheduler.timesteps, predictions, strict=True):
        x = scheduler.step(eps, t, x, generator=generator, return_dict=False)[0]
    generator.manual_seed(8)
    return x, torch.stack([torch.randn(x.shape, generator=generator) for _ in predictions])


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_euler_ancestral_steps_are_those_of_diffusers(steps: int) -> None:
    reference: Any = diffusers.EulerAncestralDiscreteScheduler(**TRAILING)
    reference.set_timesteps(steps)
    start, *predictions = draws(steps + 1)
    first = reference.sigmas[0]
    expected, noises = run_diffusers(reference, start * (first**2 + 1) ** 0.5, predictions)

    sampler = make_sampler("euler_ancestral", Schedule.from_config(TRAILING))
    x, jumps = start, sampler.jumps(steps)
    assert [t for t, _ in jumps] == [int(t) for t in reference.timesteps]
    for jump, eps, noise in zip(jumps, predictions, noises, strict=True):
        x = sampler.step(x, eps, jump, noise)
    assert jumps[-1][1] == CLEAN
    assert_close(x, expected, 2e-4)


@pytest.mark.parametrize("steps", [2, 4, 12])
def test_lcm_steps_are_those_of_diffusers(steps: int) -> None:
    reference: Any = diffusers.LCMScheduler()
    reference.set_timesteps(steps)
    x, *predictions = draws(steps + 1)
    expected, noises = run_diffusers(reference, x, predictions)

    sampler = make_sampler("lcm", Schedule.from_config(TRAILING))
    jumps = sampler.jumps(steps)
    assert [t for t, _ in jumps] == reference.timesteps.tolist()
    for jump, eps, noise in zip(jumps, predictions, noises, strict=True):
        x = sampler.step(x, eps, jump, noise)
    assert_close(x, expected, 2e-4)


def test_needed_noise_leads_to_the_goal(schedule: Schedule) -> None:
    sampler = EulerAncestralSampler(schedule)
    x, eps, goal = draws(3)
    jump = sampler.jumps(4)[0]
    noise = sampler.needed_noise(x, eps, jump, goal)
    assert_close(sampler.step(x, eps, jump, noise), goal, 1e-5)


def test_relabelled_latents_are_the_same_in_units_of_sigma(schedule: Schedule) -> None:
    (x,) = draws(1)
    t, s = jump = EulerAncestralSampler(schedule).jumps(4)[1]
    relabelled = EulerAncestralSampler(schedule).relabel(x, jump)
    assert_close(relabelled / schedule.level(t, x)[0], x / schedule.level(s, x)[0], 1e-5)
    assert make_sampler("lcm", schedule).relabel(x, jump) is x


def test_a_consistency_model_keeps_clean_latents_clean() -> None:
    assert boundary_scalings(0) == (1, 0)
    c_skip, c_out = boundary_scalings(999)
    assert c_skip < 1e-8
    assert c_out == pytest.approx(1)
