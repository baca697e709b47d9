from __future__ import annotations

import torch

from icd_bench.metrics.features import FeatureCache


class CountingEncoder:
    """Doubles pictures, and remembers how many it saw."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.calls.append(len(images))
        return images * 2, images.mean(dim=(1, 2, 3))


def pictures(*values: float, side: int = 4) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, side, side)


def test_distinct_pictures_are_encoded_once_and_returned_in_order():
    cache, encode = FeatureCache(), CountingEncoder()
    doubled, means = cache.features(["a", "b", "a"], pictures(1, 2, 1), encode)
    assert encode.calls == [2]
    assert means.tolist() == [1, 2, 1]
    assert torch.equal(doubled, pictures(2, 4, 2))
    _, means = cache.features(["b", "c"], pictures(2, 3), encode)
    assert encode.calls == [2, 1]
    assert means.tolist() == [2, 3]


def test_other_size_is_another_picture():
    cache, encode = FeatureCache(), CountingEncoder()
    cache.features(["a"], pictures(1), encode)
    doubled, _ = cache.features(["a"], pictures(1, side=8), encode)
    assert doubled.shape == (1, 3, 8, 8)
    assert encode.calls == [1, 1]


def test_oldest_is_dropped_first_and_a_batch_may_exceed_the_capacity():
    encode = CountingEncoder()
    row_bytes = (3 * 4 * 4 + 1) * 4
    cache = FeatureCache(capacity=2 * row_bytes)
    _, means = cache.features(["a", "b", "c"], pictures(1, 2, 3), encode)
    assert means.tolist() == [1, 2, 3]
    assert len(cache) == 2
    assert cache.size == 2 * row_bytes
    cache.features(["b", "c"], pictures(2, 3), encode)
    assert encode.calls == [3]
    cache.features(["a"], pictures(1), encode)
    cache.features(["c"], pictures(3), encode)
    assert encode.calls == [3, 1]
