"""DDIM and negative-prompt inversion with P2P against PnP Inversion's code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from golden_cases import Case, assert_close, read_case, thinned
from torch import Tensor

from icd_bench.api import BlendWords
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.ddim import ddim_inversion
from icd_bench.diffusion.p2p_edit import P2PEdit, p2p_edit
from icd_bench.methods import ddim, npi

CASES = ["refine_blend_reweight", "replace"]


def common_settings(case: Case) -> dict[str, Any]:
    given = case.settings
    return {
        "steps": given["num_steps"],
        "guidance_scale": given["guidance_scale"],
        "cross_replace": given["cross_replace_steps"],
        "self_replace": given["self_replace_steps"],
        "amplify": 2 if given["equalizer"] else 1,
    }


def edit_rows(backbone: Backbone, case: Case, setting: Any) -> P2PEdit:
    source, target = case.settings["blend_words"] or ((), ())
    words = BlendWords(tuple(source), tuple(target))
    return p2p_edit(backbone, case.batch(words), [setting], setting.steps)


def assert_states(case: Case, states: Iterator[Tensor]) -> None:
    atol = case.info["recommended_atol"]
    final = None
    for i, final in enumerate(states):
        if (expected := case.tensors.get(f"latents_after_step_{i}")) is not None:
            assert_close(thinned(final), expected, atol["latents_after_step_*"])
    assert_close(final, case.tensors["final_latents"], atol["final_latents"])


@pytest.mark.parametrize("name", CASES)
def test_ddim_inversion(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"ddim/{name}")
    text = tiny_sd.encode_prompts([case.source_prompt])
    steps = case.settings["num_steps"]

    states = list(ddim_inversion(tiny_sd, case.tensors["x0"], text, steps))

    assert len(states) == steps
    atol = case.info["recommended_atol"]["inversion_trajectory"]
    for state, expected in zip(states, case.tensors["inversion_trajectory"][1:], strict=True):
        assert_close(thinned(state[0]), expected, atol)
    assert_close(states[-1], case.tensors["x_T"], atol)


@pytest.mark.parametrize("name", CASES)
def test_ddim_edit(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"ddim/{name}")
    setting = ddim.DDIMSetting(**common_settings(case))
    edit = edit_rows(tiny_sd, case, setting)
    assert_states(case, ddim.guided_steps(edit, case.tensors["x_T"], [setting]))


@pytest.mark.parametrize("name", CASES)
def test_npi_edit(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"npi/{name}")
    setting = npi.NPISetting(**common_settings(case))
    edit = edit_rows(tiny_sd, case, setting)
    assert_states(case, npi.guided_steps(edit, case.tensors["x_T"], [setting]))


@pytest.mark.parametrize("method", ["ddim", "npi"])
def test_text_embeddings(method: str, tiny_sd: Backbone) -> None:
    case = read_case(f"{method}/replace")
    prompts = {"null": "", "source": case.source_prompt, "target": case.target_prompt}
    for name, prompt in prompts.items():
        expected = case.tensors[f"embedding_{name}"]
        assert_close(tiny_sd.encode_prompts([prompt]), expected, 1e-5)
