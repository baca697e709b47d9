"""Noise levels, timesteps and jumps."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import DDIMScheduler
from golden_cases import GOLDEN, assert_close, read_case
from hypothesis import given
from hypothesis import strategies as st

from icd_bench.diffusion.schedule import Schedule
from icd_bench.diffusion.timestep_sets import CLEAN, derived_set, timestep_set
from icd_bench.errors import UnknownName, UsageError

SD = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "set_alpha_to_one": False,
}


@pytest.fixture(scope="module")
def schedule() -> Schedule:
    return Schedule.from_config(SD)


def test_alphas_cumprod(schedule: Schedule) -> None:
    case = read_case("icd/conventions")
    stored = case.tensors["alphas_cumprod"]
    assert_close(schedule.alphas_cumprod.float(), stored, 1e-6)


def test_jumps_of_the_released_sets(schedule: Schedule) -> None:
    tensors = read_case("icd/conventions").tensors
    s = torch.where(tensors["jump_s"] == 0, CLEAN, tensors["jump_s"])
    jumped = schedule.jump(tensors["jump_x"], tensors["jump_eps"], tensors["jump_t"], s)
    assert_close(jumped, tensors["jump_result"], 1e-5)


def test_jumps_of_single_times_equal_jumps_of_rows(schedule: Schedule) -> None:
    x, eps = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    rows = schedule.jump(x, eps, torch.tensor([999, 259]), torch.tensor([519, CLEAN]))
    assert_close(rows[0], schedule.jump(x, eps, 999, 519)[0], 0)
    assert_close(rows[1], schedule.jump(x, eps, 259, CLEAN)[1], 0)


def test_timestep_0_is_not_clean(schedule: Schedule) -> None:
    x = torch.ones(1, 4, 2, 2)
    assert_close(schedule.add_noise(x, 5 * x, CLEAN), x, 0)
    assert not torch.allclose(schedule.add_noise(x, 5 * x, 0), x, atol=1e-3)


@given(st.integers(0, 999), st.integers(0, 999), st.sampled_from(["epsilon", "v_prediction"]))
def test_a_jump_leads_along_the_line_of_the_predicted_x0_and_eps(t: int, s: int, kind: str) -> None:
    schedule = Schedule.from_config({**SD, "prediction_type": kind})
    x, prediction = torch.randn(2, 1, 4, 4, 4, dtype=torch.float64)
    x0, eps = schedule.split(x, prediction, t)
    assert_close(schedule.add_noise(x0, eps, t), x, 1e-9)
    assert_close(schedule.jump(x, prediction, t, s), schedule.add_noise(x0, eps, s), 1e-9)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("ends_clean", [True, False])
# Where the steps do not divide 1000, trailing steps of diffusers end beside their next timestep.
@pytest.mark.parametrize(
    ("spacing", "steps"),
    [*(("leading", n) for n in (1, 7, 50, 333)), *(("trailing", n) for n in (1, 8, 50))],
)
def test_ddim_sampling_equals_diffusers(
    kind: str, spacing: str, ends_clean: bool, steps: int
) -> None:
    config = {
        **SD,
        "prediction_type": kind,
        "timestep_spacing": spacing,
        "set_alpha_to_one": ends_clean,
    }
    reference = DDIMScheduler(**config, clip_sample=False)
    reference.set_timesteps(steps)
    schedule = Schedule.from_config(config)
    x = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = x.clone()

    assert schedule.ddim_timesteps(steps) == reference.timesteps.tolist()
    for t, s in schedule.ddim_jumps(steps)[-5:]:
        prediction = x.cos()
        x = schedule.jump(x, prediction, t, s)
        expected = reference.step(prediction, t, expected).prev_sample
        torch.testing.assert_close(x, expected, atol=2e-5, rtol=1e-5)


def test_more_steps_than_timesteps_are_refused(schedule: Schedule) -> None:
    with pytest.raises(UsageError, match="1 to 1000"):
        schedule.ddim_timesteps(1001)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("beta_schedule", "squaredcos_cap_v2"),
        ("trained_betas", [0.1, 0.2]),
        ("prediction_type", "sample"),
        ("timestep_spacing", "linspace"),
    ],
)
def test_unknown_schedules_are_refused(field: str, value: object) -> None:
    with pytest.raises(UsageError, match="scheduler"):
        Schedule.from_config({**SD, field: value})


def test_released_sets() -> None:
    stored = read_case("icd/conventions").info["timestep_sets"]
    for name, jumps in stored.items():
        assert_jumps_equal(timestep_set(name), jumps)


def test_derived_sets() -> None:
    stored = read_case("icd/conventions").info["timestep_sets_from_counts"]
    for count, jumps in stored.items():
        assert_jumps_equal(derived_set(int(count)), jumps)


def assert_jumps_equal(actual, stored) -> None:
    assert actual.forward == tuple(zip(stored["forward_t"], stored["forward_s"], strict=True))
    clean = [CLEAN if s == 0 else s for s in stored["reverse_s"]]
    assert actual.reverse == tuple(zip(stored["reverse_t"], clean, strict=True))


def test_names_of_the_released_files() -> None:
    assert timestep_set("4a").forward_file == "forward-19-259-519-779.safetensors"
    assert timestep_set("3").reverse_file == "reverse-339-699-999.safetensors"


def test_unknown_sets_are_refused() -> None:
    with pytest.raises(UnknownName, match="4c"):
        timestep_set("4c")


def test_offset_0_is_read_as_1_like_diffusers_pipelines() -> None:
    config = json.loads((GOLDEN / "tiny-sd/scheduler/scheduler_config.json").read_text())
    assert Schedule.from_config({**config, "steps_offset": 0}).ddim_timesteps(2) == [501, 1]
