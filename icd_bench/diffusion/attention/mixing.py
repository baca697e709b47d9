"""How the attention of one U-Net call is put together from its rows.

Positions count the R rows of the call's batch; L is the length of the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from icd_bench.diffusion.attention.control import attention_maps


@dataclass(frozen=True)
class RowEdit:
    """What happens to the attention of one target row at one step."""

    source: int
    """Position of its source row."""
    shares_self: bool
    """Whether self-attention uses the source's queries and keys."""
    take: Tensor
    """(L, L), with ``keep``: cross map = source_map @ take + own_map * keep."""
    keep: Tensor
    """(L,)"""


class _OnDevice:
    """A dataclass whose tensors, also those inside its parts, move together."""

    def to(self, device: torch.device) -> Self:
        moved = {}
        for name in (field.name for field in fields(self)):  # type: ignore[arg-type]
            value = getattr(self, name)
            moved[name] = value.to(device) if isinstance(value, Tensor | _OnDevice) else value
        return replace(self, **moved)  # type: ignore[type-var]


@dataclass(frozen=True)
class CrossMix(_OnDevice):
    """Cross-attention of a batch in which maps of source rows are used by target rows."""

    kept: Tensor
    """(n,) positions of the rows that use their own map,"""
    keep: Tensor
    """(n, L) with these factors."""
    taken: Tensor
    """(m,) positions of the rows that use their source's map,"""
    take: Tensor
    """(m, L, L) with these weights,"""
    sources: Tensor
    """(m,) from these positions."""

    @classmethod
    def of(cls, num_rows: int, edits: Mapping[int, RowEdit], num_tokens: int) -> CrossMix | None:
        """Return the mix of a call; None where every row uses its own map as it is."""
        ones = torch.ones(num_tokens)
        taken = [p for p, edit in edits.items() if edit.take.any()]
        keep = [edits[p].keep if p in edits else ones for p in range(num_rows)]
        kept = [p for p in range(num_rows) if keep[p].any()]
        if not taken and all(torch.equal(factors, ones) for factors in keep):
            return None
        return cls(
            kept=torch.tensor(kept, dtype=torch.long),
            keep=torch.stack([keep[p] for p in kept]),
            taken=torch.tensor(taken, dtype=torch.long),
            take=torch.stack([edits[p].take for p in taken])
            if taken
            else torch.empty(0, num_tokens, num_tokens),
            sources=torch.tensor([edits[p].source for p in taken], dtype=torch.long),
        )

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the cross-attention (R, heads, image tokens, D) of the edited maps.

        Args:
            q: (R, heads, image tokens, D).
            k: (R, heads, L, D).
            v: (R, heads, L, D).
        """
        own = v[self.kept] * self.keep[:, None, :, None].to(v.dtype)
        borrowed = self.take[:, None].to(v.dtype) @ v[self.taken]
        maps_of = torch.cat([self.kept, self.sources])
        parts = functional.scaled_dot_product_attention(
            q[maps_of], k[maps_of], torch.cat([own, borrowed])
        )
        return torch.zeros_like(q).index_add_(0, torch.cat([self.kept, self.taken]), parts)


@dataclass(frozen=True)
class RecordedMaps(_OnDevice):
    """Cross-attention maps of n rows, after the edit, that somebody wants to see."""

    rows: tuple[int, ...]
    """Their names: what the one who asked calls them."""
    positions: Tensor
    """(n,)"""
    sources: Tensor
    """(n,) which of the n is the row's source; itself for a source row."""
    take: Tensor
    """(n, L, L)"""
    keep: Tensor
    """(n, L)"""

    @classmethod
    def of(
        cls, rows: Mapping[int, int], edits: Mapping[int, RowEdit], num_tokens: int
    ) -> RecordedMaps | None:
        """Return what to record of a call; None for nothing.

        Args:
            rows: position -> name of each row that is wanted; with a target also its source.
            edits: position -> edit of the target rows.
            num_tokens: L.
        """
        if not rows:
            return None
        among = {position: i for i, position in enumerate(rows)}
        unedited = RowEdit(-1, False, torch.zeros(num_tokens, num_tokens), torch.ones(num_tokens))
        wanted = [edits.get(position, unedited) for position in rows]
        return cls(
            rows=tuple(rows.values()),
            positions=torch.tensor(list(rows)),
            sources=torch.tensor(
                [among[edits[p].source] if p in edits else among[p] for p in rows]
            ),
            take=torch.stack([edit.take for edit in wanted]),
            keep=torch.stack([edit.keep for edit in wanted]),
        )

    def edited_maps(self, q: Tensor, k: Tensor) -> Tensor:
        """Return the edited maps, mean over heads, (n, image tokens, L), float32 or better."""
        maps = attention_maps(q[self.positions], k[self.positions]).mean(dim=1)
        take, keep = self.take.to(maps.dtype), self.keep.to(maps.dtype)
        return maps[self.sources] @ take + maps * keep[:, None]


@dataclass(frozen=True)
class Call(_OnDevice):
    """What is to be done in one U-Net call of R rows."""

    num_rows: int
    self_from: Tensor | None = None
    """(R,) whose queries and keys each row uses in self-attention; None: everyone its own."""
    mix: CrossMix | None = None
    recorded: RecordedMaps | None = None

    @classmethod
    def of(
        cls,
        num_rows: int,
        edits: Mapping[int, RowEdit],
        recorded: Mapping[int, int],
        num_tokens: int,
    ) -> Call:
        """Put a call together from position -> edit and position -> name of the recorded rows."""
        self_from = list(range(num_rows))
        for position, edit in edits.items():
            if edit.shares_self:
                self_from[position] = edit.source
        return cls(
            num_rows,
            torch.tensor(self_from) if self_from != list(range(num_rows)) else None,
            CrossMix.of(num_rows, edits, num_tokens),
            RecordedMaps.of(recorded, edits, num_tokens),
        )
