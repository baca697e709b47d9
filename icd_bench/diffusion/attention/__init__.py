"""Attention control that batches: rows of different samples and settings share a U-Net call.

    control = PromptToPrompt(tokenizer, source_prompts, edits, num_steps=4, sizes=AttentionSizes())
    with controlled(unet, control):
        for step, t in enumerate(timesteps):
            control.begin(step, rows)                      # rows: what each row of x is
            eps = unet(x, t, text).sample
            latents = control.after_step(step, latents)    # LocalBlend

Rows are sample-major, per sample [source, target 1 .. K] (:func:`edit_rows`). Rows with
``conditional=False`` are left alone by Prompt-to-Prompt. A sample's source row must be in the same
U-Net call as its targets; :func:`split_rows` makes such micro-batches. ``control.warnings`` (B x K)
says what could not be done as asked. :class:`MutualSelfAttention` (MasaCtrl) is used the same way.
"""

from icd_bench.diffusion.attention.control import AttentionControl, AttentionSizes, Layer
from icd_bench.diffusion.attention.local_blend import Blend
from icd_bench.diffusion.attention.mutual_self_attention import (
    GivenMasks,
    MutualEdit,
    MutualSelfAttention,
    WordMasks,
)
from icd_bench.diffusion.attention.plan import PromptEdit
from icd_bench.diffusion.attention.processors import controlled
from icd_bench.diffusion.attention.prompt_to_prompt import PromptToPrompt
from icd_bench.diffusion.attention.rows import Row, edit_rows, split_rows
from icd_bench.diffusion.attention.unified import UnifiedAttention, unified_rows
from icd_bench.diffusion.attention.unified_plan import UnifiedEdit
from icd_bench.diffusion.attention.windows import CrossWindow, Window

__all__ = [
    "AttentionControl",
    "AttentionSizes",
    "Blend",
    "CrossWindow",
    "GivenMasks",
    "Layer",
    "MutualEdit",
    "MutualSelfAttention",
    "PromptEdit",
    "PromptToPrompt",
    "Row",
    "UnifiedAttention",
    "UnifiedEdit",
    "Window",
    "WordMasks",
    "controlled",
    "edit_rows",
    "split_rows",
    "unified_rows",
]
