"""The configurations of iCD that the paper compares (table 2), beside the shipped one (G and K).

All train as long as the shipped adapters, on the same batches; only the timesteps and the losses
differ. A term that is left out moves no other adapter, so the reverse adapters of C, E and F are
the same to the bit and one file serves the three.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from icd_bench.training.icd import Weights

_PLAIN: Final = Weights(forward_preserve=0, reverse_preserve=0)


@dataclass(frozen=True)
class Ablation:
    """A timestep set and the losses that its adapters are trained with."""

    timesteps: str
    weights: Weights

    @property
    def plain_reverse(self) -> bool:
        """Whether its reverse adapter is that of the set without preservation losses."""
        return not self.weights.reverse_preserve


ABLATIONS: Final = {
    "icd-2-plain": Ablation("2", _PLAIN),
    "icd-3-plain": Ablation("3", _PLAIN),
    "icd-4a-plain": Ablation("4a", _PLAIN),
    "icd-4a-encoder": Ablation("4a", replace(_PLAIN, forward=0, forward_preserve=1.5)),
    "icd-4a-forward": Ablation("4a", replace(_PLAIN, forward_preserve=1.5)),
}
"""Configurations A, B, C, E (encoder regime: the forward preservation loss alone) and F."""
