"""How much of a run is left, by what the edits of each method cost."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable
from dataclasses import dataclass
from statistics import fmean

from icd_bench.run.caches.measurements import Measurements, measurement_key
from icd_bench.run.engines.engine import FinishedCell
from icd_bench.run.planning.plan import Plan

SECONDS_OF_PACE_ONE = 10.0


@dataclass
class _Method:
    """The cells of one method."""

    left: int = 0
    before: float | None = None
    """Seconds of a cell in earlier runs on this machine."""
    timed: int = 0
    seconds: float = 0.0
    """Of the timed cells of this run."""

    @property
    def cost(self) -> float | None:
        """Seconds of a cell, as far as they are known."""
        return self.seconds / self.timed if self.timed else self.before


class Workload:
    """What a run has done and what is left, in seconds of its methods' edits.

    Counts of cells would mislead where one method takes a hundred times as long as another and has
    its turn later. A method's cells count as they were timed in this run; before the first of them,
    as in earlier runs on this machine; if there were none, as the mean of the other methods.

    Args:
        plan: of the run.
        finished: ids of the cells that were done before.
        device: where it is computed.
        dtype: number type, as results name it.
    """

    def __init__(self, plan: Plan, finished: Container[str], device: str, dtype: str) -> None:
        self._start = time.monotonic()
        self._methods = {planned.info.name: _Method() for planned in plan.methods}
        for cell in plan.cells:
            self._methods[cell.group.method.info.name].left += cell.id not in finished
        known = Measurements().load()
        for planned in plan.methods:
            costs = [
                one.seconds_edit + one.seconds_invert / len(group.settings)
                for group in plan.groups
                if group.planned is planned
                for setting in group.settings
                if (one := known.get(measurement_key(plan, group.method, setting, device, dtype)))
            ]
            self._methods[planned.info.name].before = fmean(costs) if costs else None

    def finish(self, cells: Iterable[FinishedCell]) -> None:
        """Count finished cells; those that failed before anything was timed cost nothing."""
        for one in cells:
            method = self._methods[one.cell.group.method.info.name]
            method.left -= 1
            if one.seconds_edit is not None:
                method.timed += 1
                method.seconds += one.seconds_edit
                method.seconds += (one.seconds_invert or 0.0) / len(one.cell.group.settings)

    def seconds_left(self) -> float | None:
        """Return how long the rest will take; None where no method's cost is known.

        Edits that run side by side, and time that is spent beside them, show in the pace of the run
        so far: seconds of edits in a second. It begins as one, which counts as ten seconds would.
        """
        methods = self._methods.values()
        costs = [method.cost for method in methods if method.cost is not None]
        if not costs:
            return None
        middle = fmean(costs)
        work = sum(one.left * (middle if one.cost is None else one.cost) for one in methods)
        done = sum(method.seconds for method in methods)
        elapsed = time.monotonic() - self._start
        return work * (elapsed + SECONDS_OF_PACE_ONE) / (done + SECONDS_OF_PACE_ONE)
