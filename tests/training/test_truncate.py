from __future__ import annotations

import pytest
import torch
from torch import Tensor

from icd_bench.training.scenes.truncate import truncate

A, B = "unet.base_model.model.conv.lora_A.weight", "unet.base_model.model.conv.lora_B.weight"


def adapter() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        A: torch.randn(6, 8, 3, 3, generator=generator),
        B: torch.randn(10, 6, 1, 1, generator=generator),
    }


def product(weights: dict[str, Tensor]) -> Tensor:
    return weights[B].flatten(1) @ weights[A].flatten(1)


def test_the_full_rank_changes_nothing() -> None:
    torch.testing.assert_close(product(truncate(adapter(), 6)), product(adapter()))


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_a_lower_rank_is_the_best_there_is(rank: int) -> None:
    cut = truncate(adapter(), rank)
    assert cut[A].shape == (rank, 8, 3, 3)
    assert cut[B].shape == (10, rank, 1, 1)
    left_out = torch.linalg.svdvals(product(adapter()))[rank:]
    error = torch.linalg.matrix_norm(product(cut) - product(adapter()))
    assert float(error) == pytest.approx(float(left_out.norm()), rel=1e-4)
