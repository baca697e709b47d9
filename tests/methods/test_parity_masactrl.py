"""MasaCtrl's mutual self-attention with DDIM and direct inversion against the official code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_cases import Case, assert_close, read_case
from torch import Tensor

from icd_bench.api import BlendWords
from icd_bench.diffusion.attention import GivenMasks, MutualEdit, MutualSelfAttention
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.ddim import ddim_inversion
from icd_bench.diffusion.p2p_edit import P2PEdit, p2p_edit
from icd_bench.methods import ddim, direct_inversion

FROM_STEP_AND_LAYER = {
    "plain": BlendWords(),
    "guided_inversion": BlendWords(),
    "mask_auto": BlendWords(("cat",), ("silver", "tiger")),
}
ON_THE_TRAJECTORY = ["trajectory_lists", "direct_inversion"]


def fields(case: Case) -> dict[str, Any]:
    """Settings of a case, first steps and layers as such, lists as lists."""
    given = case.settings
    first = given["start_step"] is not None
    return {
        "attention": "masactrl",
        "steps": given["num_steps"],
        "guidance_scale": given["guidance_scale"],
        "mutual_steps": given["start_step"] if first else given["affected_steps"],
        "mutual_layers": given["start_layer"] if first else given["affected_layers"],
        "mutual_masks": given["controller"] == "mask_auto",
        "mutual_threshold": given["mask_threshold"] or 0.1,
    }


def make_edit(backbone: Backbone, case: Case, setting: Any, words: BlendWords) -> P2PEdit:
    return p2p_edit(backbone, case.batch(words), [setting], setting.steps)


def assert_states(case: Case, states: list[Tensor], rows: slice = slice(None)) -> None:
    atol = case.info["recommended_atol"]
    stored = [i for i in range(len(states)) if f"latents_after_step_{i}" in case.tensors]
    assert stored
    for i in stored:
        expected = case.tensors[f"latents_after_step_{i}"]
        assert_close(states[i][rows], expected[rows], atol["latents_after_step_*"])
    assert_close(states[-1][rows], case.tensors["final_latents"][rows], atol["final_latents"])


@pytest.mark.parametrize("name", FROM_STEP_AND_LAYER)
def test_edit(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"masactrl/{name}")
    setting = ddim.DDIMSetting(**fields(case))
    edit = make_edit(tiny_sd, case, setting, FROM_STEP_AND_LAYER[name])

    states = list(ddim.guided_steps(edit, case.tensors["inversion_trajectory"], [setting]))

    assert_states(case, states)
    assert edit.control.warnings == (((),),)


def test_edit_with_given_masks(tiny_sd: Backbone) -> None:
    case = read_case("masactrl/mask")
    given = case.settings
    setting = ddim.DDIMSetting(**fields(case))
    edit = make_edit(tiny_sd, case, setting, BlendWords())
    masks = GivenMasks(case.tensors["mask_source"].bool(), case.tensors["mask_target"].bool())
    mutual = MutualEdit(
        case.target_prompt, given["affected_steps"], given["affected_layers"], masks
    )
    edit.control = MutualSelfAttention(
        tiny_sd.text_encoder.tokenizer, [case.source_prompt], [[mutual]]
    )

    states = list(ddim.guided_steps(edit, case.tensors["inversion_trajectory"], [setting]))

    assert_states(case, states)


def test_automatic_masks(tiny_sd: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cell by cell, in each step and layer, and shared by the halves of guidance."""
    case = read_case("masactrl/mask_auto")
    setting = ddim.DDIMSetting(**fields(case))
    edit = make_edit(tiny_sd, case, setting, FROM_STEP_AND_LAYER["mask_auto"])
    made: list[tuple[Tensor, Tensor]] = []
    original = MutualSelfAttention._masks

    def note(self: MutualSelfAttention, layer: Any, row: Any) -> Any:
        made.append(original(self, layer, row))
        return made[-1]

    monkeypatch.setattr(MutualSelfAttention, "_masks", note)
    list(ddim.guided_steps(edit, case.tensors["inversion_trajectory"], [setting]))

    for which, name in enumerate(("source_masks_16x16", "target_masks_16x16")):
        expected = case.tensors[name].flatten(0, 1).bool()
        conditional, unconditional = (
            torch.stack([masks[which] for masks in made[half::2]]) for half in (0, 1)
        )
        assert torch.equal(conditional, expected)
        assert torch.equal(unconditional, expected)


@pytest.mark.parametrize("name", ON_THE_TRAJECTORY)
def test_edit_beside_the_inversion(name: str, tiny_sd: Backbone) -> None:
    """The target row: after a step the source row is already back on the trajectory here."""
    case = read_case(f"masactrl/{name}")
    setting = direct_inversion.DirectInversionSetting(**fields(case))
    edit = make_edit(tiny_sd, case, setting, BlendWords())
    x0, text = case.tensors["x0"], tiny_sd.encode_prompts([case.source_prompt])
    trajectory = torch.stack([x0, *ddim_inversion(tiny_sd, x0, text, setting.steps)], 1)
    atol = case.info["recommended_atol"]["inversion_trajectory"]
    assert_close(trajectory[:, -1], case.tensors["inversion_trajectory"], atol)

    states = list(direct_inversion.guided_steps(edit, trajectory, [setting]))

    assert_states(case, states, slice(1, None))
