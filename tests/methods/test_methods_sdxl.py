"""Methods on Stable Diffusion XL: prompt switching, ancestral sampling, few-step inversion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.schedulers import scheduling_euler_ancestral_discrete
from golden_cases import assert_close
from PIL import Image
from tiny_sdxl import make_turbo
from torch import Tensor

from icd_bench import registry
from icd_bench.api import Batch, BlendWords, Edits, Inversion, Method
from icd_bench.diffusion.attention import Row
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.noise import randn
from icd_bench.errors import UnknownName, UsageError
from icd_bench.methods.icd import ICD, ICDSetting, switched_jumps
from icd_bench.methods.renoise import ReNoise, ReNoiseSetting
from icd_bench.methods.sdedit import SDEdit, SDEditSetting, denoising_steps
from icd_bench.models import ModelSpec, local_model
from icd_bench.run import edit_one
from icd_bench.run.planning.settings import resolve_settings

SOURCES = ("a cat on a bench", "a red car", "two birds")
TARGETS = ("a dog on a bench", "a blue car in the snow", "three birds")


def batch_of(backbone: Backbone, samples: Sequence[int] = (0, 1, 2)) -> Batch:
    side = backbone.resolution
    images = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Batch(
        ids=tuple(str(i) for i in samples),
        images=images[list(samples)],
        source_prompts=tuple(SOURCES[i] for i in samples),
        target_prompts=tuple(TARGETS[i] for i in samples),
        blend_words=(BlendWords(),) * len(samples),
        seeds=tuple(samples),
    )


def edit(method: Method, backbone: Backbone, settings: Sequence[Any], *samples: int) -> Edits:
    batch = batch_of(backbone, samples or (0, 1, 2))
    return method.edit(backbone, batch, method.invert(backbone, batch, settings[0]), settings)


def of_model(method: type[Method], model: str = "tiny-sdxl", **fields: Any) -> Any:
    """The method's setting for a model of the family, with some fields changed."""
    (found,) = resolve_settings(method.info, method.Setting, model, family="sdxl")
    return method.Setting(**{**found.model_dump(), **fields})


# --------------------------------------------------------------------------------- icd


def test_icd_switches_prompts_there_by_default() -> None:
    setting = of_model(ICD)
    assert (setting.editing, setting.posterior, setting.timestep_set) == (
        "prompt_switch",
        "sample",
        "4b",
    )
    assert [setting.guidance_at(t) for t in (999, 699, 499)] == [1.0, 20.0, 20.0]
    assert setting.needs == ("icd:4b",)


def test_attention_control_of_icd_is_refused_there(tiny_sdxl: Backbone) -> None:
    with pytest.raises(UsageError, match="editing=prompt_switch"):
        edit(ICD(), tiny_sdxl, [of_model(ICD, editing="attention")])


def test_prompts_are_switched_at_tau(tiny_sdxl: Backbone) -> None:
    """Source words above 1000 tau1, the target's from there on, and always its pooled text."""
    setting = of_model(ICD, tau1=0.5, tau2=0.7, guidance_scale=8.0)
    batch = batch_of(tiny_sdxl, [0])
    start = randn([3], tiny_sdxl.latent_shape, "test")
    states = list(switched_jumps(tiny_sdxl, batch, start, [setting]))

    source, target = (tiny_sdxl.encode_prompts([x[0]]) for x in (SOURCES, TARGETS))
    mixed = torch.cat([source[:, :77], target[:, 77:]], dim=1)
    network, latents = tiny_sdxl.network("icd_reverse:4b"), start
    jumps = [(999, 699, mixed), (699, 499, mixed), (499, 249, target), (249, -1, target)]
    for (t, s, text), state in zip(jumps, states, strict=True):
        # Linear from 8 at tau1 to 1 at tau2: 1.0175 at t = 699.
        scale = {999: 1.0, 699: 1 + 7 * (700 - 699) / 200}.get(t, 8.0)
        eps = network(latents, t, text, [Row(0)], guidance_scale=scale)
        latents = tiny_sdxl.schedule.jump(latents, eps, t, s)
        assert_close(state, latents, 2e-4 * float(latents.abs().max()))
    assert (states[-1] - start).abs().max() > 0.1


def test_icd_costs_a_row_a_jump_and_settings_share_the_inversion(tiny_sdxl: Backbone) -> None:
    settings = [of_model(ICD), of_model(ICD, tau1=0.4), of_model(ICD, guidance_scale=5.0)]
    together = edit(ICD(), tiny_sdxl, settings)
    assert together.nfe_shared == (0, 0, 0)
    assert together.nfe == ((4, 4, 4),) * 3
    assert together.images.shape == (3, 3, 3, 32, 32)
    for sample in range(3):
        for k, setting in enumerate(settings):
            alone = edit(ICD(), tiny_sdxl, [setting], sample)
            assert_close(alone.images[0, 0], together.images[sample, k], 1e-4)


def test_both_ways_to_edit_can_be_compared_elsewhere(small: Backbone) -> None:
    """On Stable Diffusion 1.x the prompt can be switched as well, in the same call."""
    fields = {"guidance_scale": 8.0, "tau1": 0.7}
    by = {way: ICDSetting(editing=way, **fields) for way in ("prompt_switch", "attention")}
    both = edit(ICD(), small, list(by.values()), 0)
    assert (both.nfe_shared, both.nfe) == ((4,), ((4, 4),))
    assert (both.images[0, 0] - both.images[0, 1]).abs().max() > 0.01
    for k, setting in enumerate(by.values()):
        assert_close(edit(ICD(), small, [setting], 0).images[0, 0], both.images[0, k], 1e-4)


@pytest.mark.parametrize("preset", ["", "paper"])
def test_a_photo_is_edited_from_the_command_line(
    preset: str, tiny_sdxl_spec: ModelSpec, tmp_path: Path
) -> None:
    Image.new("RGB", (40, 50), "red").save(photo := tmp_path / "photo.png")
    folder = str(tiny_sdxl_spec.root)
    edited = edit_one(photo, "a cat", "a dog", "icd", folder, device="cpu", preset=preset)
    assert edited.image.size == (32, 32)
    assert (edited.nfe_invert, edited.nfe_edit, edited.warnings) == (4, 4, ())
    with pytest.raises(UsageError, match="editing=prompt_switch"):
        edit_one(photo, "a cat", "a dog", "icd", folder, ["editing=attention"], device="cpu")
    with pytest.raises(UnknownName, match=r'sdedit: there is no preset "paper"\. It has none'):
        edit_one(photo, "a cat", "a dog", "sdedit", folder, device="cpu", preset="paper")


# -------------------------------------------------------------------- renoise and sdedit


@pytest.fixture(scope="module")
def turbo(tmp_path_factory: pytest.TempPathFactory, tiny_sdxl_spec: ModelSpec) -> Backbone:
    folder = tmp_path_factory.mktemp("turbo") / "sdxl-turbo"
    return Backbone.load(local_model(make_turbo(folder, tiny_sdxl_spec.root)))


@pytest.mark.parametrize(
    ("model", "sampler", "evaluations"),
    [("sdxl", "ddim", 8), ("sdxl-turbo", "euler_ancestral", 9), ("lcm-sdxl", "lcm", 8)],
)
def test_renoise_has_a_configuration_for_each_model(
    model: str, sampler: str, evaluations: int, turbo: Backbone
) -> None:
    few = {"steps": 2, "rounds": 2, "average_range": (1, 3), "regularisation_steps": 1}
    setting = of_model(ReNoise, model, **few)
    assert setting.sampler == sampler
    assert setting.needs == (("lcm",) if sampler == "lcm" else ())
    batch = batch_of(turbo, [0, 1])
    inversion = ReNoise().invert(turbo, batch, setting)
    # K + 1 predictions and the reference's in each step, one to correct the noise of the first.
    assert inversion.nfe == (evaluations, evaluations)
    together = ReNoise().edit(turbo, batch, inversion, [setting])
    alone = edit(ReNoise(), turbo, [setting], 1)
    assert together.nfe == ((2,), (2,))
    assert_close(alone.images[0, 0], together.images[1, 0], 1e-3)


def test_sdedit_samples_turbo_as_its_scheduler_does(
    turbo: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step of the ancestral sampler against diffusers', with the same noise."""
    setting = of_model(SDEdit, "sdxl-turbo", strength=0.75)
    assert (setting.sampler, setting.steps, setting.guidance_scale) == ("euler_ancestral", 4, 1.0)
    batch = batch_of(turbo, [0])
    inversion = SDEdit().invert(turbo, batch, setting)
    x0, noise = inversion.tensors["latents"], inversion.tensors["noise"]
    states = list(denoising_steps(turbo, batch, inversion, [setting]))[1:]
    assert len(states) == 3

    scheduler = diffusers.EulerAncestralDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(4)
    scheduler.set_begin_index(1)
    draws = iter(inversion.tensors["step_noise"][:, 1:].unbind(1))
    monkeypatch.setattr(
        scheduling_euler_ancestral_discrete, "randn_tensor", lambda *_, **__: next(draws)
    )
    text, network = turbo.encode_prompts([TARGETS[0]]), turbo.network("base")
    latents = scheduler.add_noise(x0, noise, scheduler.timesteps[1:2])
    for i, state in enumerate(states, start=1):
        t = scheduler.timesteps[i]
        eps: Tensor = network(scheduler.scale_model_input(latents, t), int(t), text, [Row(0)])
        latents = scheduler.step(eps, t, latents).prev_sample
        unit_variance = latents / (1 + scheduler.sigmas[i + 1] ** 2).sqrt()
        assert_close(state, unit_variance, 1e-4)


def test_settings_of_sdedit_share_the_noise_and_batches_do_not_matter(turbo: Backbone) -> None:
    settings = [of_model(SDEdit, "sdxl-turbo", strength=s) for s in (0.25, 0.5, 1.0)]
    together = edit(SDEdit(), turbo, settings)
    assert together.nfe == ((1, 2, 4),) * 3
    for k, setting in enumerate(settings):
        assert_close(edit(SDEdit(), turbo, [setting], 1).images[0, 0], together.images[1, k], 1e-4)


def test_a_deterministic_sampler_draws_no_step_noise(small: Backbone) -> None:
    inversion: Inversion = SDEdit().invert(small, batch_of(small, [0]), SDEditSetting())
    assert set(inversion.tensors) == {"latents", "noise"}
    setting = ReNoiseSetting(posterior="sample", sampler="ddim", steps=1)
    sampled = ReNoise().invert(small, batch_of(small, [0]), setting)
    mean = ReNoise().invert(
        small, batch_of(small, [0]), setting.model_copy(update={"posterior": "mean"})
    )
    assert (sampled.tensors["latents"] - mean.tensors["latents"]).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("ddim", {"amplify_words": "new"}),
        ("nti", {"inner_steps": 2}),
        ("npi", {}),
        ("proxnpi", {}),
        ("direct_inversion", {"attention": "masactrl", "mutual_steps": 0}),
        ("edit_friendly", {"skip": 0}),
        ("edict", {"attention": "p2p"}),
        ("aidi", {}),
        ("infedit", {}),
    ],
)
def test_the_other_methods_edit_there_as_well(
    name: str, fields: dict[str, Any], tiny_sdxl: Backbone
) -> None:
    method = registry.methods.load(name)
    setting = of_model(method, steps=2, **fields)
    together = edit(method(), tiny_sdxl, [setting], 0, 1)
    alone = edit(method(), tiny_sdxl, [setting], 1)
    assert together.images.shape == (2, 1, 3, 32, 32)
    assert together.images.isfinite().all()
    assert_close(alone.images[0, 0], together.images[1, 0], 1e-3)
