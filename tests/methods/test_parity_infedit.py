"""InfEdit against the official implementation: states, predictions, masks and alignments."""

from __future__ import annotations

import pytest
import torch
from golden_cases import Case, StoredText, assert_close, read_case, tiny_sd_with_unet
from torch import Tensor

from icd_bench.api import BlendWords, Inversion
from icd_bench.diffusion.attention import Row
from icd_bench.diffusion.backbone import Backbone
from icd_bench.methods.infedit import Branches, InfEditSetting, consistent_steps, infedit_branches

VIRTUAL = ["ddcm_12", "ddcm_4"]
CONTROLLED = ["uac_12", "uac_4", "blend_12", "blend_mutual_12", "blend_overlap_4"]

ROWS = {
    "ddcm_12": (12, 24),
    "ddcm_4": (4, 8),
    "uac_12": (12 + 8, 24),
    "uac_4": (4 + 3, 8),
    "blend_12": (12 + 8, 24 + 3),
    "blend_mutual_12": (12 + 8, 24 + 3),
    "blend_overlap_4": (4 + 4, 8 + 2),
}
"""Shared and own rows: the source (twice where it is guided, or its null row lends its layout to
a guided target's), the target twice, the mutual branch where it differs and matters."""


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone.load(tiny_sd_with_unet("tiny-sd-lcm"))


@pytest.fixture
def case(
    request: pytest.FixtureRequest, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> Case:
    case = read_case(f"infedit/{request.param}")
    text = StoredText(backbone, case)
    negative = case.tensors["negative_embedding"]
    text.embeddings[case.settings["negative_prompt_of_target"]] = negative
    text.embeddings[case.settings["negative_prompt_of_source"]] = case.tensors.get(
        "positive_embedding", negative
    )
    monkeypatch.setattr(backbone, "text_encoder", text)
    return case


def setting_of(case: Case) -> InfEditSetting:
    given = case.settings
    return InfEditSetting(
        steps=given["steps"],
        guidance_scale=given["guidance_target"],
        source_scale=given["guidance_source"],
        negative_prompt=given["negative_prompt_of_target"],
        source_negative_prompt=given["negative_prompt_of_source"],
        eta=given["eta"],
        attention=given["attention_control"],
        cross_replace=given.get("cross_replace", 0),
        self_replace=given.get("self_replace", 0),
        similarity="released",
        keep_words=given.get("mutual_word", ""),
        blend_threshold=given.get("threshold_edit", 0.5),
        keep_threshold=given.get("threshold_mutual", 0.5),
    )


def branches_of(case: Case, backbone: Backbone) -> Branches:
    words = BlendWords((), tuple(case.settings.get("blend_word_target", "").split()))
    return infedit_branches(backbone, case.batch(words), [setting_of(case)])


def drawn(case: Case) -> Inversion:
    """The noises of the case: those of the autoencoder, of the start and of every step."""
    generator = torch.Generator().manual_seed(case.settings["seed"])
    shape = case.tensors["x0"].shape
    _, *noise = (torch.randn(shape, generator=generator) for _ in range(case.settings["steps"] + 2))
    return Inversion({"latents": case.tensors["x0"], "noise": torch.stack(noise, dim=1)})


def thinned(state: Tensor) -> Tensor:
    return state[..., ::4, ::4]


@pytest.mark.parametrize("case", VIRTUAL + CONTROLLED, indirect=True)
def test_every_step(case: Case, backbone: Backbone) -> None:
    branches, setting = branches_of(case, backbone), setting_of(case)
    tensors, last = case.tensors, setting.steps - 1
    atol = case.info["recommended_atol"]
    compared = []

    with backbone.counting("edit", 1, 1) as count:
        for i, (latents, x0) in enumerate(consistent_steps(branches, drawn(case), [setting])):
            target = f"target_after_blend_{i}"
            names = {
                target if target in tensors else f"target_{i}": latents[1:2],
                f"pred_x0_{i}": x0[1:2],
                f"source_{i}": latents[:1],
                f"mutual_{i}": latents[2:],
            }
            for name in names.keys() & tensors.keys():
                is_early = name.startswith("pred_x0") and i < last
                tolerance = atol["pred_x0 of all but the last step" if is_early else "states"]
                assert_close(thinned(names[name]), tensors[name], tolerance)
                compared.append(name)
            if (masks := tensors.get(f"masks_{i}")) is not None and i < last:
                alpha, _ = backbone.schedule.level(case.info["timesteps"][i], x0)
                found = branches.control.masks(Row(0, 0), float(alpha), x0.shape[-2:])
                assert torch.equal(thinned(found), masks.bool())
                compared.append(f"masks_{i}")

    assert f"pred_x0_{last}" in compared
    assert len(compared) >= 2 * min(setting.steps, 4)
    assert (count.shared[0], count.own[0][0]) == ROWS[case.info["case"]]
    assert branches.warnings == (((),),)


@pytest.mark.parametrize("case", CONTROLLED, indirect=True)
def test_alignment(case: Case, backbone: Backbone) -> None:
    (plan,) = branches_of(case, backbone).control.plans.values()
    mapper, alphas = case.tensors["mapper"].long(), case.tensors["alphas"].float()
    positions = torch.arange(len(mapper))
    expected = torch.zeros(len(mapper), len(mapper))
    expected[mapper.clamp(min=0), positions] = alphas
    assert torch.equal(plan.take, expected)
    assert torch.equal(plan.keep, 1 - alphas)
    assert torch.equal(plan.edited, case.tensors["alpha_edit"].float())
    assert torch.equal(plan.kept, case.tensors["alpha_mutual"].float())


@pytest.mark.parametrize("case", VIRTUAL + CONTROLLED, indirect=True)
def test_timesteps(case: Case, backbone: Backbone) -> None:
    assert backbone.schedule.lcm_timesteps(case.settings["steps"]) == case.info["timesteps"]
