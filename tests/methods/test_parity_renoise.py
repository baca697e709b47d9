"""ReNoise against the official implementation, state by state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from golden_cases import (
    Case,
    StoredText,
    assert_close,
    read_case,
    stored_text,
    thinned,
    tiny_sd_with_unet,
)
from torch import Tensor

from icd_bench.api import Batch, BlendWords, Inversion
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.regularise import regularise
from icd_bench.methods.renoise import Draws, ReNoiseSetting, renoised_steps, sampling_steps

SAMPLERS = {"DDIM": "ddim", "LCM": "lcm", "EULER": "euler_ancestral"}
ROWS = {
    # K + 1 predictions a step, and one more where something is regularised
    "ddim_sd": 3 * 3 + 7 * 2,
    # the last prediction of the later steps is not averaged: 4 and 1 of the reference's 5 and 1
    "ddim_sd_average_all": 3 * 6 + 7 * 5,
    "ddim_sd_no_average": 10 * 4,
    "lcm_sd": 4 * 11,
    # 6 or 10 predictions a step, its reference, and one for the noise correction of all but one
    "turbo_sdxl": (5 + 1) + 3 * (10 + 1) + 3,
    "turbo_sdxl_short": 15,
}


@pytest.fixture(scope="module")
def backbones() -> dict[str, Backbone]:
    names = ("tiny-sd-renoise", "tiny-sdxl")
    return {name: Backbone.load(tiny_sd_with_unet(name)) for name in names}


@pytest.fixture(params=ROWS)
def case(request: pytest.FixtureRequest) -> Case:
    return read_case(f"renoise/{request.param}")


@pytest.fixture
def backbone(
    case: Case, backbones: dict[str, Backbone], monkeypatch: pytest.MonkeyPatch
) -> Backbone:
    backbone = backbones[case.info["model"]]
    text = StoredText(backbone, case)
    text.embeddings[case.info["edit_prompt"]] = stored_text(case, "edit")
    monkeypatch.setattr(backbone, "text_encoder", text)
    return backbone


def setting_of(case: Case) -> ReNoiseSetting:
    given = case.settings
    return ReNoiseSetting(
        sampler=SAMPLERS[given["scheduler_type"]],
        steps=given["num_inversion_steps"],
        strength=given["inversion_max_step"],
        rounds=given["num_renoise_steps"],
        early_rounds=given["max_num_renoise_steps_first_step"],
        average=given["average_latent_estimations"],
        average_range=given["average_step_range"],
        early_average_range=given["average_first_step_range"],
        lambda_kl=given["noise_regularization_lambda_kl"],
        lambda_ac=given["noise_regularization_lambda_ac"],
        regularisation_steps=given["noise_regularization_num_reg_steps"],
        autocorrelation_steps=given["noise_regularization_num_ac_rolls"],
        reference="clean" if given["model_type"] == "SD15" else "noised",
        noise_correction=given["perform_noise_correction"],
    )


def drawn(case: Case, setting: ReNoiseSetting) -> Draws:
    """The random numbers of the case, in the order of its notes."""
    generator = torch.Generator().manual_seed(case.settings["seed"])
    shape = case.tensors["x0"].shape

    def noise() -> Tensor:
        return torch.randn(shape, generator=generator)

    step_noise = [
        noise() if setting.sampler != "ddim" else torch.zeros(shape) for _ in range(setting.steps)
    ]
    noise()  # of the autoencoder
    if case.settings["model_type"] == "SD15":
        noise()  # drawn, but not used
    return Draws(noise(), torch.stack(step_noise, dim=1), rolls_of(case, setting))


def rolls_of(case: Case, setting: ReNoiseSetting) -> Tensor:
    """The rolls of every call, where the setting says that a call is made."""
    calls = iter(case.tensors["rolls"].long())
    rolls = torch.zeros(1, setting.steps, setting.rounds + 2, 4, 5, 4, 4, dtype=torch.long)
    for step, t in reversed(list(enumerate(case.info["timesteps_of_inference"]))):
        for i in range(setting.rounds_at(int(t)) + 1):
            if setting.regularises(int(t), i):
                rolls[0, step, i] = next(calls)
        if setting.averaged_at(int(t)):
            rolls[0, step, -1] = next(calls)
    assert next(calls, None) is None
    return rolls


def recorded(case: Case, backbone: Backbone, state: Tensor, t: float | None) -> Tensor:
    """A state at timestep t as the case has it; None is clean.

    Those of the ancestral sampler were recorded in units of sigma / alpha.
    """
    if case.settings["scheduler_type"] == "EULER" and t is not None:
        state = state / backbone.schedule.level(int(t), state)[0]
    return thinned(state)


def batch_of(case: Case, prompt: str) -> Batch:
    return replace(case.batch(BlendWords()), target_prompts=(prompt,))


def assert_run(case: Case, backbone: Backbone, name: str, states: Iterator[Tensor]) -> None:
    first, *_, final = states
    atol = case.info["recommended_atol"][name]
    if (expected := case.tensors.get(f"{name}_step_0")) is not None:
        t = case.info["timesteps_of_inference"][1]
        assert_close(recorded(case, backbone, first, t), expected, atol)
    assert_close(thinned(final), case.tensors[f"{name}_final"], atol)


def test_inversion_reconstruction_and_edits(case: Case, backbone: Backbone) -> None:
    setting = setting_of(case)
    draws = drawn(case, setting)
    text = backbone.encode_prompts([case.source_prompt])
    with backbone.counting("inversion", 1) as count:
        states = list(renoised_steps(backbone, case.tensors["x0"], text, draws, setting))

    assert count.shared[0] == ROWS[case.info["case"]] <= case.info["unet_rows"]
    atol = case.info["recommended_atol"]["inverted"]
    for i, (state, t) in enumerate(zip(states, case.info["inversion_order"], strict=True)):
        if (expected := case.tensors.get(f"inversion_step_{i + 1}")) is not None:
            assert_close(recorded(case, backbone, state, t), expected, atol)
        if (expected := case.tensors.get(f"noise_corrected_{i}")) is not None:
            assert_close(thinned(draws.step_noise[:, i]), expected, atol)
    assert f"inversion_step_{setting.steps}" in case.tensors

    inversion = Inversion({"latents": states[-1], "noise": draws.step_noise})
    runs = {
        "reconstruction": (case.source_prompt, 1.0),
        "edit": (case.info["edit_prompt"], 1.0),
        "edit_cfg7.5": (case.info["edit_prompt"], 7.5),
    }
    for name, (prompt, scale) in runs.items():
        if f"{name}_final" in case.tensors:
            chosen = setting.model_copy(update={"guidance_scale": scale})
            batch = batch_of(case, prompt)
            states = sampling_steps(backbone, batch, inversion, [chosen])
            assert_run(case, backbone, name, states)


def test_regularisation_of_a_batch_is_that_of_each_picture() -> None:
    case = read_case("renoise/lcm_sd")
    eps, reference, expected = (
        case.tensors[f"regularize_0_{name}"] for name in ("input", "optimal", "output")
    )
    rolls = case.tensors["rolls"][:2].long()
    pair = regularise(torch.cat([eps, reference]), torch.cat([reference, eps]), rolls, 0.065, 20.0)
    assert_close(pair[:1], expected, 1e-5)
    alone = regularise(reference, eps, rolls[1:], 0.065, 20.0)
    assert_close(pair[1:], alone, 1e-5)
