"""Unified attention control of InfEdit (Xu et al. 2023, arXiv 2312.04965), section 4.

Three branches: the source, the target, and a mutual one that has the source's prompt and draws the
source's content in the target's layout. Q, K and V of self-attention come from

    branch      while (i + 1) / N < self window     afterwards
    target      source, source, target              its own
    mutual      source, source, source              target, source, source

and while (i + 1) / N <= cross window the target's cross-attention map is the mutual's, mapped to
the target's tokens. In the first phase the mutual branch is the source branch, number for number,
so it needs rows of its own only afterwards (:meth:`UnifiedAttention.has_mutual`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from icd_bench.diffusion.attention.alignment import read_prompt
from icd_bench.diffusion.attention.control import (
    AttentionControl,
    AttentionSizes,
    Layer,
    attention_maps,
)
from icd_bench.diffusion.attention.mixing import CrossMix, RowEdit
from icd_bench.diffusion.attention.rows import Row
from icd_bench.diffusion.attention.unified_plan import UnifiedEdit, make_unified_plan
from icd_bench.errors import UsageError

NOISE_THRESHOLD = 0.15
"""The mask's threshold is at least this over alpha_t: early maps say little."""


class UnifiedAttention(AttentionControl):
    """Unified attention control of one edit call of B samples x K settings.

    Args:
        tokenizer: of the text encoder, a transformers tokenizer.
        source_prompts: B prompts.
        edits: B x K edits.
        num_steps: steps N of the edit.
        source_text: embeddings (B, L, D) of the source prompts.
        target_text: embeddings (B, L, D) of the target prompts.
        sizes: where LocalBlend reads maps.
        deterministic: whether steps add less noise than they could, so that the source branch
            goes on with the mutual branch's prediction.

    Attributes:
        rows: the B * (2 K + 1) rows of the edit, per sample [source, target 1 .. K, mutual 1 .. K].
    """

    def __init__(
        self,
        tokenizer: Any,
        source_prompts: Sequence[str],
        edits: Sequence[Sequence[UnifiedEdit]],
        num_steps: int,
        source_text: Tensor,
        target_text: Tensor,
        sizes: AttentionSizes | None = None,
        deterministic: bool = False,
    ) -> None:
        self.sizes, self.num_steps = sizes or AttentionSizes(), num_steps
        self._length = tokenizer.model_max_length
        read = cache(partial(read_prompt, tokenizer, max_tokens=self._length))
        self.plans = {
            Row(sample, setting): make_unified_plan(
                read,
                source_prompts[sample],
                edit,
                num_steps,
                source_text[sample],
                target_text[sample],
                self._length,
                deterministic,
            )
            for sample, of_sample in enumerate(edits)
            for setting, edit in enumerate(of_sample)
        }
        self.rows = [row for b in range(len(edits)) for row in unified_rows(b, len(edits[b]))]
        self._maps: dict[Row, Tensor] = {}
        self._empty: set[Row] = set()
        self._call = _Call()

    @property
    def warnings(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """What could not be done as asked: B x K tuples of one-line warnings."""
        warnings: dict[int, list[tuple[str, ...]]] = {row.sample: [] for row in self.rows}
        for row, plan in self.plans.items():
            empty = ("LocalBlend's mask is empty: the edit has none of the target's content",)
            warnings[row.sample].append(plan.warnings + (empty if row in self._empty else ()))
        return tuple(tuple(settings) for settings in warnings.values())

    def has_mutual(self, row: Row, step: int) -> bool:
        """Return whether a target row's mutual branch needs a row of its own at a step."""
        return step in self.plans[row].mutual_steps

    def null_row_readers(self, step: int, sample: int) -> frozenset[int]:
        """Return the settings whose null-text rows take their layout from the source's."""
        return frozenset(
            row.setting
            for row, plan in self.plans.items()
            if row.sample == sample and row.setting is not None and step not in plan.own_layout
        )

    def begin(self, step: int, rows: Sequence[Row]) -> None:
        """Announce a U-Net call; see :meth:`AttentionControl.begin`."""
        place = {row: position for position, row in enumerate(rows)}
        q, k, v = (list(range(len(rows))) for _ in "qkv")
        edits: dict[int, RowEdit] = {}
        read: list[_Read] = []
        for row, position in place.items():
            if row.setting is None:
                continue
            plan = self.plans[Row(row.sample, row.setting)]
            source = place.get(Row(row.sample, None, row.conditional))
            mutual = place.get(Row(row.sample, row.setting, row.conditional, mutual=True), source)
            if row.mutual:
                target = place.get(Row(row.sample, row.setting, row.conditional))
                if source is None or target is None:
                    raise ValueError(f"{row} is in a U-Net call without its source and target")
                q[position], k[position], v[position] = target, source, source
                continue
            if step not in plan.own_layout:
                if source is None:
                    raise ValueError(f"{row} is in a U-Net call without its source row")
                q[position] = k[position] = source
            if not row.conditional or mutual is None or source is None:
                continue
            if step in plan.cross_window:
                edits[position] = RowEdit(mutual, False, plan.take, plan.keep)
            if plan.blends:
                read.append(_Read(row, position, source, mutual))
        mix = CrossMix.of(len(rows), edits, self._length)
        self._call = _Call(q, k, v, mix, read)

    def self_attention(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend with the queries, keys and values of the phase."""
        call = self._call
        return functional.scaled_dot_product_attention(q[call.q], k[call.k], v[call.v])

    def cross_attention(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend with the mutual branch's maps, mapped to the target's tokens, in the window."""
        call = self._call
        if q.shape[-2] == self.sizes.blend[0] * self.sizes.blend[1]:
            for read in call.read:
                self._record(read, q, k)
        if call.mix is None:
            return functional.scaled_dot_product_attention(q, k, v)
        if call.mix.keep.device != q.device:
            call.mix = call.mix.to(q.device)
        return call.mix.attend(q, k, v)

    def _record(self, read: _Read, q: Tensor, k: Tensor) -> None:
        """Sum up the source's and the mutual's map in the target's tokens, (2, image tokens, L)."""
        plan, branches = self.plans[read.row], [read.source, read.mutual]
        maps = attention_maps(q[branches], k[branches]).mean(dim=1)
        own = attention_maps(q[[read.position]], k[[read.position]]).mean(dim=1)
        mapped = maps @ plan.take.to(maps) + own * plan.keep.to(own)
        self._maps[read.row] = self._maps.get(read.row, 0) + mapped

    def blend(self, step: int, latents: Tensor, alpha: float) -> Tensor:
        """Return the latents with every limited target row put back where it may not change.

        Outside of the edited words' place a target row takes its mutual branch, in the kept words'
        place its source. Words that are both take the mutual branch before the last step.

        Args:
            step: index of the step that was just made; blending starts after the second.
            latents: (R, C, h, w) in the order of ``rows``.
            alpha: sqrt(alphas_cumprod) of the step's timestep.
        """
        if step == 0:
            return latents
        index = {row: position for position, row in enumerate(self.rows)}
        blended = latents.clone()
        for row, plan in self.plans.items():
            if not plan.blends:
                continue
            target = latents[index[row]]
            source = latents[index[Row(row.sample)]]
            # In the first phase the mutual latents are the source's.
            mutual = latents[index[Row(row.sample, row.setting, mutual=True)]]
            edited, kept, both = self.masks(row, alpha, target.shape[-2:])
            if plan.edited.any():
                target = torch.where(edited, target, mutual)
            target = torch.where(kept, source, target)
            if step == self.num_steps - 2:
                target = torch.where(both, mutual, target)
                self._note_empty(row, bool(plan.edited.any()) and not edited.any())
            blended[index[row]] = target
        return blended

    def masks(self, row: Row, alpha: float, size: Sequence[int]) -> Tensor:
        """Return where the edited, the kept, and the words that are both are, (3, h, w) bool.

        Args:
            row: a target row.
            alpha: sqrt(alphas_cumprod) at this step.
            size: h, w.

        Raises:
            UsageError: the network has no cross-attention layer of the size that is read.
        """
        if row not in self._maps:
            raise UsageError(
                f"LocalBlend reads cross-attention maps of {self.sizes.blend[0]}x"
                f"{self.sizes.blend[1]} tokens, but no layer of this network has that many"
            )
        plan, (source, mutual) = self.plans[row], self._maps[row]
        both = plan.edited * plan.kept
        wanted = (
            (mutual, plan.edited, max(NOISE_THRESHOLD / alpha, plan.edited_threshold)),
            (source, plan.kept - both, plan.kept_threshold),
            (mutual, both, plan.edited_threshold),
        )
        places = []
        for maps, words, threshold in wanted:
            attention = (maps * words.to(maps)).amax(dim=-1).view(1, 1, *self.sizes.blend)
            attention = functional.interpolate(attention, size=tuple(size))[0, 0]
            # 0 / 0 where there are no words: not a number exceeds no threshold
            places.append(attention / attention.max() > threshold)
        return torch.stack(places)

    def _note_empty(self, row: Row, is_empty: bool) -> None:
        (self._empty.add if is_empty else self._empty.discard)(row)


@dataclass
class _Read:
    """A target row whose maps LocalBlend reads: positions in the call."""

    row: Row
    position: int
    source: int
    mutual: int


class _Call:
    """Where the rows of one U-Net call take their attention from."""

    def __init__(
        self,
        q: Sequence[int] = (),
        k: Sequence[int] = (),
        v: Sequence[int] = (),
        mix: CrossMix | None = None,
        read: Sequence[_Read] = (),
    ) -> None:
        self.q, self.k, self.v = list(q), list(k), list(v)
        self.mix, self.read = mix, list(read)


def unified_rows(sample: int, settings: int) -> list[Row]:
    """Return a sample's rows: source, targets 1 .. K, mutual branches 1 .. K."""
    return [
        Row(sample),
        *(Row(sample, setting) for setting in range(settings)),
        *(Row(sample, setting, mutual=True) for setting in range(settings)),
    ]
