"""Text as one tensor, also where a network is told more than words.

The U-Net of Stable Diffusion XL takes, beside the text's states, its pooled vector and the
picture's sizes. The pooled vector travels as one more position behind the L of the text, so that
methods index, repeat and exchange texts without knowing of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def pack_text(states: Tensor, pooled: Tensor) -> Tensor:
    """Return one tensor (R, L + 1, D) of states (R, L, D) and pooled vectors (R, P), P <= D."""
    padded = functional.pad(pooled, (0, states.shape[-1] - pooled.shape[-1]))
    return torch.cat([states, padded[:, None].to(states)], dim=1)


def unpack_text(
    config: Any, text: Tensor, resolution: int
) -> tuple[Tensor, dict[str, Tensor] | None]:
    """Return what a U-Net takes: the states (R, L, D), and its added conditions or None.

    The sizes are those of a square picture that was neither resized nor cropped.

    Args:
        config: of the U-Net.
        text: (R, L, D), or packed where the U-Net has added conditions.
        resolution: side of the picture in pixels.
    """
    if getattr(config, "addition_embed_type", None) != "text_time":
        return text, None
    sizes = torch.tensor([resolution, resolution, 0, 0, resolution, resolution])
    width = config.projection_class_embeddings_input_dim
    pooled = text[:, -1, : width - len(sizes) * config.addition_time_embed_dim]
    times = sizes.to(text).expand(len(text), -1)
    return text[:, :-1], {"text_embeds": pooled, "time_ids": times}
