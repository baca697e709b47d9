"""Fewer numbers for an adapter: the nearest one of lower rank, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor

_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


def truncate(adapter: dict[str, Tensor], rank: int) -> dict[str, Tensor]:
    """Return an adapter whose products B A are the best approximations of a rank (Eckart-Young).

    The singular values are shared evenly by B and A, which keeps half precision exact in both.

    Args:
        adapter: released keys -> ``lora_A`` (r, in, ..) and ``lora_B`` (out, r, ..).
        rank: at most r.
    """
    found: dict[str, Tensor] = {}
    for key, down in adapter.items():
        if not key.endswith(_DOWN):
            continue
        up_key = key.removesuffix(_DOWN) + _UP
        up = adapter[up_key]
        up_basis, up_rest = torch.linalg.qr(up.flatten(1).double())
        down_basis, down_rest = torch.linalg.qr(down.flatten(1).double().T)
        left, values, right = torch.linalg.svd(up_rest @ down_rest.T)
        share = values[:rank].sqrt()
        new_up = up_basis @ left[:, :rank] * share
        new_down = (down_basis @ right[:rank].T * share).T
        found[key] = new_down.reshape(-1, *down.shape[1:]).to(down).contiguous()
        found[up_key] = new_up.reshape(len(up), -1, *up.shape[2:]).to(up).contiguous()
    return found
