"""Invertible consistency distillation: two LoRAs on one guidance-distilled U-Net.

Starodubcev et al. 2024, arXiv 2406.14539.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from icd_bench.diffusion.timestep_sets import START

from .adapters import Adapters
from .batch import WHOLE, Batch, Draw, ExamplesOf, Share, stratified
from .cfg_distill import SCALES
from .loop import Update, pieces, shards
from .losses import (
    GRID,
    Boundaries,
    Levels,
    Loss,
    Network,
    forward_loss,
    preservation_loss,
    reverse_loss,
    segments,
)
from .machine import LossOf
from .prediction import ON_CPU, Predict

REVERSE, FORWARD = "cd", "fcd"
Schedule = Literal["official", "paper"]
"""One optimiser step a loss, as the released code does, or one step on their sum (eq. 5)."""


@dataclass(frozen=True)
class Weights:
    """Which losses are trained, and how much the preservation losses count."""

    reverse: float = 1.0
    forward: float = 1.0
    forward_preserve: float = 1.5
    reverse_preserve: float = 1.5


LOSSES = tuple(field.name for field in fields(Weights))
ALL_LOSSES = Weights()
"""As the paper trains."""


class Networks:
    """Teacher and students of some rows: one U-Net with its adapters switched."""

    def __init__(self, adapters: Adapters, text: Tensor, predict: Predict) -> None:
        self.teacher = predictor(adapters, None, text, predict)
        self.cd = predictor(adapters, REVERSE, text, predict)
        self.fcd = predictor(adapters, FORWARD, text, predict)


RowsLoss = Callable[[slice, Networks], Loss]
"""Rows of the batch, and the networks for them -> their loss."""
Maker = Callable[[Batch], RowsLoss]


def predictor(adapters: Adapters, name: str | None, text: Tensor, predict: Predict) -> Network:
    """Noise prediction with one adapter, or with none, for rows of text states."""

    def network(x: Tensor, t: Tensor, scale: Tensor) -> Tensor:
        with adapters.active(name) as unet:
            return predict(unet, x, t, text, scale)

    return network


@dataclass
class IcdTask:
    """Reverse and forward consistency models of one boundary set."""

    replicas: Sequence[Adapters]
    """One for each thread, all of the same weights."""
    examples: ExamplesOf
    levels: Levels
    boundaries: Boundaries
    reconstruct: Callable[[Path, int], dict[str, float]]
    """Validates: writes pictures into a folder after a number of steps, returns figures."""
    predict: Predict = ON_CPU
    weights: Weights = ALL_LOSSES
    schedule: Schedule = "official"
    scales: Sequence[float] = SCALES
    """Of the reverse loss, 1 is unguided."""
    share: Share = WHOLE
    draw: Draw = stratified
    rows_at_once: int | None = None
    """Rows of a micro-batch; None for as many as there are."""

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The two adapters."""
        return {name: self.replicas[0].module(name) for name in (REVERSE, FORWARD)}

    def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
        """The losses on one batch."""
        batch = Batch(self.examples(step), generator, self.share, self.draw)
        terms = [
            ("reverse", REVERSE, self.weights.reverse, self.reverse),
            ("forward", FORWARD, self.weights.forward, self.forward),
            ("forward_preserve", FORWARD, self.weights.forward_preserve, self.forward_preserve),
            ("reverse_preserve", REVERSE, self.weights.reverse_preserve, self.reverse_preserve),
        ]
        found = [(*term[:2], self.parts(batch, *term[2:])) for term in terms if term[2]]
        if self.schedule == "official":
            for name, module, parts in found:
                yield Update(name, parts, (module,))
        else:
            together = [
                tuple(loss for part in column for loss in part)
                for column in zip(*(parts for *_, parts in found), strict=True)
            ]
            yield Update("sum", together, tuple(sorted({module for _, module, _ in found})))

    def parts(self, batch: Batch, weight: float, make: Maker) -> list[tuple[LossOf, ...]]:
        """A loss cut into one part a replica, and each into micro-batches."""
        loss_of = make(batch)

        def micro_batch(rows: slice, adapters: Adapters) -> Tensor:
            networks = Networks(adapters, batch.text[rows], self.predict)
            return weight * loss_of(rows, networks).per_sample.sum() / batch.total

        pairs = zip(shards(len(batch.x0), len(self.replicas)), self.replicas, strict=True)
        return [
            tuple(
                partial(micro_batch, piece, adapters) for piece in pieces(rows, self.rows_at_once)
            )
            for rows, adapters in pairs
        ]

    def reverse(self, batch: Batch) -> RowsLoss:
        """Multi-boundary consistency distillation of the reverse adapter, guided."""
        index, noise, scale = batch.draw(GRID), batch.noise(), batch.scales(self.scales)
        return lambda rows, n: reverse_loss(
            index[rows], batch.x0[rows], noise[rows], scale[rows], n.cd, n.teacher, self.levels,
            self.boundaries,
        )  # fmt: skip

    def forward(self, batch: Batch) -> RowsLoss:
        """Consistency distillation of the forward adapter, unguided."""
        index, noise = batch.draw(GRID - 1), batch.noise()
        return lambda rows, n: forward_loss(
            index[rows], batch.x0[rows], noise[rows], n.fcd, n.teacher, self.levels,
            self.boundaries,
        )  # fmt: skip

    def forward_preserve(self, batch: Batch) -> RowsLoss:
        """Denoise a segment, noise it back; moves the forward adapter."""
        left, right = (ends.to(batch.x0.device) for ends in segments(self.boundaries))
        part, noise = batch.draw(len(left)), batch.noise()
        return lambda rows, n: preservation_loss(
            right[part[rows]], left[part[rows]], batch.x0[rows], noise[rows], n.cd, n.fcd,
            self.levels,
        )  # fmt: skip

    def reverse_preserve(self, batch: Batch) -> RowsLoss:
        """Noise a segment, denoise it back; moves the reverse adapter."""
        left, right = (ends.to(batch.x0.device) for ends in segments(self.boundaries))
        part, noise = batch.draw(len(left)), batch.noise()
        return lambda rows, n: preservation_loss(
            left[part[rows]], right[part[rows]], batch.x0[rows], noise[rows], n.fcd, n.cd,
            self.levels,
        )  # fmt: skip

    def validate(self, step: int, folder: Path) -> dict[str, float]:
        """Unguided inversion and reconstruction of dev pictures."""
        return self.reconstruct(folder, step)


def chain(
    start: Tensor, steps: list[int], network: Network, scale: Tensor, levels: Levels
) -> Tensor:
    """Jump along ``steps``: from each timestep to the next, in either direction."""
    x = start
    for t, s in pairwise(steps):
        at, to = (torch.full((len(x),), value, device=x.device) for value in (t, s))
        x = levels.jump(x, network(x, at, scale), at, to)
    return x


def inversion_steps(boundaries: Boundaries) -> list[int]:
    """19, the inner boundaries, 999."""
    return [START, *boundaries.forward]


def generation_steps(boundaries: Boundaries) -> list[int]:
    """999, the inner boundaries descending, 0."""
    return [*reversed(boundaries.forward), 0]
