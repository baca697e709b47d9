"""The iCD losses against the official step functions, values and gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from golden_cases import GOLDEN, Case, assert_close, read_case
from safetensors.torch import load_file
from torch import Tensor

from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.guidance import guidance_embedding
from icd_bench.diffusion.timestep_sets import timestep_set
from icd_bench.training.adapters import PREFIX, Adapters
from icd_bench.training.losses import (
    Boundaries,
    Levels,
    Loss,
    Network,
    forward_loss,
    preservation_loss,
    pseudo_huber,
    reverse_loss,
    segments,
)
from icd_bench.training.networks import build_scheduler

BOUNDARIES = Boundaries.of(timestep_set("4a"))
NAMES = {"cd": "reverse", "fcd": "forward"}


@pytest.fixture(scope="module")
def case() -> Case:
    return read_case("icd/training_losses")


@pytest.fixture
def adapters(tiny_sd_icd: Backbone) -> Adapters:
    unet = copy.deepcopy(tiny_sd_icd.networks("cfg_distilled")).float()
    found = Adapters(unet, tuple(NAMES), rank=64, alpha=8)
    for name, file in NAMES.items():
        found.load(name, load_file(GOLDEN / "tiny-sd-icd-lora" / f"{file}.safetensors"))
    return found


def networks(adapters: Adapters, text: Tensor) -> tuple[Network, Network, Network]:
    def network(name: str | None) -> Network:
        def predict(x: Tensor, t: Tensor, scale: Tensor) -> Tensor:
            with adapters.active(name) as unet:
                condition = guidance_embedding(scale, 512)
                eps: Tensor = unet(x, t, text, timestep_cond=condition).sample
            return eps

        return predict

    return network(None), network("cd"), network("fcd")


def loss_of(kind: str, case: Case, adapters: Adapters) -> Loss:
    g = case.tensors
    teacher, cd, fcd = networks(adapters, g["prompt_embeds"])
    levels = Levels(build_scheduler().alphas_cumprod)
    index = torch.tensor(case.info["losses"][kind]["index"])
    left, right = segments(BOUNDARIES)
    x0, noise = g["latents"], g["noise"]
    match kind:
        case "reverse":
            return reverse_loss(index, x0, noise, g["w"] + 1, cd, teacher, levels, BOUNDARIES)
        case "forward":
            return forward_loss(index, x0, noise, fcd, teacher, levels, BOUNDARIES)
        case "forward_preserve":
            return preservation_loss(right[index], left[index], x0, noise, cd, fcd, levels)
    return preservation_loss(left[index], right[index], x0, noise, fcd, cd, levels)


@pytest.mark.parametrize(
    ("kind", "moved"),
    [
        ("reverse", "cd"),
        ("forward", "fcd"),
        ("forward_preserve", "fcd"),
        ("reverse_preserve", "cd"),
    ],
)
def test_values_and_gradients_are_the_official_ones(
    kind: str, moved: str, case: Case, adapters: Adapters
) -> None:
    loss = loss_of(kind, case, adapters)
    recorded, tolerance = case.info["losses"][kind], case.info["recommended_atol"]
    target = "x_start" if kind.endswith("preserve") else "target"
    assert_close(loss.prediction, case.tensors[f"{kind}.prediction"], tolerance["states"])
    assert_close(loss.target, case.tensors[f"{kind}.{target}"], tolerance["states"])
    assert_close(loss.per_sample, case.tensors[f"{kind}.loss_per_sample"], tolerance["loss"])
    assert loss.mean.item() == pytest.approx(recorded["loss"], abs=tolerance["loss"])

    (recorded["coefficient_in_backward"] * loss.mean).backward()
    for name, weights in adapters.weights.items():
        norms = [p.grad.norm() for p in weights.values() if p.grad is not None]
        if name == moved:
            total = float(torch.stack(norms).norm())
            assert total == pytest.approx(recorded["grad_norm_total"], rel=1e-3)
        else:
            assert not norms
    stored = {k: v for k, v in case.tensors.items() if k.startswith(f"{kind}.grad.")}
    assert stored
    for key, expected in stored.items():
        gradient = adapters.weights[moved][key.removeprefix(f"{kind}.grad.")].grad
        assert gradient is not None
        assert_close(gradient, expected, 1e-3 * float(expected.abs().max()))


def test_adapters_load_and_give_the_released_keys(adapters: Adapters) -> None:
    released = load_file(GOLDEN / "tiny-sd-icd-lora" / "reverse.safetensors")
    state = adapters.state("cd")
    assert set(state) == set(released)
    assert all(key.startswith(PREFIX) for key in state)
    assert all(torch.equal(state[key], released[key]) for key in released)


def test_pseudo_huber_is_quadratic_near_zero_and_linear_far_away() -> None:
    d = torch.tensor([[0.0], [1e-5], [10.0]])
    values = pseudo_huber(d, torch.zeros_like(d), c=1e-3)
    assert values[0] == 0
    assert float(values[1]) == pytest.approx(1e-10 / 2e-3, rel=0.05)
    assert float(values[2]) == pytest.approx(10 - 1e-3, rel=1e-6)


def test_boundaries_are_the_released_endpoints() -> None:
    assert BOUNDARIES.reverse == (0, 259, 519, 779)
    assert BOUNDARIES.forward == (259, 519, 779, 999)
    t = torch.tensor([0, 19, 258, 259, 260, 999])
    assert BOUNDARIES.below(t).tolist() == [0, 0, 0, 259, 259, 779]
    assert BOUNDARIES.above(t).tolist() == [259, 259, 259, 259, 519, 999]
