"""Inversions on the disk: one safetensors file for each sample and set of inversion fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from icd_bench.api import Inversion
from icd_bench.run.store import RunWriter

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


class InversionStore(Protocol):
    """Keeps inversions from one use to the next."""

    def load(self, inversion_id: str, device: str) -> StoredInversion | None:
        """Return a stored inversion, None where there is none or it is damaged."""

    def save(self, inversions: Mapping[str, StoredInversion]) -> None:
        """Store the inversions of one batch: all of them, or none after a crash."""


class RunInversions:
    """Inversions of a run folder. Those without tensors cost nothing and are not stored."""

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer

    def load(self, inversion_id: str, device: str) -> StoredInversion | None:
        """Return a stored inversion on a device, None where there is none or it is damaged."""
        from safetensors.torch import load

        record = self._writer.records.inversions.get(inversion_id)
        if record is None:
            return None
        path = self._writer.folder.inversion_path(inversion_id)
        data = self._writer.read_file(path, record.sha256)
        if data is None:
            return None
        tensors = {name: tensor.to(device) for name, tensor in load(data).items()}
        return StoredInversion(tensors, record.nfe, record.seconds, record.warnings)

    def save(self, inversions: Mapping[str, StoredInversion]) -> None:
        """Store the inversions of one batch."""
        from safetensors.torch import save

        folder = self._writer.folder
        files = {
            i: save({name: tensor.cpu().contiguous() for name, tensor in kept.tensors.items()})
            for i, kept in inversions.items()
            if kept.tensors
        }
        if not files:
            return
        self._writer.write({folder.inversion_path(i): data for i, data in files.items()})
        entries = [
            {
                "id": i,
                "sha256": sha256(data).hexdigest(),
                "nfe": inversions[i].nfe,
                "seconds": inversions[i].seconds,
                "warnings": list(inversions[i].warnings),
            }
            for i, data in files.items()
        ]
        self._writer.record({"kind": "inverted", "inversions": entries})


class NoInversions:
    """Keeps nothing: for one picture at once."""

    def load(self, inversion_id: str, device: str) -> StoredInversion | None:
        """Return None."""
        return None

    def save(self, inversions: Mapping[str, StoredInversion]) -> None:
        """Do nothing."""


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
