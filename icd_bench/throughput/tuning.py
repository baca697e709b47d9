"""Ways to make U-Nets faster that change the last bits: nothing is done unless it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import torch
from torch import nn

COMPILED: Final = ("ResnetBlock2D", "FeedForward")
"""Blocks that are compiled. Attention is left out: controls take it over, call by call."""


def tune(networks: Iterable[nn.Module], channels_last: bool = False, compiled: bool = False) -> int:
    """Prepare networks and return how many of their blocks are compiled when first called.

    Args:
        networks: changed in place.
        channels_last: keep pictures as NHWC, which tensor cores prefer.
        compiled: compile the blocks around attention with ``torch.compile``.
    """
    blocks = 0
    for network in networks:
        if channels_last:
            network.to(memory_format=torch.channels_last)
        if compiled:
            for block in network.modules():
                if type(block).__name__ in COMPILED:
                    block.compile()
                    blocks += 1
    return blocks
