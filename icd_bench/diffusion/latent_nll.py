"""How likely an inverted latent is as noise: the measure of iCD (arXiv 2406.14539, table 1)."""

from __future__ import annotations

import math

from torch import Tensor


def latent_nll(latents: Tensor) -> Tensor:
    """Return the negative log-likelihood under N(0, I), per dimension in nats.

    (ln(2 pi) + mean of z^2) / 2: 1.4189 on average for true noise; more where latents are too
    large, less where they are too small. It sees nothing but the second moment.

    Args:
        latents: (B, ...) at the noisiest timestep.

    Returns:
        (B,) float64.
    """
    return (math.log(2 * math.pi) + latents.double().square().flatten(1).mean(1)) / 2
