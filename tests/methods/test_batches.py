"""Every method: the result of an edit depends on nothing but the sample and its setting."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_cases import assert_close

from icd_bench.api import Batch, BlendWords, Edits, Setting
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.p2p_edit import sizes_of
from icd_bench.methods.aidi import AIDI
from icd_bench.methods.ddim import DDIM
from icd_bench.methods.direct_inversion import DirectInversion
from icd_bench.methods.edict import EDICT
from icd_bench.methods.edit_friendly import EditFriendly
from icd_bench.methods.icd import ICD
from icd_bench.methods.identity import Identity
from icd_bench.methods.infedit import InfEdit
from icd_bench.methods.npi import NPI
from icd_bench.methods.nti import NTI
from icd_bench.methods.proxnpi import ProxNPI
from icd_bench.methods.renoise import ReNoise
from icd_bench.methods.sdedit import SDEdit

N = 3

PROMPTS = [
    ("a cat on a mat", "a dog on a mat", ("cat", "dog")),
    ("a red car in the street", "a shiny blue car in the street", ("car", "car")),
    ("a horse in the mud", "a zebra in the snow", None),
    ("a bowl of soup", "a bowl of soup with basil", ("soup", "basil")),
    ("two birds", "two birds in the rain", None),
    ("a house by the sea", "a castle by the sea", ("house", "castle")),
    ("a photo of a lake", "a painting of a lake", None),
    ("a child with a kite", "a child with a balloon", ("kite", "balloon")),
]

P2P = {"cross_replace": 0.8, "self_replace": 0.4, "amplify": 2.0}
OPTIMISATION = {"steps": N, "guidance_scale": 4.0, "inner_steps": 3}
NOISE = {"steps": N + 1, "skip": 1, "source_guidance_scale": 2.0}

MASACTRL = {"attention": "masactrl", "steps": N, "mutual_steps": 1}
SOLVED = {"steps": N, "iterations": 3, "guidance_scale": 4.0}

CONSISTENT = {"steps": 4, "cross_replace": 0.75, "self_replace": 0.5, "similarity": "released"}
RENOISED = {
    "steps": 2,
    "rounds": 2,
    "early_rounds": 1,
    "average_range": (1, 3),
    "regularisation_steps": 1,
}
ANCESTRAL = {**RENOISED, "sampler": "euler_ancestral", "reference": "clean"}

METHODS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "icd": (ICD, [{**P2P, "guidance_scale": 8.0}, {"tau1": 0.7, "tau2": 0.9}, {"blend": False}]),
    "ddim": (
        DDIM,
        [
            {**P2P, "steps": N, "guidance_scale": 4.0},
            {"steps": N, "guidance_scale": 1.0},
            {"steps": N, "guide_source": False},
            {**P2P, "steps": N, "guidance_scale": 4.0, "self_downscale": 4},
        ],
    ),
    "npi": (NPI, [{**P2P, "steps": N}, {"steps": N, "guidance_scale": 3.0, "blend": False}]),
    "nti": (
        NTI,
        [
            {**P2P, **OPTIMISATION},
            {**OPTIMISATION, "blend": False, "self_replace": 0.2},
        ],
    ),
    "proxnpi": (
        ProxNPI,
        [
            {**P2P, "steps": N},
            {"steps": N, "proximal": "hard", "inversion_guidance": True, "quantile": 0.8},
            {"steps": N, "reconstruction_guidance": True, "recon_lr": 0.5, "threshold": 0.2},
        ],
    ),
    "direct_inversion": (
        DirectInversion,
        [{**P2P, "steps": N}, {"steps": N, "guidance_scale": 3.0, "blend": False}],
    ),
    "edit_friendly": (
        EditFriendly,
        [
            {**P2P, **NOISE},
            {**NOISE, "p2p": False},
            {**NOISE, "blend": True, "guidance_scale": 1.0},
        ],
    ),
    "sdedit": (
        SDEdit,
        [
            {"steps": N, "strength": 0.4},
            {"steps": N, "strength": 1.0, "guidance_scale": 2.0},
            {"steps": N, "strength": 0.0},
        ],
    ),
    "icd_masactrl": (ICD, [{"attention": "masactrl", "mutual_masks": True}, P2P]),
    "direct_inversion_masactrl": (
        DirectInversion,
        [{**MASACTRL, "mutual_masks": True}, {**P2P, "steps": N}, {**MASACTRL, "mutual_layers": 4}],
    ),
    "edict": (
        EDICT,
        [
            {"steps": N + 1, "attention": "p2p", "amplify": 2.0, "cross_window": (0.3, 1.0)},
            {"steps": N + 1},
            {"steps": N + 1, "attention": "p2p", "self_window": (0.5, 0.5)},
        ],
    ),
    "aidi": (AIDI, [{**P2P, **SOLVED}, {**SOLVED, "blend": False, "guidance_scale": 1.0}]),
    "infedit": (
        InfEdit,
        [
            CONSISTENT,
            {**CONSISTENT, "guidance_scale": 1.0, "keep_words": "a"},
            {**CONSISTENT, "source_scale": 1.5, "source_negative_prompt": "blurry"},
            {**CONSISTENT, "eta": 0.5, "blend": False},
            {"steps": 4, "attention": False},
        ],
    ),
    "renoise": (ReNoise, [RENOISED, {**RENOISED, "guidance_scale": 3.0}]),
    "renoise, ancestral": (ReNoise, [ANCESTRAL, {**ANCESTRAL, "guidance_scale": 3.0}]),
    "renoise, guided": (ReNoise, [{**ANCESTRAL, "inversion_guidance_scale": 2.0}]),
    "identity": (Identity, [{}, {}]),
}


def make_batch(backbone: Backbone, members: list[int]) -> Batch:
    generator = torch.Generator().manual_seed(0)
    side = backbone.resolution
    images = torch.rand(len(PROMPTS), 3, side, side, generator=generator)
    chosen = [PROMPTS[i] for i in members]
    return Batch(
        ids=tuple(map(str, members)),
        images=images[members],
        source_prompts=tuple(source for source, _, _ in chosen),
        target_prompts=tuple(target for _, target, _ in chosen),
        blend_words=tuple(
            BlendWords((words[0],), (words[1],)) if words else BlendWords()
            for _, _, words in chosen
        ),
        seeds=tuple(1000 + i for i in members),
    )


def run(backbone: Backbone, name: str, members: list[int], settings: list[int]) -> Edits:
    method = METHODS[name][0]()
    chosen = make_settings(name, settings)
    batch = make_batch(backbone, members)
    inversion = method.invert(backbone, batch, chosen[0])
    return method.edit(backbone, batch, inversion, chosen)


def make_settings(name: str, members: list[int]) -> list[Setting]:
    method, fields = METHODS[name]
    return [method.Setting(**fields[i]) for i in members]


@pytest.mark.parametrize("name", METHODS)
def test_batch_size_order_and_settings_do_not_matter(name: str, small: Backbone) -> None:
    everyone = list(range(8))
    settings = list(range(len(METHODS[name][1])))
    together = run(small, name, everyone, settings)
    assert together.images.shape == (8, len(settings), 3, small.resolution, small.resolution)

    backwards = run(small, name, everyone[::-1], settings[::-1])
    assert_close(backwards.images.flip(0, 1), together.images, 1e-4)

    for sample in (0, 3):
        for setting in settings:
            alone = run(small, name, [sample], [setting])
            assert_close(alone.images[0, 0], together.images[sample, setting], 1e-4)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("max_rows", [3, 7])
def test_micro_batches_do_not_matter(name: str, max_rows: int, small: Backbone) -> None:
    settings = list(range(len(METHODS[name][1])))
    whole = run(small, name, [0, 1, 2], settings)
    small.max_rows = max_rows
    split = run(small, name, [0, 1, 2], settings)
    assert_close(split.images, whole.images, 1e-4)


def test_a_timestep_has_the_same_noise_whatever_is_skipped(small: Backbone) -> None:
    batch = make_batch(small, [0])
    few, many = (
        EditFriendly().invert(small, batch, EditFriendly.Setting(steps=6, skip=skip)).tensors
        for skip in (4, 1)
    )
    assert_close(few["latents"][:, 1:], many["latents"][:, 1:3], 0)
    assert_close(few["noise"], many["noise"][:, :2], 1e-3)


def test_self_attention_of_larger_layers_can_be_left_alone(small: Backbone) -> None:
    replaced, left = (run(small, "ddim", [0], [i]).images for i in (0, 3))
    assert not torch.allclose(replaced, left, atol=1e-4)
    assert sizes_of(small, 2) == small.attention_sizes
    assert sizes_of(small, 4).self_tokens == small.attention_sizes.self_tokens / 4


def test_identity_returns_the_source(small: Backbone) -> None:
    batch = make_batch(small, [0, 1])
    assert torch.equal(run(small, "identity", [0, 1], [0]).images[:, 0], batch.images)


@pytest.mark.parametrize("method", [NPI, ProxNPI, DirectInversion])
def test_who_says_ddim_inverts_by_ddim(method: Any, small: Backbone) -> None:
    assert method.info.inversion == DDIM.info.inversion == "ddim"
    setting = method.Setting(steps=4)
    assert setting.inversion_fields() == DDIM.Setting(steps=4).inversion_fields()
    found = method().invert(small, make_batch(small, [0, 1]), setting)
    expected = DDIM().invert(small, make_batch(small, [0, 1]), DDIM.Setting(steps=4))
    assert found.nfe == expected.nfe
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert torch.equal(found.tensors[name], tensor)
