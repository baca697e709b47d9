"""Two official training iterations: four losses, each followed by its own optimiser step.

Once as the embedded model is trained, in threads, and once as real models are, in micro-batches.
"""

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
from icd_bench.training.adapters import Adapters
from icd_bench.training.batch import Batch, Examples
from icd_bench.training.icd import FORWARD, REVERSE, IcdTask
from icd_bench.training.loop import Plan, Trainer
from icd_bench.training.losses import Boundaries, Levels
from icd_bench.training.networks import build_scheduler
from icd_bench.training.prediction import Predict
from icd_bench.training.processes import Processes

KINDS = ("reverse", "forward", "forward_preserve", "reverse_preserve")
FILES = {REVERSE: "reverse", FORWARD: "forward"}


@pytest.fixture(params=[None, 2], ids=["at once", "in micro-batches"])
def trainer(
    request: pytest.FixtureRequest, tiny_sd_icd: Backbone, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Trainer:  # fmt: skip
    """The task as it is, with the recorded draws in place of random ones, in float32."""
    case = read_case("icd/training_iterations")
    draws = cycle(torch.tensor(case.settings["index"][kind]) for kind in KINDS)
    monkeypatch.setattr(Batch, "draw", lambda self, below: next(draws))
    monkeypatch.setattr(Batch, "noise", lambda self: case.tensors["noise"])
    monkeypatch.setattr(Batch, "scales", lambda self, choices: case.tensors["w"] + 1)
    unet = copy.deepcopy(tiny_sd_icd.networks("cfg_distilled")).float()
    adapters = Adapters(unet, (REVERSE, FORWARD), rank=64, alpha=8)
    for name, file in FILES.items():
        adapters.load(name, load_file(GOLDEN / "tiny-sd-icd-lora" / f"{file}.safetensors"))
    examples = Examples(case.tensors["latents"], case.tensors["prompt_embeds"])
    replicas = [adapters] if request.param else [adapters, adapters.replica()]
    task = IcdTask(
        replicas, lambda step: examples, Levels(build_scheduler().alphas_cumprod),
        Boundaries.of(timestep_set("4a")), lambda *_: {}, Predict(nullcontext),
        rows_at_once=request.param,
    )  # fmt: skip
    plan = Plan(steps=10**9, batch_size=5, lr=case.settings["lr"], warmup=1)
    machine = Processes(cpu=True) if request.param else None
    return Trainer(task, plan, tmp_path, machine)


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
