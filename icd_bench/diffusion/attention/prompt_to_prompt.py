"""Prompt-to-Prompt (Hertz et al. 2022, arXiv 2208.01626) for B samples x K settings at once.

Self-attention maps of the source, used by a target, are the source's queries and keys with the
target's values: fused attention. Cross-attention needs no map either, because every edit of one is
linear. With A_s and A_t the maps of a source row and its target row, V_t the target's values, and
per token position the mapper M, its mix alpha, the factor c and the window w in {0, 1}, the edit

    A = (A_s M alpha + A_t (1 - alpha)) c w + A_t (1 - w) = A_s take + A_t diag(keep)

acts on values as ``A V_t = A_s (take V_t) + A_t (keep V_t)``: one fused attention over the
source's queries and keys, one over the target's own. Only LocalBlend looks at maps, in its layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from icd_bench.diffusion.attention.control import AttentionControl, AttentionSizes, Layer
from icd_bench.diffusion.attention.local_blend import BlendedRow, LocalBlend
from icd_bench.diffusion.attention.mixing import Call, RowEdit
from icd_bench.diffusion.attention.plan import Planner, PromptEdit
from icd_bench.diffusion.attention.rows import Row, edit_rows


class PromptToPrompt(AttentionControl):
    """Prompt-to-Prompt of one edit call.

    Args:
        tokenizer: of the text encoder, a transformers tokenizer.
        source_prompts: B prompts.
        edits: B x K edits, the same K for all samples.
        num_steps: steps N of the edit.
        sizes: where attention is controlled, a property of the backbone.
        num_tokens: length L of the text; default ``tokenizer.model_max_length``.
        planner: reads windows and aligns prompts; default as the official code does.

    Attributes:
        rows: the B * (K + 1) conditional rows that are controlled, sample-major.
    """

    def __init__(
        self,
        tokenizer: Any,
        source_prompts: Sequence[str],
        edits: Sequence[Sequence[PromptEdit]],
        num_steps: int,
        sizes: AttentionSizes | None = None,
        num_tokens: int | None = None,
        planner: Planner | None = None,
    ) -> None:
        num_settings = {len(settings) for settings in edits}
        if len(edits) != len(source_prompts) or len(num_settings) > 1:
            raise ValueError(
                f"{len(source_prompts)} source prompts need as many lists of edits, all of one "
                f"length; got {[len(settings) for settings in edits]}"
            )
        self._num_tokens = num_tokens or tokenizer.model_max_length
        planner = planner or Planner(tokenizer, num_steps, self._num_tokens)
        self.sizes = sizes or AttentionSizes()
        self.rows = edit_rows(len(edits), num_settings.pop() if num_settings else 0)
        self._index = {row: index for index, row in enumerate(self.rows)}
        self._plans = {
            row: planner.plan(source_prompts[row.sample], edits[row.sample][row.setting])
            for row in self.rows
            if row.setting is not None
        }
        self._blend = LocalBlend(
            [
                BlendedRow(self._index[row], self._index[Row(row.sample)], plan.blend)
                for row, plan in self._plans.items()
                if plan.blend is not None
            ],
            self.sizes.blend,
        )
        self._equal_to_source: frozenset[Row] = frozenset()
        self._call = Call(num_rows=0)
        self._device = torch.device("cpu")

    @property
    def warnings(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """What could not be done as asked: B x K tuples of one-line warnings.

        Words that are not in their prompt, blending that is therefore off, a prompt that is too
        long, words that could not be replaced one for one; after the last step also a row that
        LocalBlend turned into its source.
        """
        warnings: dict[int, list[tuple[str, ...]]] = {row.sample: [] for row in self.rows}
        for row, plan in self._plans.items():
            empty = ("LocalBlend's mask is empty: the edit equals the source",)
            warnings[row.sample].append(
                plan.warnings + (empty if row in self._equal_to_source else ())
            )
        return tuple(tuple(settings) for settings in warnings.values())

    def begin(self, step: int, rows: Sequence[Row]) -> None:
        """Announce a U-Net call; see :meth:`AttentionControl.begin`."""
        place = {row: position for position, row in enumerate(rows)}
        edits: dict[int, RowEdit] = {}
        for position, row in enumerate(rows):
            if not row.conditional or row.setting is None:
                continue
            source = place.get(Row(row.sample))
            if source is None:
                raise ValueError(f"{row} is in a U-Net call without its source row")
            plan = self._plans[row]
            edits[position] = RowEdit(source, step in plan.self_window, *plan.at(step))
        recorded = {
            position: self._index[row]
            for row, position in place.items()
            if row.conditional and self._index[row] in self._blend
        }
        self._device = torch.device("cpu")
        self._call = Call.of(len(rows), edits, recorded, self._num_tokens)

    def self_attention(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend with the source's queries and keys inside the row's window."""
        call = self._call_of(q)
        if call.self_from is not None and q.shape[-2] <= self.sizes.self_tokens:
            q, k = q[call.self_from], k[call.self_from]
        return functional.scaled_dot_product_attention(q, k, v)

    def cross_attention(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend with the source's maps, mapped to the target's tokens, inside the windows."""
        call = self._call_of(q)
        if self._blend.reads(q.shape[-2]) and call.recorded is not None:
            self._blend.record(layer.name, call.recorded.rows, call.recorded.edited_maps(q, k))
        if call.mix is None:
            return functional.scaled_dot_product_attention(q, k, v)
        return call.mix.attend(q, k, v)

    def after_step(self, step: int, latents: Tensor) -> Tensor:
        """Blend every row with its source, where asked; see :meth:`AttentionControl.after_step`."""
        if not self._blend.rows:
            return latents
        latents, empty = self._blend.blend(step, latents)
        self._equal_to_source = frozenset(self.rows[index] for index in empty)
        return latents

    def places(self, size: tuple[int, int]) -> Tensor:
        """Return LocalBlend's masks with the maps so far, (B * (K + 1), 1, height, width).

        In {0, 1}: one where a row may differ from its source; everywhere for a row that is not
        blended.

        Args:
            size: height and width.
        """
        self._blend.end_step()
        places = torch.ones(len(self.rows), 1, *size)
        if self._blend.rows:
            masks = self._blend.masks(self._blend.rows)[:, None]
            enlarged = functional.interpolate(masks.to(places.dtype), size=size)
            places = places.to(masks.device)
            places[[row.row for row in self._blend.rows]] = enlarged
        return places

    def _call_of(self, q: Tensor) -> Call:
        if len(q) != self._call.num_rows:
            raise ValueError(
                f"a U-Net call of {len(q)} rows, but begin announced {self._call.num_rows}"
            )
        if self._device != q.device:
            self._call, self._device = self._call.to(q.device), q.device
        return self._call
