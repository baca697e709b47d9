"""Metrics that compare the edited picture with another one, all of it or the part to be kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from icd_bench.api import MetricInfo, Scored

from .signature import sign

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


PIXELS_AT_ONCE = 512 * 512
"""More than that leaves a processor's caches, and a score waits for memory."""


def piecewise(
    measure: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    edited: Tensor,
    reference: Tensor,
    keep: Tensor | None,
) -> Tensor:
    """Return the (N,) values of a measure that goes through the pictures many times.

    On a processor a few pictures at once, on an accelerator all of them.
    """
    import torch

    size = len(edited)
    if edited.device.type == "cpu":
        size = max(1, PIXELS_AT_ONCE // (edited.shape[-2] * edited.shape[-1]))
    kept = repeat(None) if keep is None else keep.split(size)
    parts = zip(edited.split(size), reference.split(size), kept, strict=False)
    return torch.cat([measure(*part) for part in parts])


class Comparison(ABC):
    """The edited picture against the source or the true edit.

    A subclass states what it compares (``against``, ``region``) and measures it. On the
    *background*, the pixels outside the edit mask, every score is normalised by area: only kept
    pixels count, and how many there are does not matter. Where the benchmark has no mask or no
    true edit for a sample, or the mask leaves nothing, the score is NaN.
    """

    info: ClassVar[MetricInfo]
    family: ClassVar[str]
    """Name of the measure without the variant, for the signature."""
    version: ClassVar[int] = 1
    against: ClassVar[Literal["source", "target"]] = "source"
    region: ClassVar[Literal["whole", "background"]] = "whole"
    zeroed: ClassVar[bool] = False
    """Background by the rule of PIE-Bench's scripts instead: see :meth:`measure_zeroed`."""
    mask_rule: ClassVar[str] = "area"
    """How background scores leave the edited pixels out, for the signature."""
    size: ClassVar[str] = "native"
    """At which size pictures are compared, for the signature."""

    device: str = "cpu"

    def load(self, device: str = "cpu") -> None:
        """Compute on ``device`` from now on."""
        self.device = device

    def signature(self) -> str:
        """Return how the number is made."""
        return sign(
            self.family,
            self.version,
            **self.rules(),
            against=self.against,
            size=self.size,
            range="0-1",
            mask=self._mask_rule(),
        )

    def rules(self) -> dict[str, str]:
        """Return what else belongs in the signature."""
        return {}

    def score(self, batch: Scored) -> NDArray[np.float64]:
        """Return (N,) values; NaN where the metric does not apply to a sample."""
        values = np.full(len(batch.samples), np.nan)
        reference = batch.source if self.against == "source" else batch.target
        rows = self._rows(batch)
        if reference is None or not rows:
            return values
        keep = None
        if self.region == "background" and batch.mask is not None:
            keep = 1 - self._take(batch.mask, rows)
        keys = [f"{self.against}:{batch.samples[row].digest}" for row in rows]
        edited, reference = (self._take(each, rows) for each in (batch.edited, reference))
        if keep is not None and self.zeroed:
            measured = self.measure_zeroed(edited, reference, keep, keys)
        else:
            measured = self.measure(edited, reference, keep, keys)
        values[rows] = measured.double().cpu().numpy()
        return values

    def measure_zeroed(
        self, edited: Tensor, reference: Tensor, keep: Tensor, keys: Sequence[str]
    ) -> Tensor:
        """Compare N pairs whose edited pixels are set to zero in both pictures.

        The whole frame counts and is not divided by the kept area, so equal black regions flatter
        a score the more, the larger the mask. Comparable with numbers of PIE-Bench's scripts, and
        with nothing else.

        Returns:
            (N,) values; NaN where ``keep`` is zero everywhere.
        """
        zeroed_keys = [f"{key}:zeroed" for key in keys]
        values = self.measure(edited * keep, reference * keep, None, zeroed_keys)
        nothing = keep.flatten(1).amax(dim=1) == 0
        return values.masked_fill(nothing, float("nan"))

    @abstractmethod
    def measure(
        self, edited: Tensor, reference: Tensor, keep: Tensor | None, keys: Sequence[str]
    ) -> Tensor:
        """Compare N pairs.

        Args:
            edited: (N, 3, H, W) in [0, 1].
            reference: (N, 3, H, W) in [0, 1].
            keep: (N, 1, H, W) in {0, 1}, one where pixels count; None means everywhere.
            keys: N names of the reference pictures; equal names mean equal pictures.

        Returns:
            (N,) values; NaN where ``keep`` is zero everywhere.
        """

    def _take(self, pictures: Tensor, rows: list[int]) -> Tensor:
        """Return rows of (N, C, H, W) on the device; all of them without a copy."""
        return (pictures if len(rows) == len(pictures) else pictures[rows]).to(self.device)

    def _mask_rule(self) -> str:
        if self.region == "whole":
            return "none"
        return "zeroed" if self.zeroed else self.mask_rule

    def _rows(self, batch: Scored) -> list[int]:
        """Return the rows whose samples have what the metric needs."""
        needs_mask, needs_target = self.region == "background", self.against == "target"
        if needs_mask and batch.mask is None:
            return []
        return [
            row
            for row, sample in enumerate(batch.samples)
            if not (needs_mask and sample.read_mask is None)
            and not (needs_target and sample.read_target is None)
        ]
