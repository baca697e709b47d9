"""Remembers features: of reference pictures for many edits, of edits for many metrics."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Features = tuple["Tensor", ...]
"""A network's feature tensors, each with N rows."""


class FeatureCache:
    """The most recently used features, row by row, up to ``capacity`` bytes.

    Args:
        capacity: bytes of tensors to keep (default 512 MiB).
    """

    def __init__(self, capacity: int = 512 * 2**20) -> None:
        self.capacity = capacity
        self.size = 0
        self._rows: OrderedDict[Hashable, Features] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def features(
        self, keys: Sequence[str], images: Tensor, encode: Callable[[Tensor], Features]
    ) -> Features:
        """Return the features of N pictures, encoding each distinct unknown one once.

        Args:
            keys: N names; equal names with equal sizes mean equal pictures.
            images: (N, 3, H, W).
            encode: maps (M, 3, H, W) to feature tensors with M rows each.
        """
        import torch

        names: list[Hashable] = [(key, *images.shape[1:]) for key in keys]
        first_rows: dict[Hashable, int] = {}
        for index, name in enumerate(names):
            first_rows.setdefault(name, index)
        found = {name: self._rows[name] for name in first_rows if name in self._rows}
        unknown = [name for name in first_rows if name not in found]
        if unknown:
            encoded = encode(images[[first_rows[name] for name in unknown]])
            for index, name in enumerate(unknown):
                found[name] = tuple(feature[index].clone() for feature in encoded)
        for name, row in found.items():
            self._remember(name, row)
        layers = zip(*(found[name] for name in names), strict=True)
        return tuple(torch.stack(layer) for layer in layers)

    def _remember(self, name: Hashable, row: Features) -> None:
        """Put a row in as the newest one, and drop the oldest ones beyond the capacity."""
        if name not in self._rows:
            self.size += _bytes(row)
        self._rows[name] = row
        self._rows.move_to_end(name)
        while self.size > self.capacity:
            _, oldest = self._rows.popitem(last=False)
            self.size -= _bytes(oldest)


class LastBatch:
    """The features of the batch that was encoded last, which several metrics of a network share.

    Args:
        encode: maps (N, 3, H, W) to feature tensors with N rows each.
    """

    def __init__(self, encode: Callable[[Tensor], Features]) -> None:
        self.encode = encode
        self._images: Tensor | None = None
        self._features: Features = ()

    def features(self, images: Tensor) -> Features:
        """Return the features of (N, 3, H, W); the same tensor is not encoded again."""
        if self._images is not images:
            self._images, self._features = images, self.encode(images)
        return self._features


def _bytes(row: Features) -> int:
    return sum(feature.nbytes for feature in row)
