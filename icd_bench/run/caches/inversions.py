"""Inversions, one for each sample and set of inversion fields, and where they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from icd_bench.api import Inversion, NoiseLatents
from icd_bench.run.overlap import Behind

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StoredInversion:
    """The inversion of one sample."""

    tensors: Mapping[str, Tensor]
    """Name -> (1, ...)."""
    nfe: int
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Of its tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())


class InversionStore(Protocol):
    """Keeps inversions from one use to the next, under keys of ``icd_bench.run.caches.cache``."""

    problems: list[str]
    """What a person must be told, one line each."""

    def lacking(self, keys: Iterable[str]) -> set[str]:
        """Return which inversions would be kept, once made, and are not there."""

    def load(self, key: str, device: str) -> StoredInversion | None:
        """Return a stored inversion, None where there is none or it is damaged."""

    def save(self, inversions: Mapping[str, StoredInversion]) -> None:
        """Keep the inversions of one batch: key -> inversion."""


class NoInversions:
    """Keeps nothing: for one picture at once."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def lacking(self, keys: Iterable[str]) -> set[str]:
        """Return nothing: none would be kept."""
        return set()

    def load(self, key: str, device: str) -> StoredInversion | None:
        """Return None."""
        return None

    def save(self, inversions: Mapping[str, StoredInversion]) -> None:
        """Do nothing."""


class InversionsBehind(Behind[Mapping[str, StoredInversion]]):
    """A store whose files a thread writes; what waits to be written is found, too."""

    def __init__(self, store: InversionStore) -> None:
        super().__init__(self._write)
        self._store = store
        self.problems = store.problems
        """What a person must be told, one line each."""
        self._waiting: dict[str, StoredInversion] = {}

    def lacking(self, keys: Iterable[str]) -> set[str]:
        """Return which inversions would be kept, once made, and are not there."""
        return self._store.lacking(key for key in keys if key not in self._waiting)

    def load(self, key: str, device: str) -> StoredInversion | None:
        """Return an inversion, None where there is none."""
        return self._waiting.get(key) or self._store.load(key, device)

    def save(self, inversions: Mapping[str, StoredInversion]) -> None:
        """Let the inversions of one batch be kept."""
        self._waiting.update(inversions)
        self.put(inversions)

    def _write(self, inversions: Mapping[str, StoredInversion]) -> None:
        self._store.save(inversions)
        for key in inversions:
            self._waiting.pop(key, None)


def split_inversion(inversion: Inversion, count: int, seconds: float) -> list[StoredInversion]:
    """Return the inversion of each of B samples.

    Args:
        inversion: of the batch.
        count: B.
        seconds: that the batch took.

    Raises:
        ValueError: a tensor does not have B rows.
    """
    for name, tensor in inversion.tensors.items():
        if len(tensor) != count:
            raise ValueError(
                f'inversion tensor "{name}" has {len(tensor)} rows for {count} samples'
            )
    nfe = inversion.nfe or (0,) * count
    warnings = inversion.warnings or ((),) * count
    return [
        StoredInversion(
            {name: tensor[row : row + 1] for name, tensor in inversion.tensors.items()},
            int(nfe[row]),
            seconds / count,
            tuple(warnings[row]),
        )
        for row in range(count)
    ]


def inversion_is_finite(inversion: StoredInversion) -> bool:
    """Return whether an inversion has only finite numbers."""
    import torch

    return all(
        bool(torch.isfinite(tensor).all())
        for tensor in inversion.tensors.values()
        if tensor.is_floating_point()
    )


def noise_nll(inversion: StoredInversion, place: NoiseLatents | None) -> float | None:
    """Return the negative log-likelihood of an inversion's noise; None where it has none."""
    from icd_bench.diffusion.latent_nll import latent_nll

    if place is None or place.tensor not in inversion.tensors:
        return None
    latents = inversion.tensors[place.tensor]
    noise = latents if place.index is None else latents[:, place.index]
    return float(latent_nll(noise.cpu()))


def join_inversions(inversions: list[StoredInversion]) -> Inversion:
    """Return the inversions of B samples as those of one batch."""
    import torch

    return Inversion(
        tensors={
            name: torch.cat([one.tensors[name] for one in inversions])
            for name in inversions[0].tensors
        },
        nfe=tuple(one.nfe for one in inversions),
        warnings=tuple(one.warnings for one in inversions),
    )
