"""Each stage takes a few steps on tiny networks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor

from icd_bench.diffusion.lora import fuse_lora
from icd_bench.diffusion.timestep_sets import timestep_set
from icd_bench.errors import UsageError
from icd_bench.training.adapters import PREFIX, Adapters
from icd_bench.training.batch import ExamplesOf, stratified
from icd_bench.training.cfg_distill import CfgDistillTask
from icd_bench.training.denoiser import denoising_losses
from icd_bench.training.icd import FORWARD, REVERSE, IcdTask, Schedule
from icd_bench.training.latents import Latents
from icd_bench.training.lcm import NAME, LcmTask
from icd_bench.training.loop import Plan, Task, Trainer
from icd_bench.training.losses import Boundaries, Levels
from icd_bench.training.networks import build_scheduler, replicate, with_guidance
from icd_bench.training.scenes import train
from icd_bench.training.scenes.model_folder import export_icd

PLAN = Plan(steps=2, batch_size=4, lr=1e-3, warmup=1)
LEVELS = Levels(build_scheduler().alphas_cumprod)
BOUNDARIES = Boundaries.of(timestep_set("4a"))


def tiny_unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(16, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=2,
        norm_num_groups=8,
        cross_attention_dim=12,
    )


@pytest.fixture
def latents() -> Latents:
    torch.manual_seed(1)
    return Latents(
        torch.randn(16, 4, 8, 8), torch.randint(0, 9, (16, 5)), torch.zeros(5, dtype=torch.long)
    )


def encode(ids: Tensor) -> Tensor:
    table = torch.randn(9, 12, generator=torch.Generator().manual_seed(2))
    return table[ids]


def examples(latents: Latents) -> ExamplesOf:
    return partial(latents.examples, encode, 4, 0)


def nothing(*_: object) -> dict[str, float]:
    return {}


def icd_task(latents: Latents, schedule: Schedule = "official") -> IcdTask:
    adapters = Adapters(with_guidance(tiny_unet()), (REVERSE, FORWARD), rank=2, alpha=2)
    return IcdTask(
        [adapters, adapters.replica()], examples(latents), LEVELS, BOUNDARIES, nothing,
        schedule=schedule,
    )  # fmt: skip


def moved(task: Task, trainer: Trainer) -> dict[str, bool]:
    """Which modules a step changes."""
    before = {n: [p.clone() for p in m.parameters()] for n, m in task.modules.items()}
    trainer.take_step()
    return {
        name: any(
            not torch.equal(a, b) for a, b in zip(before[name], module.parameters(), strict=True)
        )
        for name, module in task.modules.items()
    }


def test_a_new_guidance_embedding_changes_nothing() -> None:
    plain = tiny_unet()
    distilled = with_guidance(plain)
    x, t, text = torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), torch.randn(2, 5, 12)
    a = plain(x, t, text).sample
    b = distilled(x, t, text, timestep_cond=torch.randn(2, 512)).sample
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_guidance_distillation_moves_the_student_only(latents: Latents, tmp_path: Path) -> None:
    teacher = tiny_unet().requires_grad_(False)
    frozen = [p.clone() for p in teacher.parameters()]
    student = with_guidance(teacher).requires_grad_(True)
    null_text = partial(latents.null_text, encode)
    task = CfgDistillTask(student, teacher, examples(latents), null_text, LEVELS, nothing)
    assert moved(task, Trainer(task, PLAN, tmp_path)) == {"unet": True}
    assert all(torch.equal(a, b) for a, b in zip(frozen, teacher.parameters(), strict=True))


@pytest.mark.parametrize("schedule", ["official", "paper"])
def test_icd_moves_both_adapters_and_not_the_base(
    schedule: Schedule, latents: Latents, tmp_path: Path
) -> None:
    task = icd_task(latents, schedule)
    base = task.replicas[0].unet
    before = {k: v.clone() for k, v in base.state_dict().items() if "lora_" not in k}
    trainer = Trainer(task, PLAN, tmp_path)
    assert moved(task, trainer) == {REVERSE: True, FORWARD: True}
    trainer.take_step()
    assert all(torch.equal(v, base.state_dict()[k]) for k, v in before.items())


def test_official_schedule_takes_four_steps_and_paper_one(latents: Latents) -> None:
    def names(schedule: Schedule) -> list[str]:
        updates = icd_task(latents, schedule).updates(0, torch.Generator().manual_seed(0))
        return [update.name for update in updates]

    assert names("official") == ["reverse", "forward", "forward_preserve", "reverse_preserve"]
    assert names("paper") == ["sum"]


def test_threads_do_not_change_icd_training(latents: Latents, tmp_path: Path) -> None:
    many = icd_task(latents)
    one = icd_task(latents)
    one.replicas = one.replicas[:1]
    logs = [Trainer(task, PLAN, tmp_path).take_step() for task in (many, one)]
    for key, value in logs[1].items():
        assert logs[0][key] == pytest.approx(value, rel=0.05), key


def test_lcm_moves_its_adapter(latents: Latents, tmp_path: Path) -> None:
    adapters = Adapters(tiny_unet(), (NAME,), rank=2, alpha=2)
    teacher = with_guidance(tiny_unet()).requires_grad_(False)
    replicas = [adapters, adapters.replica()]
    task = LcmTask(replicas, teacher, examples(latents), LEVELS, nothing)
    assert moved(task, Trainer(task, PLAN, tmp_path)) == {NAME: True}


def test_saved_adapters_fuse_into_the_same_network(tmp_path: Path) -> None:
    base = with_guidance(tiny_unet())
    fused = {name: with_guidance(tiny_unet()) for name in (REVERSE, FORWARD)}
    adapters = Adapters(base, (REVERSE, FORWARD), rank=4, alpha=2)
    for weights in adapters.weights.values():
        for parameter in weights.values():
            torch.nn.init.normal_(parameter, std=0.1)
    export_icd(tmp_path / "icd", adapters, timestep_set("4a"))
    files = {
        REVERSE: tmp_path / "icd" / "reverse-259-519-779-999.safetensors",
        FORWARD: tmp_path / "icd" / "forward-19-259-519-779.safetensors",
    }
    x, t, text = torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), torch.randn(2, 5, 12)
    w = torch.randn(2, 512)
    plain = fused[REVERSE](x, t, text, timestep_cond=w).sample
    for name, file in files.items():
        assert all(key.startswith(PREFIX) for key in load_file(file))
        fuse_lora(fused[name], file)
        with adapters.active(name) as unet:
            switched = unet(x, t, text, timestep_cond=w).sample
        assert not torch.allclose(switched, plain, atol=1e-2)
        torch.testing.assert_close(
            fused[name](x, t, text, timestep_cond=w).sample, switched, atol=2e-3, rtol=2e-3
        )
    with adapters.active(None) as unet:
        torch.testing.assert_close(unet(x, t, text, timestep_cond=w).sample, plain)


def test_replicas_share_weights_and_not_switches() -> None:
    adapters = Adapters(tiny_unet(), (NAME,), rank=2, alpha=2)
    twin = adapters.replica()
    assert all(
        a is b for a, b in zip(adapters.unet.parameters(), twin.unet.parameters(), strict=True)
    )
    with adapters.active(None), twin.active(NAME):
        assert adapters.layers[0].disable_adapters
        assert not twin.layers[0].disable_adapters


def test_replicate_keeps_a_module_working() -> None:
    module = torch.nn.Linear(2, 2)
    twin = replicate(module)
    assert twin is not module
    assert twin.weight is module.weight


def test_every_epoch_visits_each_row_once(latents: Latents) -> None:
    rows = torch.cat([latents.epoch_rows(step, 4, seed=0) for step in range(4)])
    later = torch.cat([latents.epoch_rows(step, 4, seed=0) for step in range(4, 8)])
    assert sorted(rows.tolist()) == sorted(later.tolist()) == list(range(16))
    assert rows.tolist() != later.tolist()


def test_stratified_draws_fall_one_in_each_part() -> None:
    found = stratified(10, 1000, torch.Generator().manual_seed(0))
    assert sorted(int(t) // 100 for t in found) == list(range(10))


def test_denoising_weights_fall_where_there_is_little_noise() -> None:
    t = torch.tensor([0, 999])
    eps = torch.zeros(2, 4, 8, 8)
    quiet, noisy = denoising_losses(eps + 1, eps, t, LEVELS)
    abar = LEVELS.alphas_cumprod[0]
    assert float(noisy) == 1
    assert float(quiet) == pytest.approx(5 * float((1 - abar) / abar), rel=1e-5)


def test_unknown_stage_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="denoiser"):
        train("denoise", tmp_path)


def test_a_stage_without_the_one_before_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="first run stage"):
        train("cfg-distill", tmp_path)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
