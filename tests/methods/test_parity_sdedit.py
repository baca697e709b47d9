"""SDEdit against the image-to-image pipeline of diffusers."""

from __future__ import annotations

from golden_cases import assert_close, read_case, thinned

from icd_bench.api import BlendWords, Inversion
from icd_bench.diffusion.backbone import Backbone
from icd_bench.methods.sdedit import SDEditSetting, denoising_steps


def test_every_step(tiny_sd: Backbone) -> None:
    case = read_case("sdedit/edit")
    setting = SDEditSetting(
        steps=case.settings["num_steps"],
        strength=case.settings["strength"],
        guidance_scale=case.settings["guidance_scale"],
    )
    inversion = Inversion({"latents": case.tensors["x0"], "noise": case.tensors["noise"]})

    start, *states = denoising_steps(tiny_sd, case.batch(BlendWords()), inversion, [setting])

    assert_close(start, case.tensors["x0"], 0)
    assert len(states) == len(case.info["timesteps"])
    atol = case.info["recommended_atol"]
    for i, state in enumerate(states[:-1]):
        expected = case.tensors[f"latents_after_step_{i}"]
        assert_close(thinned(state), expected, atol["latents_after_step_*"])
    assert_close(states[-1], case.tensors["final_latents"], atol["final_latents"])


def test_start_latents(tiny_sd: Backbone) -> None:
    case = read_case("sdedit/edit")
    noised = tiny_sd.schedule.add_noise(
        case.tensors["x0"], case.tensors["noise"], case.info["timesteps"][0]
    )
    assert_close(noised, case.tensors["start_latents"], 1e-5)
