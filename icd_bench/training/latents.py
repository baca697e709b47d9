"""Encoded training pairs: what every stage after the autoencoder trains on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .loop import step_generator


@dataclass(frozen=True)
class Latents:
    """N encoded pictures with tokenized captions."""

    x0: Tensor
    """(N, 4, 16, 16), scaled."""
    ids: Tensor
    """(N, 32) token ids."""
    empty: Tensor
    """(32,) token ids of the empty prompt."""

    def __len__(self) -> int:
        return len(self.x0)

    def epoch_rows(self, step: int, batch: int, seed: int) -> Tensor:
        """Rows of a step's batch: every epoch visits each row once, in an order of its own."""
        per_epoch = len(self) // batch
        epoch, place = divmod(step, per_epoch)
        order = torch.randperm(len(self), generator=step_generator(seed + 7919, epoch))
        return order[place * batch : (place + 1) * batch]


def stratified(count: int, below: int, generator: torch.Generator) -> Tensor:
    """``count`` integers in [0, below), one from each equal part of it, in random order."""
    order = torch.randperm(count, generator=generator)
    return ((order + torch.rand(count, generator=generator)) * below / count).long()
