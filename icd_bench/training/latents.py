"""Encoded training pairs: what every stage after the autoencoder trains on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .batch import Examples
from .loop import step_generator
from .networks import mixed_precision

Encode = Callable[[Tensor], Tensor]
"""Token ids (R, L) -> text states (R, L, D)."""


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

    @torch.no_grad()
    def examples(self, encode: Encode, batch: int, seed: int, step: int) -> Examples:
        """The pairs of a step's batch, their captions encoded."""
        rows = self.epoch_rows(step, batch, seed)
        with mixed_precision():
            return Examples(self.x0[rows].float(), encode(self.ids[rows]))

    @torch.no_grad()
    def null_text(self, encode: Encode) -> Tensor:
        """The empty prompt's text states (1, L, D)."""
        with mixed_precision():
            return encode(self.empty[None])
