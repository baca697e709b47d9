"""Losses meet no tensor of another device: by shapes and devices alone, so no GPU is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import pytest
import torch
from tiny_pipelines import tiny_unet
from torch._subclasses.fake_tensor import FakeTensorMode

from icd_bench.diffusion.timestep_sets import timestep_set
from icd_bench.training.adapters import Adapters
from icd_bench.training.batch import Examples, uniform
from icd_bench.training.cfg_distill import CfgDistillTask
from icd_bench.training.icd import REVERSE, IcdTask, chain, generation_steps, predictor
from icd_bench.training.losses import Boundaries, Levels
from icd_bench.training.networks import build_scheduler
from icd_bench.training.prediction import Predict
from icd_bench.training.sampling import ddim_timesteps, denoise

ROWS, BOUNDARIES = 4, Boundaries.of(timestep_set("4a"))
PREDICT = Predict(nullcontext, 16)
XL = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 8 + 6 * 4,
}


@pytest.fixture(autouse=True)
def _fake() -> Iterator[None]:
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        yield


def examples(step: int = 0) -> Examples:
    return Examples(
        torch.randn(ROWS, 4, 8, 8, device="cuda"), torch.randn(ROWS, 6, 16, device="cuda")
    )


def levels() -> Levels:
    return Levels(build_scheduler().alphas_cumprod.to("cuda"))


def unet(guidance_dim: int | None) -> Any:
    with torch.device("cuda"):
        return tiny_unet(16, time_cond_proj_dim=guidance_dim, **XL)


class Switches:
    """Stands in for adapters, whose layers cannot be made of shapes alone."""

    def __init__(self) -> None:
        self.unet = unet(512)

    def active(self, name: str | None) -> AbstractContextManager[Any]:
        return nullcontext(self.unet)


def icd_task() -> IcdTask:
    return IcdTask(
        [cast("Adapters", Switches())], examples, levels(), BOUNDARIES, lambda *_: {}, PREDICT,
        draw=uniform,
    )  # fmt: skip


def cfg_distill_task() -> CfgDistillTask:
    return CfgDistillTask(
        unet(512), unet(None), examples, lambda: torch.randn(1, 6, 16, device="cuda"), levels(),
        lambda *_: {}, PREDICT, draw=uniform,
    )  # fmt: skip


@pytest.mark.parametrize("make", [icd_task, cfg_distill_task])
def test_losses(make: Callable[[], Any]) -> None:
    losses = [
        loss_of()
        for update in make().updates(0, torch.Generator().manual_seed(0))
        for part in update.parts
        for loss_of in part
    ]
    assert losses
    assert {loss.device.type for loss in losses} == {"cuda"}


def test_jumps_of_the_validation() -> None:
    given = examples()
    network = predictor(cast("Adapters", Switches()), REVERSE, given.text, PREDICT)
    scale = torch.ones(ROWS, device="cuda")
    x = chain(given.x0, generation_steps(BOUNDARIES), network, scale, levels())
    assert x.device.type == "cuda"
    drawn = denoise(
        x, lambda x, t: network(x, t, scale), ddim_timesteps(2), levels().alphas_cumprod
    )
    assert drawn.device.type == "cuda"
