"""Where losses are computed: in threads of one process, or in several processes and devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

LossOf = Callable[[], Tensor]
Part = LossOf | tuple[LossOf, ...]
"""What yields a loss; of several, each runs forward and backward before the next."""


class Machine(Protocol):
    """Runs the parts of an update and takes its optimiser steps."""

    @property
    def count(self) -> int:
        """Of processes."""

    @property
    def index(self) -> int:
        """Of this process; 0 is the one that writes files."""

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes files."""

    @property
    def rescales(self) -> bool:
        """Whether a step whose gradients overflow is only left out, and the next one smaller."""

    def run(self, parts: Sequence[Part]) -> float:
        """Forward and backward of every part; return their sum over all processes."""

    def take_steps(
        self, optimisers: Mapping[str, torch.optim.Optimizer], clip: float
    ) -> dict[str, float]:
        """Clip the gradients of each optimiser's weights and step; return norms before clipping."""

    def collect(self, state: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what every process gave, in their order."""

    def wait(self) -> None:
        """Return once every process is here."""

    def state(self) -> dict[str, Any]:
        """What has to be kept to continue, for JSON."""

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from what :meth:`state` gave."""

    def figures(self) -> dict[str, float]:
        """What is worth logging."""


class Threads:
    """One process on a CPU; parts run side by side, a thread each.

    On a CPU whole passes side by side beat threads inside each operation.

    Args:
        count: of threads.
    """

    count, index, main, rescales = 1, 0, True, False

    def __init__(self, count: int) -> None:
        self._pool = part_threads(count)

    def run(self, parts: Sequence[Part]) -> float:
        """Forward and backward of all parts at once; return their sum."""
        return sum(self._pool.map(run_part, parts))

    def take_steps(
        self, optimisers: Mapping[str, torch.optim.Optimizer], clip: float
    ) -> dict[str, float]:
        """Clip and step."""
        norms = {}
        for name, optimiser in optimisers.items():
            norms[name] = float(nn.utils.clip_grad_norm_(weights_of(optimiser), clip))
            optimiser.step()
        return norms

    def collect(self, state: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the one state."""
        return [state]

    def wait(self) -> None:
        """Return at once."""

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take nothing."""

    def figures(self) -> dict[str, float]:
        """Nothing."""
        return {}


def part_threads(count: int) -> ThreadPoolExecutor:
    """A pool for ``count`` parts: each takes one core, a lone part takes them all."""
    one_core = partial(torch.set_num_threads, 1)
    return ThreadPoolExecutor(count, initializer=one_core if count > 1 else None)


def run_part(part: Part, backward: Callable[[Tensor], object] = Tensor.backward) -> float:
    """Forward and backward; return the loss."""
    total = 0.0
    for loss_of in part if isinstance(part, tuple) else (part,):
        loss = loss_of()
        backward(loss)
        total += loss.item()
    return total


def weights_of(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    """Every parameter that an optimiser moves."""
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]
