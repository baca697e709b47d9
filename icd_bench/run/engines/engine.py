"""What an engine is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from icd_bench.api import Method, Sample, Setting
from icd_bench.errors import BadSample
from icd_bench.run.caches.cache import inversion_key
from icd_bench.run.caches.inversions import InversionStore
from icd_bench.run.planning.plan import Group, Plan, PlannedCell
from icd_bench.run.planning.rows import Row
from icd_bench.run.reading.prepare import Prepared, to_png

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from icd_bench.diffusion.backbone import Backbone

Stage = Literal["benchmark", "sample", "invert", "edit", "image", "score"]


@dataclass(frozen=True)
class Failure:
    """Why a cell has no picture or no score."""

    stage: Stage
    type: str
    message: str

    @classmethod
    def of(cls, stage: Stage, error: Exception) -> Failure:
        """Describe an exception in one line."""
        message = " ".join(str(error).split()) or type(error).__name__
        return cls(stage, type(error).__name__, message)


@dataclass(frozen=True)
class FinishedCell:
    """One cell with its picture, or with the reason why there is none."""

    cell: PlannedCell
    levels: NDArray[np.uint8] | None = None
    """(R, R, 3), where the picture is not encoded yet."""
    png: bytes | None = None
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    nfe_invert: int | None = None
    nfe_shared: int | None = None
    """Rows of the source branch, once for all settings that were edited together."""
    nfe_source: int | None = None
    """Those that the setting needs alone."""
    nfe_edit: int | None = None
    seconds_invert: float | None = None
    seconds_edit: float | None = None
    bytes_inversion: int | None = None
    """Of the tensors of the sample's inversion."""
    latent_nll: float | None = None
    """Of the sample's inversion; None where the method declares no ``noise_latents``."""

    def encoded(self) -> FinishedCell:
        """Return the cell with its picture as a PNG file."""
        if self.levels is None:
            return self
        return replace(self, png=to_png(self.levels), levels=None)


@dataclass(frozen=True)
class Unit:
    """Cells that are computed together: every one of the rows with every one of the settings."""

    group: Group
    rows: tuple[Row, ...]
    settings: tuple[Setting, ...]

    @property
    def method(self) -> Method:
        """The method of all of its cells."""
        return self.group.method

    def cells(self, plan: Plan) -> list[PlannedCell]:
        """Return its cells, the settings of a row together."""
        return [
            plan.cell(self.group, setting, row) for row in self.rows for setting in self.settings
        ]


@dataclass(frozen=True)
class Job:
    """The work of an engine."""

    plan: Plan
    done: Set[str]
    """Ids of the cells that need no work."""
    load_backbone: Callable[[], Backbone]
    """Can be pickled where the engine has workers in other processes."""
    read_pictures: Callable[[Sequence[Sample]], list[Prepared | BadSample]]
    """Returns the pictures of each sample, or why it cannot be used."""
    inversions: InversionStore
    batch_size: int
    """Samples at once."""
    timeout: float | None = None
    """Longest time in seconds for one inversion, and for one edit; None: as long as it takes."""
    expendable: bool = False
    """This process may be ended where its work hangs in native code; others go on."""
    device: str = "cpu"
    dtype: str = "float32"
    workers: int | None = None
    """Processes that compute, for engines that have some; None: as many as the devices feed."""
    cluster: str | None = None
    """Address of a running cluster; None: this machine."""

    @property
    def units_in_all(self) -> int:
        """How many units the whole plan has, done or not."""
        return len(self.plan.groups) * -(-len(self.plan.rows) // self.batch_size)

    def inversion_key(self, group: Group, row: Row) -> str:
        """Return the name under which the inversion of a sample is kept."""
        return inversion_key(self.plan, group, row, self.device, self.dtype)

    def units(self) -> Iterator[Unit]:
        """Yield the work in units whose make-up does not depend on what is done already.

        Batches are cut from all rows and only then freed of finished cells, so a run that was
        interrupted goes on with the very batches, and so the very bits, of one that was not.
        """
        for group in self.plan.groups:
            for start in range(0, len(self.plan.rows), self.batch_size):
                batch = self.plan.rows[start : start + self.batch_size]
                missing: dict[tuple[int, ...], list[Row]] = {}
                for row in batch:
                    missing.setdefault(self._missing(group, row), []).append(row)
                for places, rows in missing.items():
                    if places:
                        settings = tuple(group.settings[place] for place in places)
                        yield Unit(group, tuple(rows), settings)

    def _missing(self, group: Group, row: Row) -> tuple[int, ...]:
        return tuple(
            place
            for place, setting in enumerate(group.settings)
            if self.plan.cell(group, setting, row).id not in self.done
        )


class Engine(Protocol):
    """Computes the cells of a job, somewhere."""

    def run(self, job: Job) -> Generator[tuple[FinishedCell, ...], None, None]:
        """Yield finished cells in batches; every missing cell of the usable rows exactly once.

        Closing it ends the work.
        """
