"""Settings and what the methods warn of."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from torch import ones
from torch.testing import assert_close

from icd_bench.api import Batch, BlendWords, Edits, Method
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.p2p_edit import new_words
from icd_bench.methods.edict import EDICT
from icd_bench.methods.edit_friendly import EditFriendly
from icd_bench.methods.icd import ICD, ICDSetting
from icd_bench.methods.npi import NPI
from icd_bench.methods.sdedit import SDEdit
from icd_bench.registry import methods

BUILT_IN = [
    "icd",
    "ddim",
    "nti",
    "npi",
    "proxnpi",
    "direct_inversion",
    "edit_friendly",
    "sdedit",
    "identity",
    "jpeg",
    "vae-roundtrip",
    "infedit",
    "renoise",
    "edict",
    "aidi",
    "instruct_pix2pix",
]


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_method_follows_the_interface(name: str) -> None:
    method = methods.load(name)
    assert isinstance(method(), Method)
    assert method.info.name == name
    defaults = method.Setting()
    for field, values in method.info.sweep.items():
        for value in values:
            method.Setting(**{**defaults.model_dump(), field: value})


@pytest.mark.parametrize("name", ["ddim", "npi", "proxnpi", "direct_inversion"])
def test_steps_belong_to_the_inversion(name: str) -> None:
    assert methods.load(name).Setting(steps=7).inversion_fields() == {"steps": 7}


def test_the_sampler_and_the_noisy_start_belong_to_sdedits_inversion() -> None:
    fields = methods.load("sdedit").Setting().inversion_fields()
    assert fields.keys() == {"steps", "sampler", "posterior"}


def test_null_embeddings_hold_for_one_guidance_scale() -> None:
    fields = methods.load("nti").Setting().inversion_fields()
    assert fields.keys() == {
        "steps",
        "guidance_scale",
        "inner_steps",
        "learning_rate",
        "early_stop",
    }


def test_noise_is_extracted_under_the_sources_guidance() -> None:
    fields = methods.load("edit_friendly").Setting().inversion_fields()
    assert fields.keys() == {"steps", "skip", "eta", "source_guidance_scale"}


@pytest.mark.parametrize(
    ("name", "preset", "fields"),
    [
        ("ddim", "paper", {"self_downscale": 4}),
        ("npi", "paper", {"guidance_scale": 7.5, "cross_replace": 0.8, "amplify_words": "new"}),
        ("proxnpi", "paper", {"proximal": "hard", "quantile": 0.7, "inversion_guidance": True}),
        ("edit_friendly", "pie-bench", {"mapper": "auto"}),
        ("edict", "paper", {"posterior": "sample"}),
        ("edict", "pie-bench", {"posterior": "sample"}),
    ],
)
def test_presets_are_as_published(name: str, preset: str, fields: dict[str, object]) -> None:
    method = methods.load(name)
    setting = method.Setting(**method.info.presets[preset].settings)
    assert setting.model_dump(include=set(fields)) == fields


def test_edict_inverts_a_sample_of_the_posterior_where_asked(small: Backbone) -> None:
    side = small.resolution
    images = ones(1, 3, side, side) / 2
    batch = Batch(("x",), images, ("a cat",), ("a dog",), (BlendWords(),), (1,))
    for posterior, seeds in (("mean", None), ("sample", (1,))):
        # One step moves nothing: the pair is the picture's latents, twice.
        inversion = EDICT().invert(small, batch, EDICT.Setting(posterior=posterior, steps=1))
        expected = small.encode_images(images, seeds)
        assert_close(inversion.tensors["pair"], expected[:, None].expand(-1, 2, -1, -1, -1))


def test_timestep_set_and_posterior_belong_to_icds_inversion() -> None:
    assert ICDSetting().inversion_fields() == {"timestep_set": "4a", "posterior": "mean"}


@pytest.mark.parametrize(
    "fields",
    [
        {"tau1": 0.8, "tau2": 0.7},
        {"tau1": 1.1},
        {"guidance_scale": 0.5},
        {"guidance_interval": (600, 200)},
        {"timestep_set": "5"},
        {"cross_replace": -0.1},
        {"cross_replce": 0.1},
    ],
)
def test_impossible_settings_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ICDSetting(**fields)


def test_guidance_is_off_at_high_noise() -> None:
    assert [ICDSetting(tau1=0.7).guidance_at(t) for t in (259, 519, 779, 999)] == [20, 20, 1, 1]


def test_a_guidance_interval_takes_the_place_of_tau() -> None:
    setting = ICDSetting(tau1=0.1, guidance_interval=(519, 779))
    assert [setting.guidance_at(t) for t in (259, 519, 779, 999)] == [1, 20, 20, 1]


def test_new_words_leave_out_stop_words_and_repetitions() -> None:
    assert new_words("a cat in a hat", "the big cat with a big red hat") == ["big", "red"]


def edit(backbone: Backbone, method: type, source: str, target: str, words: BlendWords) -> Edits:
    side = backbone.resolution
    batch = Batch(("x",), ones(1, 3, side, side) / 2, (source,), (target,), (words,), (1,))
    setting = method.Setting() if method is ICD else method.Setting(steps=2)
    instance = method()
    return instance.edit(backbone, batch, instance.invert(backbone, batch, setting), [setting])


def test_missing_blend_words_switch_the_blend_off_and_say_so(small: Backbone) -> None:
    prompts = ("a cat on a mat", "a dog on a mat")
    absent = edit(small, ICD, *prompts, BlendWords(("fox",), ("bear",)))
    without = edit(small, ICD, *prompts, BlendWords())
    assert any("fox" in warning for warning in absent.warnings[0][0])
    assert without.warnings == (((),),)
    assert absent.images.equal(without.images)


def test_equal_prompts_are_reported(small: Backbone) -> None:
    edits = edit(small, NPI, "a cat", "a cat", BlendWords())
    assert any("same" in warning for warning in edits.warnings[0][0])


def test_edit_friendly_alone_reports_prompts_too(small: Backbone) -> None:
    side, long = small.resolution, "a cat " * 60
    batch = Batch(("x",), ones(1, 3, side, side) / 2, (long,), (long,), (BlendWords(),), (1,))
    method, setting = EditFriendly(), EditFriendly.Setting(steps=2, skip=1, p2p=False)
    inversion = method.invert(small, batch, setting)
    ((warnings,),) = method.edit(small, batch, inversion, [setting]).warnings
    assert any("same" in warning for warning in warnings)
    assert any("tokens" in warning for warning in warnings)


@pytest.mark.parametrize("method", [ICD, NPI, SDEdit])
def test_long_prompts_are_cut_and_reported(method: type, small: Backbone) -> None:
    edits = edit(small, method, "a cat", "a dog " * 60, BlendWords())
    assert any("tokens" in warning for warning in edits.warnings[0][0])


def test_long_source_prompts_are_reported_by_the_inversion(small: Backbone) -> None:
    side = small.resolution
    images = ones(1, 3, side, side) / 2
    batch = Batch(("x",), images, ("a dog " * 60,), ("a cat",), (BlendWords(),), (1,))
    (warnings,) = ICD().invert(small, batch, ICDSetting()).warnings
    assert "tokens" in warnings[0]
