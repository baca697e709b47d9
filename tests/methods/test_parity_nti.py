"""Null-text inversion with P2P against PnP Inversion's code, from the picture's latents on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from golden_cases import Case, assert_close, read_case
from torch import Tensor

from icd_bench.api import Batch, BlendWords, Inversion
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.ddim import ddim_inversion
from icd_bench.diffusion.p2p_edit import p2p_edit
from icd_bench.methods.nti import NTISetting, guided_steps, optimised, optimised_steps

CASES = ["refine_blend_reweight_early_stop", "replace"]


def setting_of(case: Case) -> NTISetting:
    given = case.settings
    return NTISetting(
        steps=given["num_steps"],
        guidance_scale=given["guidance_scale"],
        inner_steps=given["num_inner_steps"],
        early_stop=given["early_stop_epsilon"],
        cross_replace=given["cross_replace_steps"],
        self_replace=given["self_replace_steps"],
        amplify=2 if given["equalizer"] else 1,
    )


def batch_of(case: Case) -> Batch:
    source, target = case.settings["blend_words"] or ((), ())
    return case.batch(BlendWords(tuple(source), tuple(target)))


def optimise(
    backbone: Backbone, pivot: Tensor, text: Tensor, setting: NTISetting
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Yield each step's embedding, latents and number of updates."""
    rows = 0
    with backbone.counting("inversion", 1) as count:
        for null_text, latents in optimised_steps(backbone, pivot, text, setting):
            # Two rows are no update's: that of the prompt, and that of the embedding at last.
            yield null_text, latents, count.shared[0] - rows - 2
            rows = count.shared[0]


@pytest.mark.parametrize("name", CASES)
def test_every_state(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"nti/{name}")
    setting, atol = setting_of(case), case.info["recommended_atol"]

    x0, text = case.tensors["x0"], tiny_sd.encode_prompts([case.source_prompt])
    pivot = torch.stack([x0, *ddim_inversion(tiny_sd, x0, text, setting.steps)], 1)
    assert_close(pivot[:, -1], case.tensors["x_T"], atol["inversion_trajectory"])

    null_texts, latents, updates = zip(*optimise(tiny_sd, pivot, text, setting), strict=True)
    assert list(updates) == case.tensors["inner_counts"].tolist()
    null_embeddings = torch.stack(null_texts, 1)
    off = (null_embeddings[0] - case.tensors["null_embeddings"]).abs() > 1e-3
    assert off.double().mean() < 0.005

    trajectory = torch.stack([pivot[:, -1], *latents], 1)
    inversion = Inversion({"null_embeddings": null_embeddings, "trajectory": trajectory})
    edit = p2p_edit(tiny_sd, batch_of(case), [setting], setting.steps)
    states = list(guided_steps(edit, inversion, [setting]))
    for i, state in enumerate(states):
        if (expected := case.tensors.get(f"latents_after_step_{i}")) is not None:
            assert_close(state, expected, atol["latents_after_step_*"])
    assert_close(states[-1], case.tensors["final_latents"], atol["final_latents"])


def test_a_sample_that_is_good_enough_is_left_alone() -> None:
    """Samples: one that starts good enough, one that becomes so, one that never does."""
    goal = torch.tensor([0.05, 0.125, 1.0]).reshape(3, 1, 1, 1)
    calls: list[list[int]] = []

    def jump(samples: Sequence[int], null_text: Tensor) -> Tensor:
        calls.append(list(samples))
        return null_text[..., None]

    def optimise(goal: Tensor) -> Tensor:
        start = torch.zeros(len(goal), 1, 1)
        return optimised(start, jump, goal, updates=6, learning_rate=0.01, good_enough=0.1**2)

    together = optimise(goal)
    assert calls == [[0, 1, 2], [1, 2], [1, 2], [1, 2], [2], [2]]
    alone = torch.cat([optimise(goal[i : i + 1]) for i in range(3)])
    assert torch.equal(together, alone)
    # Far from the goal, Adam moves by its rate.
    assert_close(together.flatten(), torch.tensor([0.01, 0.04, 0.06]), 2e-3)
