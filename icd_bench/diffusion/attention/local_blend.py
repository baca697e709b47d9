"""LocalBlend: an edit changes only where the attention of the words that change says so.

Prompt-to-Prompt (arXiv 2208.01626), section 3.2: masks from cross-attention maps at one
resolution, averaged over heads and layers and summed over the steps made so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from icd_bench.diffusion.attention.alignment import Prompt, word_mask
from icd_bench.errors import UsageError


@dataclass(frozen=True)
class Blend:
    """Settings of LocalBlend for one target row. Words are as they occur in the prompts."""

    source_words: tuple[str, ...]
    """Words of the source prompt whose maps make the source's part of the mask."""
    target_words: tuple[str, ...]
    """Words of the target prompt whose maps make the target's part of the mask."""
    threshold: float = 0.3
    """Relative to the maximum of a row's map, strictly exceeded inside the mask."""
    start: float = 0.0
    """Share of the steps before the first blending: from step int(start N) on. The official code
    of null-text inversion has .2, of Prompt-to-Prompt 0."""
    source_excluded: tuple[str, ...] = ()
    """Words of the source prompt whose place is taken out of the mask ("substruct words")."""
    target_excluded: tuple[str, ...] = ()
    """The same of the target prompt."""
    excluded_threshold: float = 0.3


@dataclass(frozen=True)
class LocatedBlend:
    """A :class:`Blend` of N steps with its words as masks (L,) in {0, 1} over the text tokens."""

    first_step: int
    threshold: float
    source_words: Tensor
    target_words: Tensor
    excluded_threshold: float
    source_excluded: Tensor
    target_excluded: Tensor

    @classmethod
    def locate(
        cls, blend: Blend, source: Prompt, target: Prompt, num_steps: int, num_tokens: int
    ) -> LocatedBlend:
        """Find a blend's words in its prompts; a word that is absent marks no token."""
        return cls(
            first_step=int(blend.start * num_steps),
            threshold=blend.threshold,
            source_words=word_mask(source, blend.source_words, num_tokens),
            target_words=word_mask(target, blend.target_words, num_tokens),
            excluded_threshold=blend.excluded_threshold,
            source_excluded=word_mask(source, blend.source_excluded, num_tokens),
            target_excluded=word_mask(target, blend.target_excluded, num_tokens),
        )

    def has_place(self) -> bool:
        """Tell whether any word was found: without one every mask would be empty."""
        return bool(self.source_words.any() or self.target_words.any())


@dataclass(frozen=True)
class BlendedRow:
    """A target row that is blended."""

    row: int
    """Index among all rows of the edit."""
    source: int
    """Index of its source row."""
    blend: LocatedBlend


class LocalBlend:
    """Summed maps and masks of one edit call.

    Args:
        rows: the target rows that are blended.
        size: (height, width) in tokens of the layers whose maps are read.
    """

    def __init__(self, rows: Sequence[BlendedRow], size: tuple[int, int]) -> None:
        self.rows, self.size = list(rows), size
        involved = sorted({index for row in rows for index in (row.source, row.row)})
        self._slots = {index: slot for slot, index in enumerate(involved)}
        self._step_maps: dict[str, Tensor] = {}
        self._maps: Tensor | None = None

    def __contains__(self, row: int) -> bool:
        return row in self._slots

    def reads(self, num_tokens: int) -> bool:
        """Tell whether maps of a layer with this many image tokens are wanted."""
        return bool(self.rows) and num_tokens == math.prod(self.size)

    def record(self, layer: str, rows: Sequence[int], maps: Tensor) -> None:
        """Note the edited maps of a layer at the current step; a row noted again is overwritten.

        Args:
            layer: any name that is the layer's own.
            rows: indices of n rows that are blended or the source of one.
            maps: (n, image tokens, L), mean over the heads.
        """
        if layer not in self._step_maps:
            self._step_maps[layer] = maps.new_zeros(len(self._slots), *maps.shape[1:])
        self._step_maps[layer][[self._slots[row] for row in rows]] = maps

    def end_step(self) -> None:
        """Add what was recorded since the last step to the sums."""
        for maps in self._step_maps.values():
            self._maps = maps if self._maps is None else self._maps + maps
        self._step_maps.clear()

    def masks(self, rows: Sequence[BlendedRow]) -> Tensor:
        """Return where each of n rows may differ from its source, (n, height, width) bool.

        Raises:
            UsageError: the network has no cross-attention layer of the size that is read.
        """
        if self._maps is None:
            raise UsageError(
                f"LocalBlend reads cross-attention maps of {self.size[0]}x{self.size[1]} tokens, "
                "but no layer of this network has that many: set AttentionSizes.blend"
            )
        device = self._maps.device
        source = self._maps[[self._slots[row.source] for row in rows]]
        target = self._maps[[self._slots[row.row] for row in rows]]

        blends = [row.blend for row in rows]

        def places(
            maps: Tensor, words: list[Tensor], thresholds: list[float], pool: bool
        ) -> Tensor:
            limits = torch.tensor(thresholds, device=device)
            return word_places(maps, torch.stack(words).to(device), limits, self.size, pool)

        limits = [blend.threshold for blend in blends]
        inside = places(source, [blend.source_words for blend in blends], limits, pool=True)
        inside |= places(target, [blend.target_words for blend in blends], limits, pool=True)

        limits = [blend.excluded_threshold for blend in blends]
        outside = places(source, [blend.source_excluded for blend in blends], limits, pool=False)
        outside |= places(target, [blend.target_excluded for blend in blends], limits, pool=False)
        return inside & ~outside

    def blend(self, step: int, latents: Tensor) -> tuple[Tensor, list[int]]:
        """Put every blended row back on its source outside its mask.

        Args:
            step: index of the step that was just made.
            latents: all rows of the edit, (rows, C, h, w).

        Returns:
            The latents, and the rows whose mask is empty: they now equal their source.
        """
        self.end_step()
        rows = [row for row in self.rows if step >= row.blend.first_step]
        if not rows:
            return latents, []
        mask = self.masks(rows)
        is_empty = (~mask.flatten(1).any(dim=1)).tolist()
        empty = [row.row for row, nothing in zip(rows, is_empty, strict=True) if nothing]

        enlarged = functional.interpolate(mask[:, None].to(latents), size=latents.shape[-2:])
        source = latents[[row.source for row in rows]]
        targets = [row.row for row in rows]
        blended = latents.clone()
        blended[targets] = source + enlarged * (latents[targets] - source)
        return blended, empty


def word_places(
    maps: Tensor, words: Tensor, thresholds: Tensor, size: tuple[int, int], pool: bool
) -> Tensor:
    """Return where the attention to some words is strong, (n, height, width) bool.

    Args:
        maps: (n, height * width, L) cross-attention maps, in any unit.
        words: (n, L) in {0, 1}; a row of zeros has no place.
        thresholds: (n,) relative to the maximum of a row's map.
        size: (height, width).
        pool: widen places by 3x3 max-pooling first.
    """
    attention = torch.einsum("ntl,nl->nt", maps, words.to(maps.dtype)).view(-1, *size)
    if pool:
        attention = functional.max_pool2d(attention[:, None], 3, stride=1, padding=1)[:, 0]
    # 0 / 0 where there are no words: not a number exceeds no threshold
    relative = attention / attention.amax(dim=(1, 2), keepdim=True)
    return torch.gt(relative, thresholds[:, None, None])
