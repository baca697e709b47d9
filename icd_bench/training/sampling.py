"""DDIM along a list of timesteps, in both directions: what the training stages measure with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Predict = Callable[[Tensor, Tensor], Tensor]
"""(x_t (R, ...), t (R,)) -> eps (R, ...)."""


def jump(x: Tensor, eps: Tensor, abar_t: Tensor | float, abar_s: Tensor | float) -> Tensor:
    """One deterministic DDIM jump from level abar_t to level abar_s (1 means no noise)."""
    a, b = torch.as_tensor(abar_t), torch.as_tensor(abar_s)
    x0 = (x - (1 - a).sqrt() * eps) / a.sqrt()
    return b.sqrt() * x0 + (1 - b).sqrt() * eps


def ddim_timesteps(steps: int) -> list[int]:
    """Ascending timesteps with leading spacing and offset 1: 1, 21, ... 981 for 50 steps."""
    return [i * (1000 // steps) + 1 for i in range(steps)]


@torch.no_grad()
def denoise(
    x: Tensor, predict: Predict, timesteps: Sequence[int], alphas_cumprod: Tensor
) -> Tensor:
    """Follow ascending ``timesteps`` downwards; the last jump ends at abar_0, as in SD."""
    previous = [0, *timesteps]
    for at in reversed(range(len(timesteps))):
        t, s = timesteps[at], previous[at]
        eps = predict(x, torch.full((len(x),), t, device=x.device))
        x = jump(x, eps, alphas_cumprod[t], alphas_cumprod[s])
    return x


@torch.no_grad()
def invert(x: Tensor, predict: Predict, timesteps: Sequence[int], alphas_cumprod: Tensor) -> Tensor:
    """DDIM inversion: the same jumps upwards, with the prediction at the upper timestep."""
    previous = [0, *timesteps]
    for s, t in zip(previous, timesteps, strict=False):
        eps = predict(x, torch.full((len(x),), t, device=x.device))
        x = jump(x, eps, alphas_cumprod[s], alphas_cumprod[t])
    return x
