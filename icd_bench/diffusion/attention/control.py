"""What an attention control is: an object of one edit call that every attention layer asks.

A control is a small class: it overrides :meth:`AttentionControl.self_attention`,
:meth:`AttentionControl.cross_attention`, or both, and computes the attention of a whole batch from
queries, keys and values. Which rows of the batch belong to which sample, setting and step it
learns from :meth:`AttentionControl.begin`, once per U-Net call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from icd_bench.diffusion.attention.rows import Row


@dataclass(frozen=True)
class Layer:
    """Place of one attention layer in a U-Net."""

    name: str
    """Module name, such as ``up_blocks.1.attentions.0.transformer_blocks.0.attn2``."""
    part: Literal["down", "mid", "up"]
    block: int
    """Number of its transformer block in the order of execution, from 0; self- and cross-attention
    of a block share it."""


@dataclass(frozen=True)
class AttentionSizes:
    """Token counts at which attention is controlled: a property of a backbone.

    The papers fix them for 64x64 latents, which are the defaults here.
    """

    self_tokens: int = 32 * 32
    """Self-attention is replaced in layers with at most this many image tokens."""
    blend: tuple[int, int] = (16, 16)
    """Height and width in tokens of the cross-attention layers whose maps LocalBlend reads."""


class AttentionControl:
    """Attention as the network was trained: base class and neutral element of all controls.

    One object serves one edit call; what it remembers between steps lives in it and goes with it.
    """

    @property
    def warnings(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """What could not be done as asked: B x K tuples of one-line warnings, or nothing at all."""
        return ()

    def begin(self, step: int, rows: Sequence[Row]) -> None:
        """Announce a U-Net call.

        Args:
            step: index of the edit's step, from 0; several calls may belong to one step.
            rows: what each of the R rows of the batch is, in the order of the batch.

        Raises:
            ValueError: a row needs another one that is not in this call
                (:func:`~icd_bench.diffusion.attention.rows.split_rows` keeps them together).
        """

    def null_row_readers(self, step: int, sample: int) -> frozenset[int]:
        """Return the settings whose null-text rows read their sample's null-text source row.

        It is then evaluated even where the source itself is unguided.
        """
        return frozenset()

    def self_attention(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the self-attention of a layer, (R, heads, image tokens, D), like q, k and v."""
        return functional.scaled_dot_product_attention(q, k, v)

    def cross_attention(self, layer: Layer, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the cross-attention of a layer, (R, heads, image tokens, D).

        Args:
            q: (R, heads, image tokens, D).
            k: (R, heads, text tokens L, D).
            v: like k.
        """
        return functional.scaled_dot_product_attention(q, k, v)

    def places(self, size: tuple[int, int]) -> Tensor:
        """Return where rows may differ from their sources, broadcastable to (rows, 1, h, w).

        As far as is known in the current step, in [0, 1]; here everywhere.

        Args:
            size: height and width of the latents.
        """
        return torch.ones(1, 1, *size)

    def after_step(self, step: int, latents: Tensor) -> Tensor:
        """Return the latents to continue with after the sampler's step.

        Args:
            step: index of the step that was just made.
            latents: all rows of the edit in the order of
                :func:`~icd_bench.diffusion.attention.rows.edit_rows`, (B * (K + 1), C, h, w).
        """
        return latents


def attention_maps(q: Tensor, k: Tensor) -> Tensor:
    """Return softmax(q k^T / sqrt(D)), (R, heads, queries, keys), in float32 or better.

    Args:
        q: (R, heads, queries, D).
        k: (R, heads, keys, D).
    """
    logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    return torch.softmax(logits, dim=-1, dtype=torch.promote_types(q.dtype, torch.float32))
