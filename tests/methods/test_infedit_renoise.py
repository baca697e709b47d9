"""Settings of the few-step methods, and what they warn of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from golden_cases import GOLDEN
from pydantic import ValidationError
from torch import Generator, Tensor, ones, rand
from torch.testing import assert_close

from icd_bench.api import Batch, BlendWords, Edits
from icd_bench.diffusion.attention import Row
from icd_bench.diffusion.backbone import Backbone
from icd_bench.errors import MissingWeights
from icd_bench.methods.infedit import InfEdit, InfEditSetting
from icd_bench.methods.renoise import ReNoise, ReNoiseSetting, draw, renoised_steps
from icd_bench.run import RunRequest, make_plan


@pytest.mark.parametrize(
    "fields", [{"source_scale": 2.0, "guidance_scale": 1.0}, {"eta": 1.1}, {"steps": 51}]
)
def test_impossible_infedit_settings_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        InfEditSetting(**fields)


@pytest.mark.parametrize(
    "fields", [{"average_range": (3, 3)}, {"early_average_range": (-1, 2)}, {"strength": 0}]
)
def test_impossible_renoise_settings_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ReNoiseSetting(**fields)


def test_only_guidance_belongs_to_renoises_edit() -> None:
    assert set(ReNoiseSetting().model_dump()) - set(ReNoiseSetting().inversion_fields()) == {
        "guidance_scale"
    }
    assert InfEditSetting().inversion_fields() == {"steps": 12, "posterior": "mean"}


def test_renoise_needs_a_consistency_network_for_its_own_sampler_only() -> None:
    """The golden pipeline has none; plain DDIM is what its family gets by default."""
    request = RunRequest(("renoise",), "scenes", str(GOLDEN / "tiny-sd"), limit=1)
    (planned,) = make_plan(request).methods
    assert planned.settings[0].sampler == "ddim"
    with pytest.raises(MissingWeights, match="lcm"):
        make_plan(replace(request, sets=("sampler=lcm",)))
    (scenes,) = make_plan(replace(request, model="scenes")).methods
    assert scenes.settings[0].needs == ("lcm",)


def test_rounds_and_ranges_change_below_t_250() -> None:
    setting = ReNoiseSetting()
    assert (setting.rounds_at(249), setting.rounds_at(250)) == (5, 9)
    assert (setting.averaged_at(249), setting.averaged_at(250)) == (range(5), range(8, 10))
    assert [i for i in range(10) if setting.regularises(500, i)] == [8, 9]
    assert len(ReNoiseSetting(rounds=1).averaged_at(500)) == 0
    without = ReNoiseSetting(average=False)
    assert [i for i in range(10) if without.regularises(500, i)] == list(range(1, 10))


def edit(backbone: Backbone, target: str, words: BlendWords, **fields: object) -> Edits:
    side = backbone.resolution
    batch = Batch(("x",), ones(1, 3, side, side) / 2, ("a cat",), (target,), (words,), (1,))
    setting = InfEditSetting(steps=2, **fields)
    inversion = InfEdit().invert(backbone, batch, setting)
    return InfEdit().edit(backbone, batch, inversion, [setting])


def test_missing_blend_words_are_reported_and_blending_is_off(small: Backbone) -> None:
    absent = edit(small, "a dog", BlendWords((), ("fox",)))
    without = edit(small, "a dog", BlendWords())
    assert any('"fox"' in warning for warning in absent.warnings[0][0])
    assert any("LocalBlend is off" in warning for warning in absent.warnings[0][0])
    assert without.warnings == (((),),)
    assert absent.images.equal(without.images)


def test_equal_and_long_prompts_are_reported(small: Backbone) -> None:
    assert any("same" in w for w in edit(small, "a cat", BlendWords()).warnings[0][0])
    assert any("tokens" in w for w in edit(small, "a dog " * 60, BlendWords()).warnings[0][0])


def test_renoise_of_a_part_of_the_steps_starts_from_less_noise(small: Backbone) -> None:
    side = small.resolution
    batch = Batch(("x",), ones(1, 3, side, side) / 2, ("a cat",), ("a cat",), (BlendWords(),), (1,))
    fields = {"steps": 4, "rounds": 0, "regularisation_steps": 0, "average": False}
    rows = []
    for strength in (0.1, 0.5, 1.0):
        setting = ReNoiseSetting(strength=strength, **fields)
        inversion = ReNoise().invert(small, batch, setting)
        edits = ReNoise().edit(small, batch, inversion, [setting])
        rows.append((inversion.nfe, edits.nfe))
    assert rows == [((1,), ((1,),)), ((2,), ((2,),)), ((4,), ((4,),))]
    assert any("same" in warning for warning in edits.warnings[0][0])


def test_guided_inversion_gives_every_prediction_its_own_null_one(
    small: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Estimate and reference of a step that predicts both in one call."""
    seen: list[tuple[Tensor, Tensor]] = []

    def note(eps: Tensor, reference: Tensor, *_: object) -> Tensor:
        seen.append((eps, reference))
        return eps

    monkeypatch.setattr("icd_bench.diffusion.regularise.regularise", note)
    setting = ReNoiseSetting(
        sampler="ddim", steps=2, rounds=0, average_range=(0, 1), inversion_guidance_scale=3.0
    )
    clean = rand(1, *small.latent_shape, generator=Generator().manual_seed(0))
    t = 501
    text, null_text = small.encode_prompts(["a cat"]), small.encode_prompts([""])
    draws = draw(small, [1], setting)
    first, _ = renoised_steps(small, clean, text, draws, setting)

    def guided(x: Tensor) -> Tensor:
        network = small.network("base")
        conditional, null = (network(x, t, words, [Row(0)]) for words in (text, null_text))
        return small.schedule.split(x, null + 3.0 * (conditional - null), t)[1]

    estimate, reference = seen[-1]
    assert_close(estimate, guided(first), atol=1e-4, rtol=0)
    noised = small.schedule.add_noise(clean, draws.forward_noise, t)
    assert_close(reference, guided(noised), atol=1e-4, rtol=0)
