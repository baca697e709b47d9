"""What edits cost on this machine, remembered from runs and from short measurements.

One JSON file of the user, made anew at any time: ``measurements.json`` in the cache's folder.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from icd_bench.run.caches.cache import cache_home
from icd_bench.run.cells import content_id
from icd_bench.run.storage.files import write_file

if TYPE_CHECKING:
    from icd_bench.api import Method, Setting
    from icd_bench.run.engines.engine import FinishedCell
    from icd_bench.run.planning.plan import Plan


@dataclass(frozen=True)
class Measurement:
    """Means of one method with one setting."""

    method: str
    pictures: int
    """How many were edited to find the others."""
    rows_invert: float
    """U-Net rows of a sample's inversion."""
    rows_source: float
    """Of a sample's source branch, once for all settings."""
    rows_edit: float
    """Of one edit alone."""
    seconds_invert: float
    seconds_edit: float
    """With its share of the source branch, and decoded."""
    bytes_picture: float
    peak_memory: int
    """Most bytes that the process or the accelerator had in use."""
    bytes_inversion: float | None = None
    """Of a sample's inversion; None in measurements of versions that did not record it."""


@dataclass(frozen=True)
class EditCost:
    """What one finished edit cost."""

    key: str
    method: str
    rows_invert: int
    rows_source: int
    rows_edit: int
    seconds_invert: float
    seconds_edit: float
    bytes_picture: int
    bytes_inversion: int


def measurement_key(plan: Plan, method: Method, setting: Setting, device: str, dtype: str) -> str:
    """Return the name under which the cost of a setting on this machine is remembered."""
    return content_id(
        [
            method.info.name,
            method.info.version,
            plan.model_digest(method, setting),
            setting.model_dump(mode="json"),
            device.partition(":")[0],
            dtype,
            _processor(),
        ]
    )


def cost_of(finished: FinishedCell, plan: Plan, device: str, dtype: str) -> EditCost | None:
    """Return what a cell cost; None where it has no picture or is not timed."""
    method = finished.cell.group.method
    if finished.png is None or finished.seconds_edit is None:
        return None
    return EditCost(
        key=measurement_key(plan, method, finished.cell.setting, device, dtype),
        method=method.info.name,
        rows_invert=finished.nfe_invert or 0,
        rows_source=finished.nfe_shared or 0,
        rows_edit=finished.nfe_edit or 0,
        seconds_invert=finished.seconds_invert or 0.0,
        seconds_edit=finished.seconds_edit,
        bytes_picture=len(finished.png),
        bytes_inversion=finished.bytes_inversion or 0,
    )


def average(costs: Iterable[EditCost], peak_memory: int) -> dict[str, Measurement]:
    """Return the measurement of each key."""
    groups: dict[str, list[EditCost]] = {}
    for cost in costs:
        groups.setdefault(cost.key, []).append(cost)
    return {
        key: Measurement(
            method=group[0].method,
            pictures=len(group),
            rows_invert=fmean(cost.rows_invert for cost in group),
            rows_source=fmean(cost.rows_source for cost in group),
            rows_edit=fmean(cost.rows_edit for cost in group),
            seconds_invert=fmean(cost.seconds_invert for cost in group),
            seconds_edit=fmean(cost.seconds_edit for cost in group),
            bytes_picture=fmean(cost.bytes_picture for cost in group),
            peak_memory=peak_memory,
            bytes_inversion=fmean(cost.bytes_inversion for cost in group),
        )
        for key, group in groups.items()
    }


class Measurements:
    """The measurements of this user and machine.

    Args:
        path: the file; default: in the cache's folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_home() / "measurements.json"

    def load(self) -> dict[str, Measurement]:
        """Return key -> measurement; a file that cannot be read is as good as none."""
        try:
            content = json.loads(self.path.read_bytes())
            return _SCHEMA.validate_python(content["measurements"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError):
            return {}

    def add(self, found: Mapping[str, Measurement]) -> None:
        """Remember measurements; those of more pictures go before those of fewer.

        Where the disk refuses, they are forgotten: a run does not end for them.
        """
        known = self.load()
        better = {
            key: one
            for key, one in found.items()
            if key not in known or one.pictures >= known[key].pictures
        }
        if not better:
            return
        merged = {key: asdict(one) for key, one in {**known, **better}.items()}
        text = json.dumps({"measurements": merged}, indent=1)
        with suppress(OSError):
            write_file(self.path, text.encode())


_SCHEMA = TypeAdapter(dict[str, Measurement])


@cache
def _processor() -> str:
    """Return what tells machines apart that share a home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(line for line in lines if line.startswith("model name"))
