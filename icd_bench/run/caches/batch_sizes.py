"""How much to compute at once on this machine: measured once, remembered in the cache's folder."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from icd_bench.run.caches.cache import cache_home
from icd_bench.run.memory import free_memory, is_out_of_memory
from icd_bench.run.storage.files import write_file

if TYPE_CHECKING:
    from icd_bench.diffusion.backbone import Backbone

LEAST_ROWS = 16
"""Other work on the machine may make few rows look best; where memory runs out they are halved."""
MOST_ROWS = 512
MOST_SECONDS = 20.0
"""A measurement ends after this time with what it has found."""
GAIN = 0.02
"""Twice the rows must be faster by this share, each, to be worth their memory."""
STALLS = 2
"""Doublings in a row that gain less end a measurement; one alone may be a busy moment."""


@dataclass(frozen=True)
class BatchSizes:
    """What is known of one model on one device."""

    rows: int | None = None
    """Fewest rows of a U-Net call that are about as fast, each, as rows get; None: not measured."""
    cells: dict[str, int] = field(default_factory=dict)
    """Method and stage -> most samples x settings at once, where more ran out of memory."""


@dataclass(frozen=True)
class Place:
    """A model and where it computes; what is remembered belongs to all of it."""

    model: str
    resolution: int
    device: str
    dtype: str

    @property
    def key(self) -> str:
        """Return the name under which sizes are remembered."""
        kind = self.device.partition(":")[0]
        return f"{self.model} {self.resolution} {kind} {self.dtype} {platform.node()}"


class BatchMemory:
    """Sizes of this user and machine, in one small JSON file that may be removed at any time."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_home() / "batches.json"

    def of(self, place: Place) -> BatchSizes:
        """Return what is known; a file that cannot be read is as good as none."""
        return self._load().get(place.key, BatchSizes())

    def set_rows(self, place: Place, rows: int) -> None:
        """Remember a measurement."""
        self._save(place, replace(self.of(place), rows=rows))

    def set_cells(self, place: Place, work: str, cells: int) -> None:
        """Remember how much of some work fits into memory."""
        known = self.of(place)
        self._save(place, replace(known, cells={**known.cells, work: cells}))

    def _load(self) -> dict[str, BatchSizes]:
        try:
            return _SCHEMA.validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return {}

    def _save(self, place: Place, sizes: BatchSizes) -> None:
        """Write the file anew; a disk that refuses costs the memory, never the run."""
        known = {**self._load(), place.key: sizes}
        text = json.dumps({key: asdict(one) for key, one in known.items()}, indent=1)
        with suppress(OSError):
            write_file(self.path, text.encode())


_SCHEMA = TypeAdapter(dict[str, BatchSizes])


def measure_rows(backbone: Backbone) -> int:
    """Return how many rows a call of the backbone's U-Net should have: a few seconds.

    The rows are doubled until that no longer makes each of them faster, or memory runs out.
    """
    import torch

    from icd_bench.diffusion.attention import Row

    network = backbone.network("base")

    @torch.no_grad()
    def seconds(rows: int) -> float:
        latents = torch.randn(rows, *backbone.latent_shape).to(backbone.device)
        text = backbone.encode_prompts([""] * rows)
        owners = [Row(i) for i in range(rows)]
        start = time.perf_counter()
        # Reading a number waits for the device.
        float(network(latents, 500, text, owners).sum())
        return time.perf_counter() - start

    return max(LEAST_ROWS, fewest_fast_rows(seconds))


def fewest_fast_rows(seconds: Callable[[int], float]) -> int:
    """Return the fewest rows that are about as fast, each, as rows get.

    Args:
        seconds: of one call with some rows; the first call of each size is not counted.
    """
    found: dict[int, float] = {}
    start = time.monotonic()
    rows, stalls = 1, 0
    while stalls < STALLS and rows <= MOST_ROWS and time.monotonic() - start < MOST_SECONDS:
        try:
            each = min([seconds(rows) for _ in range(3)][1:]) / rows
        except Exception as error:  # memory has many ways to run out
            if not is_out_of_memory(error) or not found:
                raise
            del error
            free_memory()
            break
        before = min(found.values(), default=float("inf"))
        found[rows] = each
        stalls = stalls + 1 if each > (1 - GAIN) * before else 0
        rows *= 2
    best = min(found.values())
    return min(size for size, each in found.items() if each <= (1 + GAIN) * best)
