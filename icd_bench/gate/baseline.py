"""The baseline file: what a run must not fall behind; small, and made to be reviewed.

JSON with one line for each metric and each sample, so that a changed value is a changed line.
Numbers have six significant digits, digests twelve hex digits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from icd_bench.api import Direction
from icd_bench.errors import UsageError

FORMAT = 1
FORMAT_FIELD = "icd_bench_baseline"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class MetricEntry(_Entry):
    """One metric: how it was made, and how much of it may be lost."""

    direction: Direction
    margin: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Largest loss that nobody would mind, in the metric's unit; None: recorded, not checked."""
    why: str = ""
    """Where the margin comes from."""
    unit: str = ""
    signature: str


class Task(NamedTuple):
    """One sample: what was asked, and of which picture."""

    digest: str
    source: str
    """Digest of the source picture: samples that share it are not independent."""


class Row(NamedTuple):
    """What one arm made of one sample."""

    picture: str
    """Digest of the edited picture; empty where the edit failed."""
    nfe: int
    """U-Net rows evaluated for inversion, source branch and edit."""
    values: tuple[float | None, ...]
    """In the order of the metrics; None where there is no score."""


class Arm(_Entry):
    """One method with one setting and one seed."""

    method: str
    version: str
    model_digest: str
    seed: int
    setting: dict[str, Any]
    seconds: float | None
    """Median over the samples, inversion included; None where nothing was edited."""
    rows: dict[str, Row]
    """Sample id -> what became of it."""


def labels(arms: Sequence[Arm]) -> list[str]:
    """Return a name for each arm: its method, and of setting and seed what tells it apart."""
    return [
        ", ".join([arm.method, *_distinctions(arm, [a for a in arms if a.method == arm.method])])
        for arm in arms
    ]


def _distinctions(arm: Arm, siblings: Sequence[Arm]) -> list[str]:
    fields = [
        f"{name}={value}"
        for name, value in arm.setting.items()
        if any(sibling.setting.get(name) != value for sibling in siblings)
    ]
    seeds = {sibling.seed for sibling in siblings}
    return [*fields, f"seed {arm.seed}"] if len(seeds) > 1 else fields


class CostLimits(_Entry):
    """Largest ratios of cost, run to baseline, on the same hardware; U-Net rows must be equal."""

    seconds: float = Field(default=1.5, gt=0, allow_inf_nan=False)
    memory: float = Field(default=1.25, gt=0, allow_inf_nan=False)


class Measured(_Entry):
    """What a run measured."""

    made: dict[str, str]
    """Command, versions and git commit, for whoever reviews the file."""
    benchmark: str
    model: str
    protocol: str
    resolution: int
    hardware: str
    """Machine, device and number type: seconds and memory are compared only where it is equal."""
    memory: int | None
    """Largest memory of the commands in bytes, of the accelerator where there is one."""
    metrics: dict[str, MetricEntry]
    samples: dict[str, Task]
    arms: tuple[Arm, ...]


class Baseline(Measured):
    """What a run must not fall behind."""

    limits: CostLimits = CostLimits()

    @property
    def checked(self) -> dict[str, MetricEntry]:
        """The metrics that have a margin."""
        return {name: entry for name, entry in self.metrics.items() if entry.margin is not None}


def read_baseline(path: Path) -> Baseline:
    """Read a baseline file.

    Raises:
        UsageError: it is missing, damaged, of a newer format, or no baseline; says which field.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}; make it with: icd-bench baseline make"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not a baseline: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get(FORMAT_FIELD), int):
        raise UsageError(f"{path}: not a baseline: it has no field {FORMAT_FIELD}")
    if (version := content.pop(FORMAT_FIELD)) > FORMAT:
        raise UsageError(
            f"{path}: {FORMAT_FIELD}: format {version}, this version of icd-bench reads up to "
            f"{FORMAT}; install a newer icd-bench"
        )
    try:
        baseline = Baseline.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: {field}: {first['msg']}") from error
    _check(baseline, path)
    return baseline


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline file; it is whole or not there."""
    from icd_bench.run.storage.files import write_file

    content = {FORMAT_FIELD: FORMAT, **baseline.model_dump(mode="json")}
    write_file(path, (lay_out(content) + "\n").encode())


def lay_out(value: Any, indent: int = 0) -> str:
    """Return JSON in which objects of plain values, and lists without objects, take one line."""
    flat = isinstance(value, dict) and not any(isinstance(v, dict | list) for v in value.values())
    if isinstance(value, dict) and value and not flat:
        lines = [f"{json.dumps(key)}: {lay_out(one, indent + 1)}" for key, one in value.items()]
        return _block("{", lines, "}", indent)
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return _block("[", [lay_out(one, indent + 1) for one in value], "]", indent)
    return json.dumps(value)


def _block(opening: str, lines: list[str], closing: str, indent: int) -> str:
    space = " " * indent
    return f"{opening}\n{space} " + f",\n{space} ".join(lines) + f"\n{space}{closing}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a field that is there twice, as merging two versions of a file can leave it."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'field "{twice}" is there twice')
    return found


def _check(baseline: Baseline, path: Path) -> None:
    """Check what a type cannot: that rows fit the metrics and the samples."""
    for place, arm in enumerate(baseline.arms):
        for sample_id, row in arm.rows.items():
            where = f"{path}: arms.{place}.rows.{sample_id}"
            if sample_id not in baseline.samples:
                raise UsageError(f"{where}: there is no such sample in samples")
            if len(row.values) != len(baseline.metrics):
                raise UsageError(
                    f"{where}: {len(row.values)} values for {len(baseline.metrics)} metrics"
                )
        if set(arm.rows) != set(baseline.samples):
            lacking = sorted(set(baseline.samples) - set(arm.rows))[0]
            raise UsageError(f"{path}: arms.{place}.rows: sample {lacking} is missing")
    if not baseline.arms:
        raise UsageError(f"{path}: arms: there is none")
    if not baseline.samples:
        raise UsageError(f"{path}: samples: there is none")
