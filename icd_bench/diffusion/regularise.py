"""Noise regularisation of ReNoise (Garibi et al. 2024, arXiv 2403.14602), section 3.4.

Predicted noise that looks like noise can be inverted. Two losses pull an estimate there: its
statistics in small patches shall be those of a prediction on truly noised latents, and it shall not
correlate with itself (pix2pix-zero, arXiv 2302.03027). Every picture is regularised by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

PATCH = 4
"""Side of the patches whose mean and variance are compared."""
SMALLEST = 8
"""Side at which the pyramid of the autocorrelation ends."""
LARGEST_GRADIENT = 100.0
"""Gradients of the divergence are cut here, elementwise."""
_EPSILON = 1e-6


def pyramid_sides(side: int) -> list[int]:
    """Return the sides of the pyramid's levels: halved until at most ``SMALLEST``."""
    sides = [side]
    while sides[-1] > SMALLEST:
        sides.append(sides[-1] // 2)
    return sides


def draw_rolls(generator: torch.Generator, shape: Sequence[int], side: int) -> Tensor:
    """Return how far each level of each channel is rolled: (*shape, levels), below half its side.

    Args:
        generator: of one sample.
        shape: what is wanted, the channels last.
        side: of the latents.
    """
    levels = [
        torch.randint(level // 2, tuple(shape), generator=generator)
        for level in pyramid_sides(side)
    ]
    return torch.stack(levels, dim=-1)


def patch_divergence(eps: Tensor, reference: Tensor) -> Tensor:
    """Return how far the patches' statistics are from the reference's, (B,).

    Sum over channels and patches of |log(v' / v) + (v + (m - m')^2) / v' - 1| with mean m and
    variance v of a patch, m' and v' of the reference's: twice the KL divergence of two normals.

    Args:
        eps: (B, C, h, w).
        reference: like eps.
    """
    values, wanted = _patches(eps), _patches(reference)
    variance, wanted_variance = (x.var(dim=-1) + _EPSILON for x in (values, wanted))
    shift = (values.mean(dim=-1) - wanted.mean(dim=-1)) ** 2
    divergence = (
        (wanted_variance / variance).log() + (variance - _EPSILON + shift) / wanted_variance - 1
    )
    return divergence.abs().flatten(1).sum(dim=1)


def autocorrelation(eps: Tensor, rolls: Tensor) -> Tensor:
    """Return the squared correlation of eps with itself, rolled, over a pyramid, (B,).

    Args:
        eps: (B, C, h, h).
        rolls: (B, C, levels) pixels, along the height and then along the width.
    """
    total = eps.new_zeros(len(eps))
    for level in range(rolls.shape[-1]):
        if level:
            eps = functional.avg_pool2d(eps, 2)
        for axis in (2, 3):
            rolled = _rolled(eps, rolls[..., level], axis)
            total = total + (eps * rolled).mean(dim=(2, 3)).square().sum(dim=1)
    return total


def regularise(
    eps: Tensor, reference: Tensor | None, rolls: Tensor, lambda_kl: float, lambda_ac: float
) -> Tensor:
    """Return eps (B, C, h, w) after some steps down both losses.

    Each of them is one gradient step of the divergence and several of the autocorrelation.

    Args:
        eps: (B, C, h, w), predicted.
        reference: like eps, predicted on noised clean latents; None leaves the divergence out.
        rolls: (B, steps, autocorrelation steps, C, levels), see :func:`draw_rolls`.
        lambda_kl: step size of the divergence.
        lambda_ac: of the autocorrelation, divided among its steps.
    """
    rolls = rolls.to(eps.device)
    inner = rolls.shape[2]
    for step in range(rolls.shape[1]):
        if reference is not None and lambda_kl:
            with torch.enable_grad():
                free = eps.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(patch_divergence(free, reference).sum(), free)
            eps = eps - lambda_kl * gradient.clamp(-LARGEST_GRADIENT, LARGEST_GRADIENT)
        for i in range(inner if lambda_ac else 0):
            with torch.enable_grad():
                free = eps.detach().requires_grad_()
                loss = autocorrelation(free, rolls[:, step, i]).sum()
                (gradient,) = torch.autograd.grad(loss, free)
            eps = eps - lambda_ac / inner * gradient
    return eps


def _patches(x: Tensor) -> Tensor:
    """Return the patches of every channel, (B, C, patches, pixels)."""
    unfolded = functional.unfold(x, PATCH, stride=PATCH)
    patches: Tensor = unfolded.unflatten(1, (x.shape[1], -1))
    return patches.transpose(-1, -2)


def _rolled(x: Tensor, rolls: Tensor, axis: int) -> Tensor:
    """Return x (B, C, h, w) with every channel rolled by its own number of pixels, (B, C)."""
    size = x.shape[axis]
    index = (torch.arange(size, device=x.device) - rolls[..., None]) % size
    index = index[..., :, None] if axis == 2 else index[..., None, :]
    return x.gather(axis, index.expand_as(x))
