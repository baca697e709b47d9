"""The training loop: resume, updates, averages, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from icd_bench.errors import UsageError
from icd_bench.training.loop import (
    CHECKPOINT,
    LEARNING_RATES,
    LOG,
    Diverged,
    Plan,
    Trainer,
    Update,
    pieces,
    shards,
)
from icd_bench.training.processes import Processes

PLAN = Plan(
    steps=12, batch_size=8, lr=0.01, warmup=3, ema=0.9, log_every=1, validate_every=4,
    checkpoint_every=4,
)  # fmt: skip


class Regression:
    """Two networks that learn one linear map, one after the other in each step."""

    def __init__(self, threads: int = 2) -> None:
        torch.manual_seed(0)
        self.first = nn.Sequential(
            nn.Linear(6, 5), nn.BatchNorm1d(5, momentum=0.5), nn.Linear(5, 3)
        )
        self.second = nn.Linear(6, 3)
        self.threads = threads

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        return {"first": self.first, "second": self.second}

    def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
        x = torch.randn(8, 6, generator=generator)
        y = x[:, :3].cumsum(1)

        def part(name: str, rows: slice) -> Tensor:
            error: Tensor = self.modules[name](x[rows]) - y[rows]
            return error.square().sum() / len(x)

        yield Update("first", [partial(part, "first", slice(0, 8))], ("first",))
        pieces = [partial(part, "second", rows) for rows in shards(8, self.threads)]
        yield Update("second", pieces, ("second",))

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        return {"weight": float(self.second.weight.sum()), "training": float(self.first.training)}


class Killed(Regression):
    """Is stopped when it is to validate after some step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        if step == self.step:
            raise KeyboardInterrupt
        return super().validate(step, folder)


class Faulty(Regression):
    """Its second update goes wrong after some steps."""

    def __init__(self, step: int, fault: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.step, self.fault = step, fault

    def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
        first, second = super().updates(step, generator)
        yield first
        if step < self.step:
            yield second
        else:
            yield Update("second", [lambda: self.fault(self.second.weight)], ("second",))


FAULTS = {
    "loss": lambda weight: weight.sum() * float("nan"),
    "norm of gradients": lambda weight: (weight * 0).abs().sqrt().sum(),
}


def state(trainer: Trainer) -> dict[str, Tensor]:
    weights = {
        f"{name}.{key}": value.clone()
        for name, module in trainer.task.modules.items()
        for key, value in module.state_dict().items()
    }
    averages = {
        f"average.{name}.{key}": value.clone()
        for name, values in trainer.averages.items()
        for key, value in values.items()
    }
    return weights | averages


def log(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def trained(folder: Path) -> Trainer:
    trainer = Trainer(Regression(), PLAN, folder)
    trainer.train()
    return trainer


def test_a_continued_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")
    first = Trainer(Regression(), PLAN, tmp_path / "cut")
    first.train(stop_at=4)
    first.take_step()  # work after the checkpoint that the kill destroys
    second = Trainer(Regression(), PLAN, tmp_path / "cut")
    assert second.resume()
    assert second.step == 4
    second.train()
    expected, found = state(whole), state(second)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("step", [4, 12])
def test_a_validation_that_was_cut_short_is_made_up_for(step: int, tmp_path: Path) -> None:
    trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        Trainer(Killed(step), PLAN, tmp_path / "cut").train()
    assert "weight" not in log(tmp_path / "cut")[-1]
    second = Trainer(Regression(), PLAN, tmp_path / "cut")
    second.resume()
    assert second.train()
    assert log(tmp_path / "cut") == log(tmp_path / "whole")


def test_a_finished_run_writes_its_model_again_and_logs_nothing_twice(tmp_path: Path) -> None:
    trained(tmp_path)
    before = log(tmp_path)
    again = Trainer(Regression(), PLAN, tmp_path)
    again.resume()
    assert again.train() == {k: v for k, v in before[-1].items() if k != "step"}
    assert log(tmp_path) == before


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_finite_ends_the_training_and_is_not_written(
    fault: str, tmp_path: Path
) -> None:
    trainer = Trainer(Faulty(6, FAULTS[fault]), PLAN, tmp_path)
    with pytest.raises(Diverged, match=rf"diverged in step 7: .*{fault}.*learning rate below 0.01"):
        trainer.train()
    assert log(tmp_path)[-1]["step"] == 6
    kept = Trainer(Regression(), PLAN, tmp_path)
    assert kept.resume()
    assert kept.step == 4


def test_weights_that_no_model_can_have_are_not_written(tmp_path: Path) -> None:
    plan = replace(PLAN, steps=1, lr=1e12, warmup=0)
    with pytest.raises(Diverged, match=r"step 1: weight .* of first is beyond float16"):
        Trainer(Regression(), plan, tmp_path).train()
    assert not (tmp_path / CHECKPOINT).exists()
    assert "weight" not in log(tmp_path)[-1]


def test_gradients_may_overflow_while_a_loss_scale_can_fall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Processes(cpu=True)
    assert not machine.rescales
    monkeypatch.setattr(machine, "_scaler", torch.amp.GradScaler("cpu", init_scale=4.0))
    trainer = Trainer(Faulty(6, FAULTS["norm of gradients"]), PLAN, tmp_path, machine)
    with pytest.raises(Diverged, match="step 9"):  # scales 4, 2 and 1 overflow
        trainer.train()
    assert log(tmp_path)[-1]["step"] == 8


@pytest.mark.parametrize("size", [0, 5, 1000, -1])
def test_a_torn_checkpoint_is_refused(size: int, tmp_path: Path) -> None:
    file = trained(tmp_path).checkpoint
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(UsageError, match=r"checkpoint.safetensors: damaged .* --fresh"):
        Trainer(Regression(), PLAN, tmp_path).resume()


def test_updates_of_one_module_are_logged_with_a_norm_each(tmp_path: Path) -> None:
    class Twice(Regression):
        def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
            yield Update("large", [lambda: 3 * self.second.weight.sum()], ("second",))
            yield Update("small", [lambda: self.second.weight.sum()], ("second",))
            both = [lambda: self.first[0].weight.sum() + 2 * self.second.weight.sum()]
            yield Update("both", both, ("first", "second"))

    logs = Trainer(Twice(), PLAN, tmp_path).take_step()
    norms = {name: value for name, value in logs.items() if name.startswith("grad_")}
    assert norms == pytest.approx(
        {
            "grad_large": 3 * 18**0.5,
            "grad_small": 18**0.5,
            "grad_both_first": 30**0.5,
            "grad_both_second": 2 * 18**0.5,
        }
    )


def test_validation_sees_averaged_weights_in_evaluation_mode(tmp_path: Path) -> None:
    trainer = trained(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    last = lines[-1]
    assert last["training"] == 0
    assert last["weight"] == pytest.approx(float(trainer.averages["second"]["weight"].sum()))
    assert last["weight"] != pytest.approx(float(trainer.task.modules["second"].weight.sum()))
    assert trainer.task.modules["first"].training


def test_training_lowers_the_losses(tmp_path: Path) -> None:
    trainer = Trainer(Regression(), Plan(steps=200, batch_size=8, lr=0.05, warmup=5), tmp_path)
    trainer.train()
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    losses = [line["second"] for line in lines if "second" in line]
    assert losses[-1] < 0.05 * losses[0]


def test_parts_add_up_to_the_whole() -> None:
    one, two = (
        Trainer(Regression(threads), PLAN, Path("unused")).take_step() for threads in (1, 2)
    )
    assert two["second"] == pytest.approx(one["second"], rel=1e-6)
    assert two["grad_second"] == pytest.approx(one["grad_second"], rel=1e-6)


def test_a_checkpoint_of_another_seed_is_refused(tmp_path: Path) -> None:
    trained(tmp_path)
    other = Trainer(Regression(), Plan(steps=12, batch_size=8, lr=0.01, seed=1), tmp_path)
    with pytest.raises(UsageError, match="seed 0"):
        other.resume()


def test_an_interrupted_write_leaves_the_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trained(tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def torn(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("icd_bench.training.loop.save_file", torn)
    with pytest.raises(OSError, match="disk full"):
        trainer.save()
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_learning_rate_warms_up_and_falls() -> None:
    rates = [PLAN.lr_at(step) for step in range(PLAN.steps + 1)]
    assert rates[0] == pytest.approx(PLAN.lr / 3)
    assert max(rates) == PLAN.lr
    assert rates[-1] == pytest.approx(PLAN.lr * PLAN.final_lr)


def test_learning_rates_by_name() -> None:
    plan = Plan(steps=10, batch_size=1, lr=1.0, warmup=0, final_lr=0.0)
    rates = {
        name: [replace(plan, schedule=name).lr_at(step) for step in (0, 2, 5, 10)]
        for name in LEARNING_RATES
    }
    assert rates["constant"] == [1, 1, 1, 1]
    assert rates["linear"] == pytest.approx([1, 0.8, 0.5, 0])
    assert rates["cosine"] == pytest.approx([1, 0.904508, 0.5, 0], abs=1e-6)


def test_figures_that_are_not_finite_stay_out_of_the_log(tmp_path: Path) -> None:
    told: dict[str, float] = {}
    trainer = Trainer(Regression(), PLAN, tmp_path, watch=lambda step, line: told.update(line))
    trainer.log({"norm": float("inf"), "loss": 1.0})
    (line,) = (tmp_path / LOG).read_text().splitlines()
    assert json.loads(line) == {"step": 0, "seconds": 0.0, "loss": 1.0}
    assert told == {"loss": 1.0}


def test_pieces_are_micro_batches() -> None:
    assert pieces(slice(2, 7), 2) == [slice(2, 4), slice(4, 6), slice(6, 7)]
    assert pieces(slice(2, 7), None) == [slice(2, 7)]


def test_shards_cover_all_rows_once() -> None:
    assert shards(7, 3) == [slice(0, 2), slice(2, 4), slice(4, 7)]
