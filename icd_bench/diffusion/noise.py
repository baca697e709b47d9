"""Random numbers that belong to a sample: the same in any batch, any order, any worker."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def generator(seed: int, stream: str) -> torch.Generator:
    """Return a CPU generator for one sample.

    Args:
        seed: of the sample (``Batch.seeds``).
        stream: what the numbers are for; different streams of one seed are independent.
    """
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def randn(seeds: Sequence[int], shape: Sequence[int], stream: str) -> Tensor:
    """Return standard normal noise (B, *shape), float32 on the CPU.

    It is drawn on the CPU on every machine, so that a seed means one picture on all devices.

    Args:
        seeds: B seeds, one per sample.
        shape: of one sample's noise.
        stream: what the noise is for.
    """
    return torch.stack([torch.randn(*shape, generator=generator(s, stream)) for s in seeds])
