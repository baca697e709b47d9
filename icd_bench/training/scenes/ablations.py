"""The configurations of iCD that the paper compares (table 2), beside the shipped one (G and K).

All train as long as the shipped adapters, on the same batches; only the timesteps and the losses
differ. A term that is left out moves no other adapter, so the reverse adapters of C, E and F are
the same to the bit and one file serves the three.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from icd_bench.training.icd import FORWARD, REVERSE, Weights

_PLAIN: Final = Weights(forward_preserve=0, reverse_preserve=0)


@dataclass(frozen=True)
class Ablation:
    """A timestep set and the losses that its adapters are trained with."""

    timesteps: str
    losses: str
    """What the losses are called: in the stage, in the shipped folder, in the network's name."""
    weights: Weights
    moved: tuple[str, ...] = (REVERSE, FORWARD)
    """The adapters that are its own; what it leaves as C has it is shipped once."""

    @property
    def stage(self) -> str:
        """Name of the training stage."""
        return f"icd-{self.timesteps}-{self.losses}"


_ENCODER: Final = replace(_PLAIN, forward=0, forward_preserve=1.5)
_FORWARD: Final = replace(_PLAIN, forward_preserve=1.5)

ABLATIONS: Final = {
    ablation.stage: ablation
    for ablation in (
        Ablation("2", "plain", _PLAIN),
        Ablation("3", "plain", _PLAIN),
        Ablation("4a", "plain", _PLAIN),
        Ablation("4a", "encoder", _ENCODER, moved=(FORWARD,)),
        Ablation("4a", "forward", _FORWARD, moved=(FORWARD,)),
    )
}
"""Configurations A, B, C, E (encoder regime: the forward preservation loss alone) and F."""

FURTHER_RANK: Final = 2
"""Of all shipped adapters but those that methods use by default: a fifth of the bytes, and
reconstructs no worse (docs/paper.md)."""
