"""iCD against the official implementation, state by state."""

from __future__ import annotations

import pytest
from golden_cases import Case, StoredText, assert_close, read_case

from icd_bench.api import BlendWords
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.p2p_edit import p2p_edit
from icd_bench.diffusion.timestep_sets import timestep_set
from icd_bench.methods.icd import ICDSetting, forward_jumps, reverse_jumps

RECONSTRUCTIONS = ["reconstruct_4a", "reconstruct_4b", "reconstruct_3"]
EDITS = [
    "edit_replace_blend_4a",
    "edit_replace_4a",
    "edit_refine_4b",
    "edit_refine_blend_4a",
    "edit_refine_blend_3",
]


@pytest.fixture
def case(
    request: pytest.FixtureRequest, tiny_sd_icd: Backbone, monkeypatch: pytest.MonkeyPatch
) -> Case:
    case = read_case(f"icd/{request.param}")
    monkeypatch.setattr(tiny_sd_icd, "text_encoder", StoredText(tiny_sd_icd, case))
    return case


@pytest.mark.parametrize("case", RECONSTRUCTIONS, indirect=True)
def test_inversion(case: Case, tiny_sd_icd: Backbone) -> None:
    setting = ICDSetting(timestep_set=case.settings["timestep_set"])
    x0, noise = case.tensors["x0"], case.tensors["noise_19"]
    atol = case.info["recommended_atol"]["x0, x_19, inversion"]

    start = tiny_sd_icd.schedule.add_noise(x0, noise, 19)
    assert_close(start, case.tensors["x_19"], atol)

    text = tiny_sd_icd.encode_prompts([case.source_prompt])
    states = forward_jumps(tiny_sd_icd, start, text, setting)
    for (_, s), state in zip(timestep_set(setting.timestep_set).forward, states, strict=True):
        assert_close(state, case.tensors[f"inversion_x_{s}"], atol)


@pytest.mark.parametrize("case", RECONSTRUCTIONS, indirect=True)
def test_reconstructions_under_all_guidances_at_once(case: Case, tiny_sd_icd: Backbone) -> None:
    """Every guided run of a case is one target row that keeps the source prompt."""
    runs = case.info["runs"]
    settings = [
        ICDSetting(
            timestep_set=case.settings["timestep_set"],
            guidance_scale=run["w"] + 1,
            tau1=run["tau1"],
            tau2=run["tau2"],
            cross_replace=0,
            self_replace=0,
        )
        for run in runs.values()
    ]
    steps = len(timestep_set(settings[0].timestep_set).reverse)
    edit = p2p_edit(tiny_sd_icd, case.batch(BlendWords()), settings, steps)
    states = list(reverse_jumps(edit, case.tensors["inversion_x_999"], settings))

    for row, (name, run) in enumerate(runs.items(), start=1):
        stored = [i for i in range(steps) if f"{name}_state_{i}" in case.tensors]
        assert stored[-1] == steps - 1
        for i in stored:
            expected = case.tensors[f"{name}_state_{i}"]
            assert_close(states[i][row : row + 1], expected, run["recommended_atol"])


@pytest.mark.parametrize("case", EDITS, indirect=True)
def test_edit(case: Case, tiny_sd_icd: Backbone) -> None:
    given = case.settings
    setting = ICDSetting(
        timestep_set=given["timestep_set"],
        guidance_scale=given["w"] + 1,
        tau1=given["tau1"],
        tau2=given["tau2"],
        cross_replace=given["cross_replace"],
        self_replace=given["self_replace"],
        amplify=given["amplify"],
    )
    source, _, target = case.info["blended_words"].partition(" ")
    words = BlendWords((source,), (target,)) if source else BlendWords()
    steps = len(timestep_set(setting.timestep_set).reverse)
    edit = p2p_edit(tiny_sd_icd, case.batch(words), [setting], steps)

    states = list(reverse_jumps(edit, case.tensors["inversion_x_999"], [setting]))

    assert len(states) == steps
    for i, state in enumerate(states):
        assert_close(state, case.tensors[f"state_{i}"], case.info["recommended_atol"]["state"])
    assert edit.control.warnings == (((),),)
