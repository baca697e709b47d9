"""The losses of invertible consistency distillation (Starodubcev et al. 2024, arXiv 2406.14539).

Pure functions of latents, timesteps and networks; no network is named here. A network is a
callable ``eps(x, t, scale)`` that already knows its prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from icd_bench.diffusion.timestep_sets import START, TimestepSet

HUBER_C = 0.001
GRID_STEP = 20
GRID = 50

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t (R, ...), t (R,), guidance scale (R,), 1 is unguided) -> eps (R, ...)."""


def pseudo_huber(prediction: Tensor, target: Tensor, c: float = HUBER_C) -> Tensor:
    """Elementwise sqrt(d^2 + c^2) - c, averaged per sample: (R,)."""
    difference = prediction - target
    return ((difference.square() + c**2).sqrt() - c).flatten(1).mean(1)


@dataclass(frozen=True)
class Boundaries:
    """Where the jumps of a model with m steps start and end.

    Args:
        inner: ascending timesteps between the segments, e.g. (259, 519, 779) for set 4a.
    """

    inner: tuple[int, ...]

    @classmethod
    def of(cls, timesteps: TimestepSet) -> Boundaries:
        """The boundaries of a set of timesteps, whose last endpoint is 999."""
        return cls(timesteps.endpoints[:-1])

    @property
    def reverse(self) -> tuple[int, ...]:
        """Endpoints of denoising jumps: 0 and the inner ones."""
        return (0, *self.inner)

    @property
    def forward(self) -> tuple[int, ...]:
        """Endpoints of noising jumps: the inner ones and 999."""
        return (*self.inner, 999)

    def below(self, t: Tensor) -> Tensor:
        """The largest reverse endpoint <= t."""
        ends = torch.tensor(self.reverse, device=t.device)
        return ends[torch.bucketize(t, ends, right=True) - 1]

    def above(self, t: Tensor) -> Tensor:
        """The smallest forward endpoint >= t."""
        ends = torch.tensor(self.forward, device=t.device)
        return ends[torch.bucketize(t, ends)]


@dataclass(frozen=True)
class Loss:
    """One loss with the states it was made of."""

    per_sample: Tensor
    """(R,)."""
    prediction: Tensor
    target: Tensor

    @property
    def mean(self) -> Tensor:
        """Average over the batch."""
        return self.per_sample.mean()


@dataclass(frozen=True)
class Levels:
    """Noise levels by timestep.

    Args:
        alphas_cumprod: (1000,), float32, where latents and timesteps are.
    """

    alphas_cumprod: Tensor

    def at(self, t: Tensor) -> Tensor:
        """abar_t as (R, 1, 1, 1)."""
        return self.alphas_cumprod[t][:, None, None, None]

    def boundary(self, s: Tensor) -> Tensor:
        """abar_s, exactly 1 at s = 0."""
        return torch.where(s[:, None, None, None] == 0, 1.0, self.at(s))

    def noised(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise."""
        abar = self.at(t)
        return abar.sqrt() * x0 + (1 - abar).sqrt() * noise

    def ddim(self, x: Tensor, eps: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """A teacher's DDIM step; s = 0 keeps the noise of abar_0."""
        return _jump(x, eps, self.at(t), self.at(s))

    def jump(self, x: Tensor, eps: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """A student's jump (eq. 3); s = 0 is the clean latent."""
        return _jump(x, eps, self.at(t), self.boundary(s))


def _jump(x: Tensor, eps: Tensor, abar_t: Tensor, abar_s: Tensor) -> Tensor:
    x0 = (x - (1 - abar_t).sqrt() * eps) / abar_t.sqrt()
    return abar_s.sqrt() * x0 + (1 - abar_s).sqrt() * eps


def grid_timestep(index: Tensor) -> Tensor:
    """Grid position 0 .. 49 -> timestep 19, 39, ... 999."""
    return GRID_STEP * (index + 1) - 1


def reverse_loss(
    index: Tensor, x0: Tensor, noise: Tensor, scale: Tensor, student: Network, teacher: Network,
    levels: Levels, boundaries: Boundaries,
) -> Loss:  # fmt: skip
    """Multi-boundary consistency distillation (eq. 4): t -> s agrees with t -> t' -> s.

    Args:
        index: (R,) grid positions in [0, 50).
        scale: (R,) guidance scales of teacher and student.
    """
    t = grid_timestep(index)
    nearer = (t - GRID_STEP).clamp(min=0)
    return _consistency(
        t, nearer, boundaries.below(nearer), x0, noise, scale, student, teacher, levels
    )


def forward_loss(
    index: Tensor, x0: Tensor, noise: Tensor, student: Network, teacher: Network,
    levels: Levels, boundaries: Boundaries,
) -> Loss:  # fmt: skip
    """Forward consistency distillation, unguided: t -> s agrees with t -> t + 20 -> s.

    Args:
        index: (R,) grid positions in [0, 49).
    """
    t = grid_timestep(index)
    farther = t + GRID_STEP
    scale = torch.ones(len(t), device=t.device)
    return _consistency(
        t, farther, boundaries.above(farther), x0, noise, scale, student, teacher, levels
    )


def _consistency(
    t: Tensor, stop: Tensor, s: Tensor, x0: Tensor, noise: Tensor, scale: Tensor, student: Network,
    teacher: Network, levels: Levels,
) -> Loss:  # fmt: skip
    x_t = levels.noised(x0, noise, t)
    with torch.no_grad():
        x_stop = levels.ddim(x_t, teacher(x_t, t, scale), t, stop)
        landed = levels.jump(x_stop, student(x_stop, stop, scale), stop, s)
        target = torch.where((stop == s)[:, None, None, None], x_stop, landed)
    prediction = levels.jump(x_t, student(x_t, t, scale), t, s)
    return Loss(pseudo_huber(prediction, target), prediction, target)


def preservation_loss(
    start: Tensor, end: Tensor, x0: Tensor, noise: Tensor, there: Network, back: Network,
    levels: Levels,
) -> Loss:  # fmt: skip
    """Cycle between neighbouring endpoints, unguided: ``there`` without gradient, then ``back``.

    With denoising there and noising back this is the forward preservation loss, the other way
    round the reverse one (section 3.3).

    Args:
        start, end: (R,) endpoints; 0 is never one of them, 19 takes its place.
    """
    scale = torch.ones(len(start), device=start.device)
    x_start = levels.noised(x0, noise, start)
    with torch.no_grad():
        x_end = levels.jump(x_start, there(x_start, start, scale), start, end)
    prediction = levels.jump(x_end, back(x_end, end, scale), end, start)
    return Loss(pseudo_huber(prediction, x_start), prediction, x_start)


def segments(boundaries: Boundaries) -> tuple[Tensor, Tensor]:
    """Left and right endpoints of every segment, with 19 in place of 0."""
    left: Sequence[int] = (START, *boundaries.inner)
    return torch.tensor(left), torch.tensor(boundaries.forward)
