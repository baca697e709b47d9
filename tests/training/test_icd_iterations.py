"""Two official training iterations: four losses, each followed by its own optimiser step."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from itertools import cycle
from pathlib import Path

import pytest
import torch
from golden_cases import GOLDEN, Case, read_case
from safetensors.torch import load_file

from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.timestep_sets import timestep_set
from icd_bench.training import icd
from icd_bench.training.adapters import Adapters
from icd_bench.training.icd import FORWARD, REVERSE, IcdTask
from icd_bench.training.latents import Latents
from icd_bench.training.loop import Plan, Trainer
from icd_bench.training.losses import Boundaries, Levels
from icd_bench.training.networks import build_scheduler

KINDS = ("reverse", "forward", "forward_preserve", "reverse_preserve")
FILES = {REVERSE: "reverse", FORWARD: "forward"}


@pytest.fixture
def trainer(tiny_sd_icd: Backbone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trainer:
    """The stage as it is, with the recorded draws in place of random ones, in float32."""
    case = read_case("icd/training_iterations")
    draws = cycle(torch.tensor(case.settings["index"][kind]) for kind in KINDS)
    monkeypatch.setattr(icd.Batch, "draw", lambda self, count: next(draws))
    monkeypatch.setattr(icd.Batch, "noise", lambda self: case.tensors["noise"])
    monkeypatch.setattr(icd, "draw_scales", lambda count, generator: case.tensors["w"] + 1)
    monkeypatch.setattr(icd, "mixed_precision", nullcontext)
    monkeypatch.setattr(Latents, "epoch_rows", lambda self, *_: torch.arange(5))
    unet = copy.deepcopy(tiny_sd_icd.networks("cfg_distilled")).float()
    adapters = Adapters(unet, (REVERSE, FORWARD), rank=64, alpha=8)
    for name, file in FILES.items():
        adapters.load(name, load_file(GOLDEN / "tiny-sd-icd-lora" / f"{file}.safetensors"))
    ids = torch.arange(5)[:, None]
    task = IcdTask(
        [adapters, adapters.replica()], lambda rows: case.tensors["prompt_embeds"][rows[:, 0]],
        Latents(case.tensors["latents"], ids, ids[0]), Levels(build_scheduler().alphas_cumprod),
        Boundaries.of(timestep_set("4a")), 5, 0, lambda *_: {},
    )  # fmt: skip
    plan = Plan(steps=10**9, batch_size=5, lr=case.settings["lr"], warmup=1)
    return Trainer(task, plan, tmp_path)


@pytest.fixture
def case() -> Case:
    return read_case("icd/training_iterations")


def test_two_iterations_are_the_official_ones(trainer: Trainer, case: Case) -> None:
    for turn in range(2):
        logs = trainer.take_step()
        trainer.step += 1
        for kind in KINDS:
            coefficient = 1.5 if kind.endswith("preserve") else 1.0
            expected = case.info["losses"][f"{kind}_{turn}"]["loss"]
            assert logs[kind] / coefficient == pytest.approx(expected, rel=1e-3), (kind, turn)
    assert isinstance(trainer.task, IcdTask)
    state = {
        f"{file}.{key}": value
        for name, file in FILES.items()
        for key, value in trainer.task.replicas[0].weights[name].items()
    }
    stored = {k: v for k, v in case.tensors.items() if k in state}
    assert len(stored) == 12
    for key, expected_weight in stored.items():
        difference = (state[key].detach() - expected_weight).square().mean().sqrt()
        assert float(difference) < case.info["recommended_atol"]["lora_weights_rms"], key
