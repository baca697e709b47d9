"""How likely an inverted picture is as noise (iCD, arXiv:2406.14539, table 1).

The negative log-likelihood of the inversion's noisiest latents z under N(0, I), per dimension in
nats: (ln 2pi + mean z^2) / 2. True noise has 1.4189 on average; larger latents have more, smaller
ones less. Neither is better, so nothing is ranked by it.

It is measured when a picture is inverted and recorded with each of its edits, so that scoring
needs neither the inversion nor a diffusion model. Methods that draw their noise, or have none, and
edits that were not made here have no value. Where an inversion ends before the schedule does
(``strength`` of ReNoise and EDICT), the picture is still in the latents: the value is of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from icd_bench.api import MetricInfo, Scored

from .signature import sign

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LatentNLL:
    """Negative log-likelihood of the inverted latents, as it was recorded."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="latent_nll",
        title="Latent NLL",
        direction="neither",
        unit="nats a dimension",
        citation="Starodubcev et al. 2024, arXiv:2406.14539, table 1",
        group="quality",
        range=(0.9189, None),
        on_request=True,
    )

    def load(self, device: str = "cpu") -> None:
        """Need nothing."""

    def signature(self) -> str:
        """Return how the number is made."""
        return sign("latent_nll", 1, prior="standard-normal")

    def score(self, batch: Scored) -> NDArray[np.float64]:
        """Return (N,) values; NaN where the edit has no inverted noise."""
        if batch.latent_nll is None:
            return np.full(len(batch.samples), np.nan)
        return batch.latent_nll
