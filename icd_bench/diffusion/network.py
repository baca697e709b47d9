"""One U-Net as the methods call it: rows in, predictions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from icd_bench.diffusion.attention import Row, controlled, split_rows
from icd_bench.diffusion.guidance import classifier_free_guidance, guidance_embedding
from icd_bench.diffusion.networks import UNet
from icd_bench.diffusion.schedule import Time
from icd_bench.diffusion.text_conditions import unpack_text

if TYPE_CHECKING:
    from icd_bench.diffusion.backbone import Backbone


@dataclass(frozen=True)
class Network:
    """A U-Net of a backbone: predictions in micro-batches, under its control and its counter."""

    backbone: Backbone = field(repr=False)
    unet: UNet = field(repr=False)

    def __call__(
        self,
        latents: Tensor,
        t: Time,
        text: Tensor,
        rows: Sequence[Row],
        *,
        step: int = 0,
        guidance_scale: Tensor | float | None = None,
    ) -> Tensor:
        """Return the prediction (R, C, h, w), float32; what it predicts, the schedule knows.

        Args:
            latents: (R, C, h, w).
            t: timestep of all rows, or (R,).
            text: (R, L, D).
            rows: whom each row belongs to.
            step: index of the edit's step, for an attention control.
            guidance_scale: for guidance-distilled networks, of all rows or (R,), 1 is unguided;
                None gives no embedding, which is not the same as 1.
        """
        time = torch.as_tensor(t, device=latents.device).expand(len(rows))
        condition = self._condition(guidance_scale, len(rows), latents.device)
        limit = self.backbone.max_rows
        if limit is None or len(rows) <= limit:
            return self._predict(latents, time, text, condition, rows, step)
        prediction = torch.empty_like(latents)
        for part in split_rows(rows, limit):
            prediction[part] = self._predict(
                latents[part],
                time[part],
                text[part],
                None if condition is None else condition[part],
                [rows[i] for i in part],
                step,
            )
        return prediction

    def guided(
        self,
        latents: Tensor,
        t: Time,
        text: Tensor,
        null_text: Tensor,
        rows: Sequence[Row],
        *,
        step: int = 0,
        guidance_scale: Tensor,
    ) -> Tensor:
        """Return the prediction (R, C, h, w) with classifier-free guidance.

        Rows with scale 1 are evaluated once, all others twice, in one U-Net call; a source row of
        scale 1 also twice where the attention control asks for it.

        Args:
            latents: (R, C, h, w).
            t: timestep of all rows, or (R,).
            text: (R, L, D).
            null_text: (R, L, D), what guidance leads away from.
            rows: whom each row belongs to.
            step: index of the edit's step, for an attention control.
            guidance_scale: (R,), 1 is unguided.
        """
        null_rows = self._null_rows(rows, step, guidance_scale.tolist())
        conditional, unconditional = self._both(latents, t, text, null_text, rows, step, null_rows)
        return classifier_free_guidance(unconditional, conditional, guidance_scale.to(latents))

    def both(
        self,
        latents: Tensor,
        t: Time,
        text: Tensor,
        null_text: Tensor,
        rows: Sequence[Row],
        *,
        step: int = 0,
        twice: Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        """Return the predictions (R, C, h, w) with the text and with the null text.

        Args:
            latents: (R, C, h, w).
            t: timestep of all rows, or (R,).
            text: (R, L, D).
            null_text: (R, L, D).
            rows: whom each row belongs to.
            step: index of the edit's step, for an attention control.
            twice: positions of the rows that are evaluated with both texts, in one U-Net call; of
                the others the prediction with the text is returned as both.
        """
        null_rows = {i: replace(rows[i], conditional=False) for i in twice}
        return self._both(latents, t, text, null_text, rows, step, null_rows)

    def _both(
        self,
        latents: Tensor,
        t: Time,
        text: Tensor,
        null_text: Tensor,
        rows: Sequence[Row],
        step: int,
        null_rows: Mapping[int, Row],
    ) -> tuple[Tensor, Tensor]:
        """Return the predictions with both texts, given the null-text rows by position."""
        chosen = list(null_rows)
        time = torch.as_tensor(t, device=latents.device).expand(len(rows))
        prediction = self(
            torch.cat([latents, latents[chosen]]),
            torch.cat([time, time[chosen]]),
            torch.cat([text, null_text[chosen]]),
            [*rows, *null_rows.values()],
            step=step,
        )
        conditional = prediction[: len(rows)]
        unconditional = conditional.clone()
        unconditional[chosen] = prediction[len(rows) :]
        return conditional, unconditional

    def _null_rows(self, rows: Sequence[Row], step: int, scales: Sequence[float]) -> dict[int, Row]:
        """Return the null-text rows that are evaluated, too, by the position of their own.

        Those of guided rows, and of the source rows that the null-text rows of guided targets read.
        """
        nulls = {i: replace(rows[i], conditional=False) for i in range(len(rows)) if scales[i] != 1}
        control = self.backbone.control
        if control is None:
            return nulls
        guided = {(row.sample, row.setting) for row in nulls.values()}
        for i, row in enumerate(rows):
            if row.setting is None and i not in nulls:
                readers = control.null_row_readers(step, row.sample)
                serves = frozenset(k for k in readers if (row.sample, k) in guided)
                if serves:
                    nulls[i] = replace(row, conditional=False, serves=serves)
        return dict(sorted(nulls.items()))

    def _condition(
        self, guidance_scale: Tensor | float | None, rows: int, device: torch.device
    ) -> Tensor | None:
        dim = self.unet.config.time_cond_proj_dim
        if guidance_scale is None or dim is None:
            return None
        scale = torch.as_tensor(guidance_scale, dtype=torch.float32, device=device).expand(rows)
        return guidance_embedding(scale, dim)

    def _predict(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        condition: Tensor | None,
        rows: Sequence[Row],
        step: int,
    ) -> Tensor:
        control = self.backbone.control
        self.backbone.spend(rows)
        dtype = self.unet.dtype
        if control is not None:
            control.begin(step, rows)
        words, added = unpack_text(self.unet.config, text.to(dtype), self.backbone.resolution)
        with nullcontext() if control is None else controlled(self.unet, control):
            output = self.unet(
                latents.to(dtype),
                time,
                encoder_hidden_states=words,
                timestep_cond=None if condition is None else condition.to(dtype),
                added_cond_kwargs=added,
            )
        prediction: Tensor = output.sample
        return prediction.float()
