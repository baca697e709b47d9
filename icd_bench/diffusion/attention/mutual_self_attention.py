"""Mutual self-attention (MasaCtrl, Cao et al. 2023, arXiv 2304.08465) for B samples x K settings.

From some step and layer on a target row asks the source: its queries meet the source row's keys and
values instead of its own, so that the source's content is arranged in the target's layout.
This holds in both halves of classifier-free guidance: a conditional row takes from the source's
conditional row, a null-text row from the source's null-text row.

With masks the object's queries see the source's object only, the background's queries
the source's background only. Masks are given, or come from cross-attention as they are needed: the
maps of the layers of one resolution that already ran in this step.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from icd_bench.diffusion.attention.alignment import read_prompt, word_mask
from icd_bench.diffusion.attention.control import (
    AttentionControl,
    AttentionSizes,
    Layer,
    attention_maps,
)
from icd_bench.diffusion.attention.rows import Row


@dataclass(frozen=True)
class GivenMasks:
    """Where the object is, known beforehand."""

    source: Tensor
    """(height, width) bool, in the source picture."""
    target: Tensor
    """(height, width) bool, where it shall be in the edit."""


@dataclass(frozen=True)
class WordMasks:
    """The object is where cross-attention to these words is strong."""

    source_words: tuple[str, ...]
    """Words of the source prompt."""
    target_words: tuple[str, ...]
    """Words of the target prompt."""
    threshold: float = 0.1
    """Of the attention, scaled to [0, 1] per row; reached or exceeded inside the mask."""


@dataclass(frozen=True)
class MutualEdit:
    """What mutual self-attention is asked to do to one target row."""

    target_prompt: str
    steps: Container[int]
    """Steps in which it acts, counted from 0."""
    layers: Container[int]
    """Transformer blocks in which it acts, counted from 0 in the order of execution."""
    masks: GivenMasks | WordMasks | None = None
    """Limits object to object and background to background; None for no limit."""


@dataclass
class _Target:
    """A target row of the edit, and what became of it."""

    edit: MutualEdit
    words: Tensor | None
    """(2, L) in {0, 1}: the object's tokens in the source and in the target prompt."""
    acted: bool = False
    masks: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Layer -> masks (source, target) made at the current step."""

    def warnings(self) -> tuple[str, ...]:
        warnings = []
        if isinstance(self.edit.masks, WordMasks) and self.words is None:
            warnings.append("the object's words are not in the prompts: MasaCtrl has no masks")
        if not self.acted:
            warnings.append("MasaCtrl acted nowhere: the edit has no such step, or no such layer")
        return tuple(warnings)


@dataclass
class _Taking:
    """A target row in one U-Net call, which takes keys and values from another row of the call."""

    position: int
    source: int
    """Position of the row it takes from."""
    conditional: bool
    target: _Target
    levels: Tensor | None = None
    """(2, tokens) attention to the object's words, of source and target, summed over the layers
    that ran."""


class MutualSelfAttention(AttentionControl):
    """Mutual self-attention of one edit call.

    Args:
        tokenizer: of the text encoder, a transformers tokenizer.
        source_prompts: B prompts.
        edits: B x K edits, the same K for all samples; None leaves a row to ``inner``.
        sizes: ``blend`` is the resolution whose cross-attention makes masks.
        inner: control that attends, once keys and values are chosen.
        num_tokens: length L of the text; default ``tokenizer.model_max_length``.
    """

    def __init__(
        self,
        tokenizer: Any,
        source_prompts: Sequence[str],
        edits: Sequence[Sequence[MutualEdit | None]],
        sizes: AttentionSizes | None = None,
        inner: AttentionControl | None = None,
        num_tokens: int | None = None,
    ) -> None:
        self.sizes, self.inner = sizes or AttentionSizes(), inner or AttentionControl()
        length = num_tokens or tokenizer.model_max_length

        def target(source_prompt: str, edit: MutualEdit) -> _Target:
            if not isinstance(edit.masks, WordMasks):
                return _Target(edit, None)
            prompts = (source_prompt, edit.target_prompt)
            lists = (edit.masks.source_words, edit.masks.target_words)
            words = torch.stack(
                [
                    word_mask(read_prompt(tokenizer, prompt, length), some, length)
                    for prompt, some in zip(prompts, lists, strict=True)
                ]
            )
            return _Target(edit, words if words.any(dim=1).all() else None)

        self._targets = [
            [None if edit is None else target(prompt, edit) for edit in of_sample]
            for prompt, of_sample in zip(source_prompts, edits, strict=True)
        ]
        self._step = -1
        self._num_rows = 0
        self._taking: list[_Taking] = []

    @property
    def warnings(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """What could not be done as asked, B x K tuples of one-line warnings; read after the edit.

        Object words that are not in their prompts, and rows in which no step or no layer was met;
        then those of ``inner``.
        """
        own = tuple(
            tuple(target.warnings() if target else () for target in of_sample)
            for of_sample in self._targets
        )
        if not (inner := self.inner.warnings):
            return own
        return tuple(
            tuple(map(operator.add, *of_sample)) for of_sample in zip(own, inner, strict=True)
        )

    def null_row_readers(self, step: int, sample: int) -> frozenset[int]:
        """See :meth:`AttentionControl.null_row_readers`."""
        targets = enumerate(self._targets[sample])
        return frozenset(k for k, target in targets if target and step in target.edit.steps)

    def begin(self, step: int, rows: Sequence[Row]) -> None:
        """Announce a U-Net call; see :meth:`AttentionControl.begin`."""
        self.inner.begin(step, rows)
        if step != self._step:
            self._step = step
            for target in itertools.chain.from_iterable(self._targets):
                if target:
                    target.masks.clear()

        place = {row: position for position, row in enumerate(rows)}
        self._num_rows, self._taking = len(rows), []
        for position, row in enumerate(rows):
            target = None if row.setting is None else self._targets[row.sample][row.setting]
            if target is None or step not in target.edit.steps:
                continue
            source = place.get(Row(row.sample, None, row.conditional))
            if source is None:
                raise ValueError(f"{row} is in a U-Net call without its source row")
            self._taking.append(_Taking(position, source, row.conditional, target))

    def self_attention(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend to the source's keys and values, where the edit asks for it."""
        taking = [row for row in self._taking if layer.block in row.target.edit.layers]
        if not taking:
            return self.inner.self_attention(layer, q, k, v)
        if len(q) != self._num_rows:
            raise ValueError(f"a U-Net call of {len(q)} rows, but begin announced {self._num_rows}")
        taken_from = list(range(len(q)))
        for row in taking:
            taken_from[row.position] = row.source
            row.target.acted = True
        k, v = k[taken_from], v[taken_from]
        attended = self.inner.self_attention(layer, q, k, v)

        masks = {row.position: self._masks(layer, row) for row in taking}
        visible = {at: _visible(*pair, q.shape[-2]) for at, pair in masks.items() if pair}
        if not visible:
            return attended
        masked = list(visible)
        attended = attended.clone()
        attended[masked] = functional.scaled_dot_product_attention(
            q[masked],
            k[masked],
            v[masked],
            attn_mask=torch.stack(list(visible.values()))[:, None].to(q.device),
        )
        return attended

    def cross_attention(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Note where the object's words are attended to; the attention is ``inner``'s."""
        if q.shape[-2] == math.prod(self.sizes.blend):
            for row in self._taking:
                words = row.target.words
                if words is not None and row.conditional:
                    pair = [row.source, row.position]
                    maps = attention_maps(q[pair], k[pair]).mean(dim=1)
                    levels = torch.einsum("ntl,nl->nt", maps, words.to(maps))
                    row.levels = levels if row.levels is None else row.levels + levels
        return self.inner.cross_attention(layer, q, k, v)

    def places(self, size: tuple[int, int]) -> Tensor:
        """See :meth:`AttentionControl.places`."""
        return self.inner.places(size)

    def after_step(self, step: int, latents: Tensor) -> Tensor:
        """Leave the latents to ``inner``; see :meth:`AttentionControl.after_step`."""
        return self.inner.after_step(step, latents)

    def _masks(self, layer: Layer, row: _Taking) -> tuple[Tensor, Tensor] | None:
        """Return the object's masks (source, target), (height, width) bool; None: none so far."""
        masks = row.target.edit.masks
        if isinstance(masks, GivenMasks):
            return masks.source, masks.target
        if isinstance(masks, WordMasks) and row.levels is not None:
            low, high = row.levels.amin(dim=1, keepdim=True), row.levels.amax(dim=1, keepdim=True)
            inside = (row.levels - low) / (high - low) >= masks.threshold
            source, target = inside.view(2, *self.sizes.blend)
            row.target.masks[layer.name] = source, target
        # A null-text row finds here what its conditional row left, in this call or an earlier one.
        return row.target.masks.get(layer.name)


def _visible(source: Tensor, target: Tensor, num_tokens: int) -> Tensor:
    """Return which source token each target token sees in a layer, (tokens, tokens) bool.

    Where masks leave a token nothing to see, it sees all: an object can vanish at a low resolution.
    """
    height = round(math.sqrt(num_tokens * source.shape[0] / source.shape[1]))
    size = (height, num_tokens // height)
    source_tokens, target_tokens = (
        functional.interpolate(mask[None, None].float(), size=size).flatten() > 0
        for mask in (source, target)
    )
    sees = target_tokens[:, None] == source_tokens
    return sees | ~sees.any(dim=1, keepdim=True)
