"""Guidance: how strongly the text acts, at which times, and how a distilled network is told.

Everywhere in this project guidance is the classical scale of classifier-free guidance (arXiv
2207.12598): 1 is unguided. Only :func:`guidance_embedding` converts it to the w = scale - 1 that
guidance-distilled networks are trained with.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def classifier_free_guidance(unconditional: Tensor, conditional: Tensor, scale: Tensor) -> Tensor:
    """Return unconditional + scale (conditional - unconditional), per row.

    Args:
        unconditional: prediction (R, C, h, w) with the null text.
        conditional: prediction (R, C, h, w) with the text.
        scale: (R,), 1 is unguided.
    """
    return unconditional + scale.reshape(-1, 1, 1, 1) * (conditional - unconditional)


def guidance_embedding(scale: Tensor, dim: int) -> Tensor:
    """Return the embedding (R, dim) that tells a guidance-distilled U-Net its guidance.

    Half sines, half cosines of 1000 w 10000^(-k / (dim / 2 - 1)) with w = scale - 1. All in
    float32 and in this order: the angle reaches 19,000 radians, so its rounding is visible
    (1e-3 at w = 19) and belongs to what the released networks were trained with.

    Args:
        scale: (R,), 1 is unguided (which is not the same as giving no embedding).
        dim: ``time_cond_proj_dim`` of the U-Net, even: 512 for iCD, 256 for LCM.
    """
    w = scale.to(torch.float32) - 1
    half = dim // 2
    exponent = torch.arange(half, dtype=torch.float32, device=scale.device)
    frequencies = torch.exp(exponent * -(math.log(10000.0) / (half - 1)))
    angle = (1000.0 * w)[:, None] * frequencies
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def dynamic_guidance(scale: float, t: int, tau1: float, tau2: float, horizon: int = 1000) -> float:
    """Return the guidance scale at timestep t that fades out at high noise (CADS, 2310.17347).

    Full up to t / horizon = tau1 (inclusive), none from tau2 on, linear between. With
    tau1 = tau2 = tau it is the step function of iCD (arXiv 2406.14539, sec. 3.3).

    Args:
        scale: full guidance scale.
        t: timestep.
        tau1: within [0, tau2].
        tau2: within [tau1, 1].
        horizon: number of training timesteps.
    """
    time = t / horizon
    if time <= tau1:
        return scale
    if time >= tau2:
        return 1.0
    return 1.0 + (tau2 - time) / (tau2 - tau1) * (scale - 1.0)


def interval_guidance(scale: float, t: int, low: int, high: int) -> float:
    """Return ``scale`` for low <= t <= high, else 1 (guidance interval, arXiv 2404.07724)."""
    return scale if low <= t <= high else 1.0
