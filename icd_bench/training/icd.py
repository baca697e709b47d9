"""Stage 5: invertible consistency distillation, two LoRAs on the guidance-distilled U-Net."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from icd_bench.diffusion.guidance import guidance_embedding
from icd_bench.diffusion.timestep_sets import START

from .adapters import Adapters
from .cfg_distill import draw_scales
from .latents import Latents, stratified
from .loop import Part, Update, shards
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
from .networks import GUIDANCE_DIM, channels_last, mixed_precision

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


ALL_LOSSES = Weights()
"""As the paper trains."""


@dataclass(frozen=True)
class Batch:
    """Latents (B, ...) and text states (B, L, D) of one step, and its source of chance."""

    x0: Tensor
    text: Tensor
    generator: torch.Generator

    def noise(self) -> Tensor:
        """Fresh noise for every row."""
        return torch.randn(self.x0.shape, generator=self.generator)

    def draw(self, count: int) -> Tensor:
        """A number below ``count`` for every row, spread evenly over the batch."""
        return stratified(len(self.x0), count, self.generator)


class Networks:
    """Teacher and students of some rows: one U-Net with its adapters switched."""

    def __init__(self, adapters: Adapters, text: Tensor) -> None:
        self.teacher = predictor(adapters, None, text)
        self.cd = predictor(adapters, REVERSE, text)
        self.fcd = predictor(adapters, FORWARD, text)


LossOf = Callable[[slice, Networks], Loss]
Maker = Callable[[Batch], LossOf]


def predictor(adapters: Adapters, name: str | None, text: Tensor) -> Network:
    """Noise prediction with one adapter, or with none, for rows of text states."""

    def predict(x: Tensor, t: Tensor, scale: Tensor) -> Tensor:
        with adapters.active(name) as unet, mixed_precision():
            eps: Tensor = unet(
                channels_last(x), t, text, timestep_cond=guidance_embedding(scale, GUIDANCE_DIM)
            ).sample
        return eps.float()

    return predict


def add(parts: Sequence[Part]) -> Tensor:
    """The sum of several losses."""
    return torch.stack([part() for part in parts]).sum()


@dataclass
class IcdTask:
    """Reverse and forward consistency models of one boundary set."""

    replicas: Sequence[Adapters]
    """One for each thread, all of the same weights."""
    encode: Callable[[Tensor], Tensor]
    latents: Latents
    levels: Levels
    boundaries: Boundaries
    batch_size: int
    seed: int
    reconstruct: Callable[[Path, int], dict[str, float]]
    weights: Weights = ALL_LOSSES
    schedule: Schedule = "official"

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The two adapters."""
        return {name: self.replicas[0].module(name) for name in (REVERSE, FORWARD)}

    def updates(self, step: int, generator: torch.Generator) -> Iterator[Update]:
        """The four losses on one batch."""
        rows = self.latents.epoch_rows(step, self.batch_size, self.seed)
        batch = Batch(self.latents.x0[rows].float(), self.text_of(rows), generator)
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
            sums = [partial(add, column) for column in zip(*(p for *_, p in found), strict=True)]
            yield Update("sum", sums, tuple(sorted({module for _, module, _ in found})))

    def text_of(self, rows: Tensor) -> Tensor:
        """Text states of the rows' captions."""
        with torch.no_grad(), mixed_precision():
            return self.encode(self.latents.ids[rows])

    def parts(self, batch: Batch, weight: float, make: Maker) -> list[Part]:
        """A loss cut into one part a thread."""
        loss_of = make(batch)
        count = len(batch.x0)

        def part(rows: slice, adapters: Adapters) -> Tensor:
            networks = Networks(adapters, batch.text[rows])
            return weight * loss_of(rows, networks).per_sample.sum() / count

        pairs = zip(shards(count, len(self.replicas)), self.replicas, strict=True)
        return [partial(part, rows, adapters) for rows, adapters in pairs]

    def reverse(self, batch: Batch) -> LossOf:
        """Multi-boundary consistency distillation of the reverse adapter, guided."""
        index, noise = batch.draw(GRID), batch.noise()
        scale = draw_scales(len(index), batch.generator)
        return lambda rows, n: reverse_loss(
            index[rows], batch.x0[rows], noise[rows], scale[rows], n.cd, n.teacher, self.levels,
            self.boundaries,
        )  # fmt: skip

    def forward(self, batch: Batch) -> LossOf:
        """Consistency distillation of the forward adapter, unguided."""
        index, noise = batch.draw(GRID - 1), batch.noise()
        return lambda rows, n: forward_loss(
            index[rows], batch.x0[rows], noise[rows], n.fcd, n.teacher, self.levels,
            self.boundaries,
        )  # fmt: skip

    def forward_preserve(self, batch: Batch) -> LossOf:
        """Denoise a segment, noise it back; moves the forward adapter."""
        left, right = segments(self.boundaries)
        part, noise = batch.draw(len(left)), batch.noise()
        return lambda rows, n: preservation_loss(
            right[part[rows]], left[part[rows]], batch.x0[rows], noise[rows], n.cd, n.fcd,
            self.levels,
        )  # fmt: skip

    def reverse_preserve(self, batch: Batch) -> LossOf:
        """Noise a segment, denoise it back; moves the reverse adapter."""
        left, right = segments(self.boundaries)
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
        at, to = (torch.full((len(x),), value) for value in (t, s))
        x = levels.jump(x, network(x, at, scale), at, to)
    return x


def inversion_steps(boundaries: Boundaries) -> list[int]:
    """19, the inner boundaries, 999."""
    return [START, *boundaries.forward]


def generation_steps(boundaries: Boundaries) -> list[int]:
    """999, the inner boundaries descending, 0."""
    return [*reversed(boundaries.forward), 0]
