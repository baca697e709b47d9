"""What one step draws: the same numbers whatever devices and however many processes draw them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Examples:
    """Encoded training pairs of one process in one step.

    Args:
        x0: clean latents (B, C, h, w), scaled.
        text: (B, L, D), see :mod:`icd_bench.diffusion.text_conditions`.
    """

    x0: Tensor
    text: Tensor


ExamplesOf = Callable[[int], Examples]
"""Step -> its examples."""


@dataclass(frozen=True)
class Share:
    """Every ``of``-th row from ``index`` on: what one of several processes works on."""

    index: int = 0
    of: int = 1

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the rows of this process out of those of all."""
        return rows[self.index :: self.of]


WHOLE = Share()
Draw = Callable[[int, int, torch.Generator], Tensor]
"""(count, below, generator) -> ``count`` integers in [0, below)."""


def stratified(count: int, below: int, generator: torch.Generator) -> Tensor:
    """``count`` integers in [0, below), one from each equal part of it, in random order."""
    order = torch.randperm(count, generator=generator)
    return ((order + torch.rand(count, generator=generator)) * below / count).long()


def uniform(count: int, below: int, generator: torch.Generator) -> Tensor:
    """``count`` independent integers in [0, below)."""
    return torch.randint(below, (count,), generator=generator)


@dataclass(frozen=True)
class Batch:
    """The examples of one step, and its source of chance.

    Numbers are drawn on the CPU for the batch of all processes, of which each takes its share.
    """

    examples: Examples
    generator: torch.Generator
    share: Share = WHOLE
    draw_integers: Draw = stratified

    @property
    def x0(self) -> Tensor:
        """Clean latents (B, C, h, w)."""
        return self.examples.x0

    @property
    def text(self) -> Tensor:
        """Texts (B, L, D)."""
        return self.examples.text

    @property
    def total(self) -> int:
        """Rows of all processes."""
        return len(self.x0) * self.share.of

    def noise(self) -> Tensor:
        """Fresh noise for every row."""
        return self._own(torch.randn((self.total, *self.x0.shape[1:]), generator=self.generator))

    def draw(self, below: int) -> Tensor:
        """An integer in [0, below) for every row."""
        return self._own(self.draw_integers(self.total, below, self.generator))

    def scales(self, choices: Sequence[float]) -> Tensor:
        """One of ``choices`` for every row, each as likely."""
        rows = torch.randint(len(choices), (self.total,), generator=self.generator)
        return self._own(torch.tensor(choices)[rows])

    def _own(self, rows: Tensor) -> Tensor:
        return self.share(rows).to(self.x0.device)
