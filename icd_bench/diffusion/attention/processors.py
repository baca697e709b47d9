"""Lets an attention control into the transformer blocks of a diffusers U-Net, for a while."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

from torch import Tensor, nn

from icd_bench.diffusion.attention.control import AttentionControl, Layer
from icd_bench.errors import UsageError

_LAYER = re.compile(r"(?P<block>(?P<part>down|mid|up)_block.*transformer_blocks\.\d+)\.attn\d")
_EXECUTION_ORDER = ("down", "mid", "up")


@contextmanager
def controlled(unet: nn.Module, control: AttentionControl) -> Iterator[None]:
    """Route the attention of every transformer block through ``control`` inside the ``with``.

    Attention outside of transformer blocks stays as it is. The processors that were there before
    are put back when the block ends, whether or not it raised.

    Args:
        unet: a diffusers ``UNet2DConditionModel``.
        control: told of every call by ``control.begin`` before it.

    Raises:
        UsageError: an attention layer does more than project, attend and project.
    """
    network = cast(Any, unet)
    installed = dict(network.attn_processors)
    try:
        network.set_attn_processor(installed | _processors(unet, control))
        yield
    finally:
        network.set_attn_processor(dict(installed))


def attention_layers(unet: nn.Module) -> list[Layer]:
    """Return the attention layers inside transformer blocks, in the order of execution."""
    matches = [_LAYER.fullmatch(name) for name, _ in unet.named_modules()]
    found = sorted(
        (match for match in matches if match),
        key=lambda match: _EXECUTION_ORDER.index(match["part"]),
    )
    blocks = list(dict.fromkeys(match["block"] for match in found))
    return [
        Layer(
            name=match.string,
            part=cast(Literal["down", "mid", "up"], match["part"]),
            block=blocks.index(match["block"]),
        )
        for match in found
    ]


def _processors(unet: nn.Module, control: AttentionControl) -> dict[str, Any]:
    processors: dict[str, Any] = {}
    for layer in attention_layers(unet):
        if not _is_plain(unet.get_submodule(layer.name)):
            raise UsageError(
                f"{layer.name}: attention control knows only layers that project, attend and "
                "project; this one also normalises or adds (use a method without it)"
            )
        processors[f"{layer.name}.processor"] = ControlledProcessor(control, layer)
    return processors


def _is_plain(attn: Any) -> bool:
    extras = ("group_norm", "spatial_norm", "norm_cross", "norm_q", "norm_k", "residual_connection")
    return not any(getattr(attn, name, None) for name in extras) and attn.rescale_output_factor == 1


class ControlledProcessor:
    """A diffusers attention processor that leaves the attention itself to a control."""

    def __init__(self, control: AttentionControl, layer: Layer) -> None:
        self.control, self.layer = control, layer

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Return the layer's output, (R, image tokens, channels) like ``hidden_states``."""
        if attention_mask is not None:
            raise UsageError(f"{self.layer.name}: attention control takes no attention mask")

        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for projected in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        attend = (
            self.control.self_attention
            if encoder_hidden_states is None
            else self.control.cross_attention
        )
        attended = attend(self.layer, q, k, v).transpose(1, 2).flatten(-2).to(hidden_states.dtype)

        project, dropout = attn.to_out
        output: Tensor = dropout(project(attended))
        return output
