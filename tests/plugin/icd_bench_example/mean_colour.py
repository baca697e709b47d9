"""Distance of the mean colours of an edit and of the true edit, 0 to sqrt(3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import MetricInfo, Scored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class MeanColour:
    """Euclidean distance of mean RGB; NaN where the true edit is not known."""

    info: ClassVar = MetricInfo(
        name="mean_colour",
        title="Distance of mean colours",
        direction="lower",
        unit="",
        citation="an example",
        needs=("target",),
        group="truth",
        range=(0, 3**0.5),
    )

    def load(self, device: str = "cpu") -> None:
        """There are no weights."""

    def signature(self) -> str:
        """Return how the number is made."""
        return "mean_colour|space:rgb|v:1"

    def score(self, batch: Scored) -> NDArray[np.float64]:
        """Return (N,) distances."""
        import numpy as np

        if batch.target is None:
            return np.full(len(batch.samples), np.nan)
        difference = (batch.edited - batch.target).double().mean(dim=(2, 3))
        distances: NDArray[np.float64] = difference.norm(dim=1).cpu().numpy()
        return distances
