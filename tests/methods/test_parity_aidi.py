"""AIDI: its fixed point without acceleration against FPI's code, and what accelerates it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from golden_cases import assert_close, read_case
from torch import Tensor

from icd_bench.api import Batch, BlendWords
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.p2p_edit import p2p_edit
from icd_bench.methods.aidi import AIDISetting, FixedPointMap, guided_steps, inversion_steps, solve

STORED = {"fixed_point": (1, 4, 8), "fixed_point_no_guidance": (1, 3, 6)}
"""Inversion steps whose latents are kept."""

NO_P2P = {"cross_replace": 0, "self_replace": 0, "blend": False, "amplify": 1}


def make_setting(name: str) -> AIDISetting:
    given = read_case(f"aidi/{name}").settings
    return AIDISetting(
        steps=given["num_steps"],
        iterations=given["iterations"],
        acceleration="none",
        tolerance=0,
        inversion_guidance_scale=given["inversion_guidance_scale"],
        guidance_scale=given["guidance_scale"],
        **NO_P2P,
    )


@pytest.mark.parametrize("name", STORED)
def test_inversion(name: str, tiny_sd: Backbone) -> None:
    case = read_case(f"aidi/{name}")
    x0, atol = case.tensors["x0"], case.info["recommended_atol"]
    text = tiny_sd.encode_prompts([case.source_prompt])

    steps = list(inversion_steps(tiny_sd, x0, text, make_setting(name)))

    trajectory = [x0, *(iterates[-1] for iterates in steps)]
    for i, expected in zip(STORED[name], case.tensors["inversion_trajectory"], strict=True):
        assert_close(trajectory[i][0], expected, atol["inversion_trajectory"])
    chains = [torch.cat([x, *iterates]) for x, iterates in zip(trajectory, steps, strict=False)]
    changes = torch.stack([chain.diff(dim=0).flatten(1).norm(dim=1) for chain in chains])
    assert_close(changes, case.tensors["residuals"], atol["residuals"])


@pytest.mark.parametrize("name", STORED)
def test_edit_and_reconstruction(name: str, tiny_sd: Backbone) -> None:
    """The source row is the reconstruction, and without P2P the target row is FPI's edit."""
    case = read_case(f"aidi/{name}")
    setting, atol = make_setting(name), case.info["recommended_atol"]
    edit = p2p_edit(tiny_sd, case.batch(BlendWords()), [setting], setting.steps)

    states = list(guided_steps(edit, case.tensors["inversion_trajectory"][-1:], [setting]))

    if (expected := case.tensors.get("latents_after_step_4")) is not None:
        assert_close(states[4][1:], expected, atol["latents_after_step_*"])
    source, target = states[-1].split(1)
    assert_close(source, case.tensors["reconstruction_latents"], atol["reconstruction_latents"])
    assert_close(target, case.tensors["final_latents"], atol["final_latents"])


# ------------------------------------------------------------------ blended guidance


def edited(backbone: Backbone, **fields: float) -> Tensor:
    """The target row's final latents; LocalBlend finds places, but never acts on the latents."""
    batch = Batch(
        ids=("x",),
        images=torch.zeros(1, 3, backbone.resolution, backbone.resolution),
        source_prompts=("a cat on a mat",),
        target_prompts=("a dog on a mat",),
        blend_words=(BlendWords(("cat",), ("dog",)),),
        seeds=(0,),
    )
    setting = AIDISetting(**{"steps": 2, "blend_start": 1.0, "guidance_scale": 6.0, **fields})
    start = torch.randn(1, *backbone.latent_shape, generator=torch.Generator().manual_seed(0))
    edit = p2p_edit(backbone, batch, [setting], setting.steps)
    *_, latents = guided_steps(edit, start, [setting])
    return latents[1]


def test_guidance_is_blended_between_place_and_background(small: Backbone) -> None:
    everywhere = edited(small)
    assert_close(edited(small, background_guidance_scale=6.0), everywhere, 1e-5)
    nowhere = edited(small, blend_threshold=1.0, background_guidance_scale=2.0)
    assert_close(nowhere, edited(small, guidance_scale=2.0), 1e-5)
    blended = edited(small, background_guidance_scale=2.0)
    assert not torch.allclose(blended, everywhere, atol=1e-2)
    assert not torch.allclose(blended, nowhere, atol=1e-2)


# ------------------------------------------------------------------------- the solver


def contraction(strength: Sequence[float]) -> tuple[FixedPointMap, Tensor, list[list[int]]]:
    """A map for each picture, more or less contracting; its fixed points; who asked for it when."""
    generator = torch.Generator().manual_seed(0)
    bend = torch.randn(16, 16, generator=generator)
    bend /= torch.linalg.matrix_norm(bend, 2)
    solution = torch.randn(len(strength), 1, 4, 4, generator=generator)
    calls: list[list[int]] = []

    def f(z: Tensor, rows: Sequence[int]) -> Tensor:
        calls.append(list(rows))
        factor = torch.tensor([strength[row] for row in rows])[:, None]
        away = (z - solution[list(rows)]).flatten(1)
        return solution[list(rows)] + (factor * (away + away.sin()) / 2 @ bend.T).view_as(z)

    return f, solution, calls


def error_after(iterations: int, acceleration: str, strength: float = 0.9) -> float:
    f, solution, _ = contraction([strength])
    setting = AIDISetting(iterations=iterations, acceleration=acceleration, window=5, tolerance=0)
    *_, latents = solve(f, torch.zeros(1, 1, 4, 4), setting)
    return float((latents - solution).norm() / solution.norm())


def test_anderson_converges_faster() -> None:
    assert error_after(12, "anderson") < error_after(12, "none") / 10


def test_every_acceleration_ends_at_the_fixed_point() -> None:
    for acceleration in ("none", "empirical", "anderson"):
        assert error_after(60, acceleration, strength=0.6) < 1e-5


def test_the_empirical_mean_is_of_the_last_two_values() -> None:
    setting = AIDISetting(iterations=3, acceleration="empirical", tolerance=0)

    def f(z: Tensor, rows: Sequence[int]) -> Tensor:
        return 1 - z / 2

    iterates = [z.item() for z in solve(f, torch.zeros(1, 1, 1, 1), setting)]
    # f(0) = 1; (f(1) + f(0)) / 2 = (.5 + 1) / 2; (f(.75) + f(1)) / 2 = (.625 + .5) / 2
    assert iterates == [1.0, 0.75, 0.5625]


def test_pictures_that_stand_still_are_not_evaluated_again() -> None:
    f, solution, calls = contraction([0.0, 0.9, 0.5])
    setting = AIDISetting(iterations=50, acceleration="none", tolerance=1e-3)

    *_, latents = solve(f, torch.zeros(3, 1, 4, 4), setting)

    spent = [sum(row in rows for rows in calls) for row in range(3)]
    assert spent[0] == 2
    assert spent[0] < spent[2] < spent[1] < 50
    assert (latents - solution).flatten(1).abs().amax() < 0.05


def test_pictures_are_solved_as_if_alone() -> None:
    strength = [0.0, 0.9, 0.5]
    setting = AIDISetting(iterations=8, tolerance=1e-3)
    f, _, _ = contraction(strength)
    *_, together = solve(f, torch.zeros(3, 1, 4, 4), setting)

    for row in range(3):

        def alone(z: Tensor, rows: Sequence[int], row: int = row) -> Tensor:
            return f(z, [row])

        *_, latents = solve(alone, torch.zeros(1, 1, 4, 4), setting)
        assert_close(latents[0], together[row], 1e-5)
