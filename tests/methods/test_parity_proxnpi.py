"""ProxNPI with P2P against the code of its paper and of PnP Inversion."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_cases import assert_close, read_case

from icd_bench.api import BlendWords
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.ddim import ddim_inversion
from icd_bench.diffusion.p2p_edit import p2p_edit
from icd_bench.diffusion.schedule import Schedule
from icd_bench.methods.proxnpi import (
    ProxNPISetting,
    guided_steps,
    pair_threshold,
    proximal_jump,
    shrink,
)

CASES = ["l0_q75", "l0_q70_inversion_guidance", "l0_q75_reconstruction_guidance"]
NAMES = {"l0": "soft", "l1": "twice", None: "none"}


def guidances(given: dict[str, Any]) -> dict[str, Any]:
    names = ("inversion_guidance", "reconstruction_guidance", "recon_lr", "recon_t")
    return {name: given[name] for name in names if name in given} | (
        {"dilate": given["dilate_mask"]} if "dilate_mask" in given else {}
    )


@pytest.mark.parametrize("name", CASES)
def test_every_state(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"proxnpi/{name}")
    given, atol = case.settings, case.info["recommended_atol"]
    fields = guidances(given) if "reconstruction_guidance" in given else {}
    setting = ProxNPISetting(
        steps=given["num_steps"],
        guidance_scale=given["guidance_scale"],
        cross_replace=given["cross_replace_steps"],
        self_replace=given["self_replace_steps"],
        amplify=2 if given["equalizer"] else 1,
        proximal=NAMES[given["proximal"]],
        quantile=given["quantile"],
        **fields,
    )
    x0 = case.tensors["x0"]
    text = tiny_sd.encode_prompts([case.source_prompt])
    trajectory = torch.stack([x0, *ddim_inversion(tiny_sd, x0, text, setting.steps)], 1)
    assert_close(trajectory[:, -1], case.tensors["x_T"], atol["inversion_trajectory"])

    source, target = given["blend_words"] or ((), ())
    batch = case.batch(BlendWords(tuple(source), tuple(target)))
    edit = p2p_edit(tiny_sd, batch, [setting], setting.steps)
    states = [latents for latents, _ in guided_steps(edit, trajectory, [setting])]

    for i, state in enumerate(states):
        if (expected := case.tensors.get(f"latents_after_step_{i}")) is not None:
            assert_close(state, expected, atol["latents_after_step_*"])
    assert_close(states[-1], case.tensors["final_latents"], atol["final_latents"])


STEPS = read_case("proxnpi/step")


@pytest.mark.parametrize("number", range(len(STEPS.info["steps"])))
def test_one_step_on_given_predictions(number: int) -> None:
    given, tensors = STEPS.info["steps"][number], STEPS.tensors
    fields = guidances(given)
    # In the official code a negative recon_t switches inversion guidance on by itself.
    fields["inversion_guidance"] |= given["recon_t"] < 0
    setting = ProxNPISetting(
        guidance_scale=given["guidance_scale"],
        proximal=NAMES[given["prox"]],
        quantile=max(given["quantile"], 0),
        threshold=-given["quantile"] if given["quantile"] < 0 else None,
        **fields,
    )
    steps = STEPS.info["num_steps"]
    schedule = Schedule.from_config(
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    )
    jump = schedule.ddim_jumps(steps)[given["i"]]
    assert jump[0] == given["timestep"]

    negative = tensors["eps_uncond"]
    difference = tensors["eps_text"] - negative
    threshold = pair_threshold(difference[:1], difference[1:], setting)
    actual = proximal_jump(
        schedule,
        tensors["latents"],
        negative,
        shrink(difference, threshold, setting.proximal),
        threshold,
        setting,
        jump,
        (tensors["trajectory"][:1], tensors["trajectory"][steps - given["i"] - 1][None]),
    )
    assert_close(actual, tensors[f"out_{number:02}"], 1e-5)


def test_the_hard_threshold_keeps_what_the_soft_one_shortens() -> None:
    difference = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0]).reshape(1, 1, 1, 7)
    threshold = torch.full((1, 1, 1, 1), 1.0)
    assert shrink(difference, threshold, "hard").flatten().tolist() == [-3, 0, 0, 0, 0, 0, 3]
    assert shrink(difference, threshold, "soft").flatten().tolist() == [-2, 0, 0, 0, 0, 0, 2]


def test_guidance_outside_the_edit_needs_a_threshold() -> None:
    with pytest.raises(ValueError, match="proximal=none"):
        ProxNPISetting(proximal="none", inversion_guidance=True)
