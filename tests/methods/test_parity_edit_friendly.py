"""Edit-friendly DDPM inversion, alone and with P2P, against the official code."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from golden_cases import Case, assert_close, read_case
from torch import Tensor

from icd_bench.api import BlendWords
from icd_bench.diffusion.attention import AttentionControl, Row
from icd_bench.diffusion.backbone import Backbone
from icd_bench.methods.edit_friendly import (
    EditFriendlySetting,
    extract_noise,
    p2p_rows,
    sampled_steps,
)

ALONE = ["own", "own_empty_source_prompt", "own_eta_half"]
WITH_P2P = ["p2p_refine", "p2p_replace"]


def setting_of(case: Case) -> EditFriendlySetting:
    given = case.settings
    windows = {
        "cross_replace": given["cross_replace_steps"],
        "self_replace": given["self_replace_steps"],
    }
    return EditFriendlySetting(
        steps=given["num_steps"],
        skip=given["skip"],
        eta=given["eta"],
        source_guidance_scale=given["source_guidance_scale"],
        guidance_scale=given["target_guidance_scale"],
        **(windows if given["controller"] else {"p2p": False}),
    )


def invert(backbone: Backbone, case: Case, setting: EditFriendlySetting) -> dict[str, Tensor]:
    noise = case.tensors["noise"][None]
    inversion = extract_noise(backbone, case.tensors["x0"], noise, [case.source_prompt], setting)
    assert not inversion["noise"][:, 0].any()
    for k in range(noise.shape[1]):
        if (expected := case.tensors.get(f"z_{k}")) is not None:
            assert_close(inversion["noise"][:, k], expected, case.info["recommended_atol"]["zs"])
    return inversion


def assert_states(case: Case, states: Sequence[Tensor]) -> None:
    atol = case.info["recommended_atol"]
    for i, state in enumerate(states):
        if (expected := case.tensors.get(f"latents_after_step_{i}")) is not None:
            assert_close(state, expected, atol["latents_after_step_*"])
    assert_close(states[-1], case.tensors["final_latents"], atol["final_latents"])


@pytest.mark.parametrize("name", ALONE)
def test_every_state(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"edit_friendly/{name}")
    setting = setting_of(case)
    inversion = invert(tiny_sd, case, setting)

    text = tiny_sd.encode_prompts([case.target_prompt])
    states = sampled_steps(tiny_sd, [Row(0, 0)], text, AttentionControl(), inversion, [setting])

    assert_states(case, list(states))
    if (expected := case.tensors.get("reconstruction_latents")) is not None:
        atol = case.info["recommended_atol"]["reconstruction_latents"]
        assert_close(inversion["latents"][:, 0], expected, atol)


@pytest.mark.parametrize("name", WITH_P2P)
def test_every_state_with_p2p(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"edit_friendly/{name}")
    setting = setting_of(case)
    inversion = invert(tiny_sd, case, setting)

    edit = p2p_rows(tiny_sd, case.batch(BlendWords()), [setting])
    states = sampled_steps(tiny_sd, edit.rows, edit.text, edit.control, inversion, [setting])

    assert_states(case, list(states))


def test_a_step_has_to_be_left() -> None:
    with pytest.raises(ValueError, match="skip=50"):
        EditFriendlySetting(skip=50)
