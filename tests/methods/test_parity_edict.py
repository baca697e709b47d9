"""EDICT against the official code, which computes in float64; here all is float32."""

from __future__ import annotations

import pytest
import torch
from golden_cases import Case, assert_close, read_case

from icd_bench.api import BlendWords
from icd_bench.diffusion.attention.noise_time import diff_mapper
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.schedule import Schedule
from icd_bench.methods.edict import Cells, EDICTSetting, coupled_steps, edit_steps, inversion_steps

INVERTED = ["edit", "edit_no_leapfrog", "edit_uneven_steps"]
AMPLIFIED = {"p2p_windows_weights": "zebra"}
EDITED = [*INVERTED, "p2p", *AMPLIFIED]


def make_setting(case: Case) -> EDICTSetting:
    given = case.settings
    fields = {
        name: given[name] for name in ("strength", "guidance_scale", "mix_weight", "leapfrog")
    }
    if given["controller"]:
        (factor,) = [weight for _, weight in given["token_weights"]] or [1.0]
        fields |= {
            "attention": "p2p",
            "cross_window": (given["tokens_start"], given["tokens_end"]),
            "self_window": (given["spatial_start"], given["spatial_end"]),
            "amplify": factor,
        }
    return EDICTSetting(steps=given["num_steps"], interpolation="exchanged", **fields)


@pytest.mark.parametrize("name", EDITED)
def test_timesteps(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"edict/{name}")
    steps = coupled_steps(tiny_sd.schedule, make_setting(case))
    assert [step.t for step in steps] == case.info["timesteps"]


@pytest.mark.parametrize("name", INVERTED)
def test_inversion(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"edict/{name}")
    *_, pair = inversion_steps(
        tiny_sd, case.tensors["x0"], [case.source_prompt], make_setting(case)
    )
    (expected,) = case.tensors["inversion_pairs"]
    assert_close(torch.cat(pair), expected, case.info["recommended_atol"]["inversion_pairs"])


@pytest.mark.parametrize("name", EDITED)
def test_edit(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"edict/{name}")
    setting = make_setting(case)
    words = BlendWords(target=(AMPLIFIED[name],) if name in AMPLIFIED else ())
    cells = Cells.of(tiny_sd, case.batch(words), [setting])

    _, *states = edit_steps(cells, case.tensors["inversion_pairs"], setting)

    atol = case.info["recommended_atol"]
    if (expected := case.tensors.get("latents_after_step_1")) is not None:
        assert_close(torch.cat(states[1]), expected, atol["latents_after_step_*"])
    assert_close(torch.cat(states[-1]), case.tensors["final_latents"], atol["final_latents"])
    assert cells.warnings == (((),),)


def test_levels_between_timesteps_are_interpolated(tiny_sd: Backbone) -> None:
    schedule: Schedule = tiny_sd.schedule
    step, *_ = coupled_steps(schedule, EDICTSetting(steps=7, strength=0.8))
    time = step.t - 1000 / 7
    below, share = int(time), time - int(time)
    abar = schedule.alphas_cumprod
    assert step.abar_s == pytest.approx(float((1 - share) * abar[below] + share * abar[below + 1]))
    official = EDICTSetting(steps=7, strength=0.8, interpolation="exchanged")
    exchanged, *_ = coupled_steps(schedule, official)
    between = float(abar[below] + abar[below + 1])
    assert step.abar_s + exchanged.abar_s == pytest.approx(between, rel=1e-12)


def test_replacements_of_another_length_keep_their_own_maps() -> None:
    mapper = diff_mapper([1, 5, 2, 6, 9], [1, 7, 2, 8, 8, 9])
    taken = {int(j): int(i) for i, j in mapper.nonzero()}
    assert taken == {0: 0, 1: 1, 2: 2, 5: 4}
