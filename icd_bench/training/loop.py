"""One training loop for every stage: seeded, logged, checkpointed, resumable to the last bit.

Every random choice of a step comes from a generator made of (seed, step) alone, so a run that was
killed and continued equals an uninterrupted one.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from icd_bench.errors import IcdBenchError, UsageError

from .machine import Machine, Part, Threads

LOG = "log.jsonl"
CHECKPOINT = "checkpoint.safetensors"
LearningRates = Literal["cosine", "linear", "constant"]
LEARNING_RATES: tuple[LearningRates, ...] = ("cosine", "linear", "constant")
_LARGEST: Final = torch.finfo(torch.float16).max
"""Of a weight: models are written, or at least used, in float16."""


class Diverged(IcdBenchError):
    """Training has run away: a loss, a gradient or a weight is no number that can be used."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train."""

    steps: int
    batch_size: int
    lr: float
    seed: int = 0
    warmup: int = 100
    schedule: LearningRates = "cosine"
    """How the learning rate goes on after the warm-up."""
    final_lr: float = 0.02
    """It ends at this fraction of ``lr``, unless it is constant."""
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float = 1.0
    threads: int = 2
    """Parts of a batch that run side by side; two parts add up the same in any order."""
    ema: float = 0.0
    """Largest decay of the exponential moving average; 0 keeps none."""
    log_every: int = 25
    validate_every: int = 500
    checkpoint_every: int = 200

    def lr_at(self, step: int) -> float:
        """Learning rate of ``step``: linear warm-up, then the schedule."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.lr
        done = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        left = 1 - done if self.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
        return self.lr * (self.final_lr + (1 - self.final_lr) * left)


@dataclass(frozen=True)
class Update:
    """One optimiser step.

    Args:
        name: of the loss in the log.
        parts: functions whose values sum to the loss; how they are run is the machine's choice.
        modules: names of the modules it moves.
    """

    name: str
    parts: Sequence[Part]
    modules: tuple[str, ...]


class Task(Protocol):
    """What a stage trains and how it measures itself."""

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Name -> module; parameters that require a gradient are trained and checkpointed."""

    def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
        """Yield the losses of one step; each is applied before the next is computed."""

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Measure, write pictures into ``folder`` and return the figures to log."""


class Position(Protocol):
    """A place in data that are read one after the other."""

    def state(self) -> dict[str, Any]:
        """What has to be kept to go on from here, for JSON."""

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""


class Trainer:
    """State of one training run in ``folder``: modules, optimisers, averages and the step.

    Args:
        task: what is trained.
        plan: for how long, and how fast.
        folder: of the log, the checkpoint and the pictures.
        machine: what computes; default threads of this process.
        position: of the data, where a step does not follow from its number alone.
        watch: is told every line of the log.
    """

    def __init__(
        self, task: Task, plan: Plan, folder: Path, machine: Machine | None = None,
        position: Position | None = None,
        watch: Callable[[int, Mapping[str, float]], None] | None = None,
    ) -> None:  # fmt: skip
        self.task, self.plan, self.folder = task, plan, folder
        self.machine = machine or Threads(plan.threads)
        self.position, self.watch = position, watch
        self.step = 0
        self.seconds = 0.0
        self.positions: list[dict[str, Any]] = []
        """Of all processes, when the checkpoint was written."""
        self.trained = {
            name: {key: p for key, p in module.named_parameters() if p.requires_grad}
            for name, module in task.modules.items()
        }
        self.buffers = {
            name: {k: v for k, v in module.state_dict().items() if k not in parameters}
            for name, module in task.modules.items()
            for parameters in [dict(module.named_parameters())]
        }
        self.optimisers = {
            name: torch.optim.AdamW(
                parameters.values(),
                lr=plan.lr,
                betas=plan.betas,
                weight_decay=plan.weight_decay,
                fused=True,
            )
            for name, parameters in self.trained.items()
        }
        self.averages = {
            name: {key: p.detach().clone() for key, p in parameters.items()}
            for name, parameters in self.trained.items()
            if plan.ema
        }

    @property
    def checkpoint(self) -> Path:
        """The file that a run continues from."""
        return self.folder / CHECKPOINT

    def resume(self) -> bool:
        """Load the checkpoint; False where there is none.

        Raises:
            UsageError: it is damaged, or of a run with other settings.
        """
        if not self.checkpoint.exists():
            return False
        try:
            metadata = self._read()
        except SafetensorError as error:
            raise UsageError(
                f"{self.checkpoint}: damaged ({error}); give --fresh to begin anew, or another "
                "--out"
            ) from error
        self.step, self.seconds = metadata["step"], metadata["seconds"]
        self.machine.load(metadata.get("machine", {}))
        self._resume_position(metadata.get("positions", []))
        self._forget_log(lambda line: line["step"] > self.step)
        self.machine.wait()
        return True

    def _read(self) -> dict[str, Any]:
        """Load weights, optimisers, averages and buffers; return what else the checkpoint says."""
        with safe_open(self.checkpoint, framework="pt") as file:
            metadata: dict[str, Any] = json.loads(file.metadata()["training"])
            if metadata["seed"] != self.plan.seed or metadata["batch_size"] != self.plan.batch_size:
                raise UsageError(
                    f"{self.checkpoint}: trained with seed {metadata['seed']} and batch size "
                    f"{metadata['batch_size']}; give the same or another --out"
                )
            for name, parameters in self.trained.items():
                state = self.optimisers[name].state
                for key, parameter in parameters.items():
                    parameter.data.copy_(file.get_tensor(f"weights.{name}.{key}"))
                    if f"exp_avg.{name}.{key}" in file.keys():  # noqa: SIM118
                        steps = float(metadata["optimiser_steps"][name])
                        place = parameter.device
                        state[parameter] = {
                            "step": torch.tensor(steps, device=place),
                            "exp_avg": file.get_tensor(f"exp_avg.{name}.{key}").to(place),
                            "exp_avg_sq": file.get_tensor(f"exp_avg_sq.{name}.{key}").to(place),
                        }
                    if self.plan.ema:
                        self.averages[name][key] = file.get_tensor(f"average.{name}.{key}")
            for name, buffers in self.buffers.items():
                for key, buffer in buffers.items():
                    buffer.copy_(file.get_tensor(f"buffers.{name}.{key}"))
        return metadata

    def _resume_position(self, positions: list[dict[str, Any]]) -> None:
        if self.position is None:
            return
        if len(positions) != self.machine.count:
            raise UsageError(
                f"{self.checkpoint}: written by {len(positions)} processes, not "
                f"{self.machine.count}; launch as many, or give another --out"
            )
        self.positions = positions
        self.position.load(positions[self.machine.index])

    def _forget_log(self, again: Callable[[dict[str, Any]], bool]) -> None:
        """Drop lines that will be written again."""
        log = self.folder / LOG
        if self.machine.main and log.exists():
            lines = log.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if not again(json.loads(line))]
            log.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def _forget_validation(self) -> None:
        """Drop the figures of this step's validation; lines of training have a learning rate."""
        self._forget_log(lambda line: line["step"] == self.step and "lr" not in line)

    def save(self) -> None:
        """Write the checkpoint; a crash leaves the previous one whole.

        Raises:
            Diverged: the weights are none to go on from; the previous one stays.
        """
        self._check_weights()
        if self.position is not None:
            self.positions = self.machine.collect(self.position.state())
        if self.machine.main:
            self._write()
        self.machine.wait()

    def _write(self) -> None:
        tensors: dict[str, Tensor] = {}
        optimiser_steps: dict[str, int] = {}
        for name, parameters in self.trained.items():
            for key, parameter in parameters.items():
                tensors[f"weights.{name}.{key}"] = parameter.detach().contiguous()
                state = self.optimisers[name].state.get(parameter)
                if state:
                    tensors[f"exp_avg.{name}.{key}"] = state["exp_avg"].contiguous()
                    tensors[f"exp_avg_sq.{name}.{key}"] = state["exp_avg_sq"].contiguous()
                    optimiser_steps[name] = int(state["step"])
                if self.plan.ema:
                    tensors[f"average.{name}.{key}"] = self.averages[name][key].contiguous()
        for name, buffers in self.buffers.items():
            tensors |= {f"buffers.{name}.{key}": value for key, value in buffers.items()}
        training = {
            "step": self.step,
            "seconds": self.seconds,
            "seed": self.plan.seed,
            "batch_size": self.plan.batch_size,
            "optimiser_steps": optimiser_steps,
            "machine": self.machine.state(),
            "positions": self.positions,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        save_file(tensors, partial, metadata={"training": json.dumps(training)})
        os.replace(partial, self.checkpoint)

    def start_over(self) -> None:
        """Forget the log and the checkpoint of an earlier run."""
        for name in (LOG, CHECKPOINT):
            (self.folder / name).unlink(missing_ok=True)

    def train(self, stop_at: int | None = None) -> dict[str, float]:
        """Train to the end of the plan, or to ``stop_at`` steps; return the last validation.

        Raises:
            Diverged: the training has run away; nothing of that is written.
        """
        figures: dict[str, float] = {}
        end = self.plan.steps if stop_at is None else min(stop_at, self.plan.steps)

        def due(every: int) -> bool:
            return self.step % every == 0 or self.step >= end

        if self.step and due(self.plan.validate_every):
            # The run may have been stopped between its checkpoint and what validation writes.
            self._forget_validation()
            figures = self.validate()
        started, before = time.monotonic(), self.seconds
        while self.step < end:
            logs = self.take_step()
            self.step += 1
            self.seconds = before + time.monotonic() - started
            if due(self.plan.log_every):
                self.log(logs | self.machine.figures())
            if due(self.plan.checkpoint_every):
                self.save()
            if due(self.plan.validate_every):
                figures = self.validate()
        return figures

    def validate(self) -> dict[str, float]:
        """Measure the averaged weights, in the main process alone; return what was logged.

        Raises:
            Diverged: the weights are none to make a model of.
        """
        self._check_weights()
        figures: dict[str, float] = {}
        if self.machine.main:
            with self.averaged():
                figures = self.task.validate(self.step, self.folder)
            self.log(figures)
        self.machine.wait()
        return figures

    def take_step(self) -> dict[str, float]:
        """One step of the task: every update it yields, then the averages.

        Raises:
            Diverged: a loss or a gradient is not finite.
        """
        lr = self.plan.lr_at(self.step)
        logs: dict[str, float] = {"lr": lr}
        for update in self.task.updates(self.step, step_generator(self.plan.seed, self.step)):
            logs |= self._apply(update, lr)
        self.average()
        return logs

    def _apply(self, update: Update, lr: float) -> dict[str, float]:
        """Take one optimiser step; return the loss and the norms of gradients before clipping."""
        chosen = {name: self.optimisers[name] for name in update.modules}
        for optimiser in chosen.values():
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = lr
        loss = self.machine.run(update.parts)
        if not math.isfinite(loss):
            raise self._diverged(self.step + 1, f'loss "{update.name}" is {loss}')
        norms = named_norms(update, self.machine.take_steps(chosen, self.plan.clip))
        for name, norm in norms.items():
            if not math.isfinite(norm) and not self.machine.rescales:
                raise self._diverged(self.step + 1, f"the norm of gradients {name} is {norm}")
        return {update.name: loss, **norms}

    def _check_weights(self) -> None:
        for name, parameters in self.trained.items():
            for key, parameter in parameters.items():
                if not float(parameter.detach().abs().max()) <= _LARGEST:  # as well where NaN
                    raise self._diverged(self.step, f"weight {key} of {name} is beyond float16")

    def _diverged(self, step: int, what: str) -> Diverged:
        return Diverged(
            f"{self.folder}: training diverged in step {step}: {what}; the last checkpoint and "
            f"model are kept. Begin anew with a learning rate below {self.plan.lr:g} or a longer "
            "warm-up, with --fresh or another --out"
        )

    @torch.no_grad()
    def average(self) -> None:
        """Move the exponential moving averages towards the weights."""
        decay = min(self.plan.ema, (1 + self.step) / (10 + self.step))
        for name, averages in self.averages.items():
            torch._foreach_lerp_(
                list(averages.values()), [p.data for p in self.trained[name].values()], 1 - decay
            )

    def averaged(self) -> Averaged:
        """Context in which the modules hold their averaged weights."""
        return Averaged(self)

    def log(self, figures: Mapping[str, float]) -> None:
        """Append one line to ``log.jsonl`` and print it; what is not finite is left out."""
        if not self.machine.main:
            return
        finite = {name: value for name, value in figures.items() if math.isfinite(value)}
        line: dict[str, Any] = {"step": self.step, "seconds": round(self.seconds, 1), **finite}
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print("  ".join(f"{k} {v:.5g}" for k, v in line.items()), flush=True)
        if self.watch is not None:
            self.watch(self.step, finite)


class Averaged:
    """Swaps the averaged weights in, in evaluation mode, and the trained ones back."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def swap(self) -> None:
        """Exchange weights and averages."""
        for name, averages in self.trainer.averages.items():
            for key, parameter in self.trainer.trained[name].items():
                averages[key], parameter.data = parameter.data, averages[key]

    def __enter__(self) -> None:
        self.swap()
        for module in self.trainer.task.modules.values():
            module.eval()

    def __exit__(self, *_: object) -> None:
        for module in self.trainer.task.modules.values():
            module.train()
        self.swap()


def named_norms(update: Update, norms: Mapping[str, float]) -> dict[str, float]:
    """Norms by module -> by name in the log: the loss's, and the module's where it moves several.

    Losses that move the same module one after the other keep a norm each.
    """
    if len(norms) == 1:
        return {f"grad_{update.name}": norm for norm in norms.values()}
    return {f"grad_{update.name}_{module}": norm for module, norm in norms.items()}


def shards(count: int, parts: int) -> list[slice]:
    """Slices that cut ``count`` rows into ``parts`` nearly equal pieces."""
    edges = [count * i // parts for i in range(parts + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def pieces(rows: slice, at_once: int | None) -> list[slice]:
    """Rows in pieces of at most ``at_once``."""
    size = at_once or rows.stop - rows.start
    return [slice(a, min(a + size, rows.stop)) for a in range(rows.start, rows.stop, size)]


def step_generator(seed: int, step: int) -> torch.Generator:
    """The generator of one step: a function of seed and step alone."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)
