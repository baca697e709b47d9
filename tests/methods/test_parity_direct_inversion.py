"""Direct inversion with P2P against PnP Inversion's code, from the picture's latents on."""

from __future__ import annotations

import pytest
import torch
from golden_cases import assert_close, read_case

from icd_bench.api import BlendWords
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.ddim import ddim_inversion
from icd_bench.diffusion.p2p_edit import p2p_edit
from icd_bench.methods.direct_inversion import DirectInversionSetting, guided_steps

CASES = ["refine_blend_reweight", "replace_blend"]


@pytest.mark.parametrize("name", CASES)
def test_every_state(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"direct_inversion/{name}")
    given, atol = case.settings, case.info["recommended_atol"]
    setting = DirectInversionSetting(
        steps=given["num_steps"],
        guidance_scale=given["guidance_scale"],
        cross_replace=given["cross_replace_steps"],
        self_replace=given["self_replace_steps"],
        amplify=2 if given["equalizer"] else 1,
    )
    x0 = case.tensors["x0"]
    text = tiny_sd.encode_prompts([case.source_prompt])
    trajectory = torch.stack([x0, *ddim_inversion(tiny_sd, x0, text, setting.steps)], 1)
    assert_close(trajectory[:, -1], case.tensors["x_T"], atol["inversion_trajectory"])

    source, target = given["blend_words"]
    batch = case.batch(BlendWords(tuple(source), tuple(target)))
    edit = p2p_edit(tiny_sd, batch, [setting], setting.steps)
    states = list(guided_steps(edit, trajectory, [setting]))

    assert len(states) == setting.steps
    for i, state in enumerate(states):
        assert torch.equal(state[0], trajectory[0, setting.steps - 1 - i])
        if (expected := case.tensors.get(f"latents_after_step_{i}")) is not None:
            assert_close(state, expected, atol["latents_after_step_*"])
    assert_close(states[-1], case.tensors["final_latents"], atol["final_latents"])
    assert edit.control.warnings == (((),),)
