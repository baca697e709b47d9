"""Compiled U-Nets: faster, with other last bits, after minutes of compiling."""

from __future__ import annotations

from typing import Final

from torch import nn

BLOCKS: Final = ("ResnetBlock2D", "FeedForward")
"""What is compiled. Attention is left out: controls take it over, call by call."""


def compile_blocks(network: nn.Module) -> int:
    """Let ``torch.compile`` compile a network's blocks when they are first called.

    Returns:
        How many there are.
    """
    import torch._dynamo.config as dynamo

    blocks = [block for block in network.modules() if type(block).__name__ in BLOCKS]
    # Blocks of a kind share their code but not their shapes: each is a compilation of its own, and
    # beyond its limit torch would leave the others as they are.
    dynamo.recompile_limit = max(dynamo.recompile_limit, 8 * len(blocks))
    dynamo.accumulated_recompile_limit = max(dynamo.accumulated_recompile_limit, 64 * len(blocks))
    for block in blocks:
        block.compile()
    return len(blocks)
