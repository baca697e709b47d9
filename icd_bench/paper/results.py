"""Means, intervals and verdicts of an experiment, as one JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from icd_bench.api import Direction
from icd_bench.errors import UsageError
from icd_bench.run.storage.files import write_file
from icd_bench.stats.bootstrap import bootstrap_interval
from icd_bench.stats.frechet import Gaussian, frechet_distance, frechet_interval

from .cells import Column
from .experiments import Claim, Experiment
from .measure import Measured

RESAMPLES, SET_RESAMPLES = 2000, 200
"""Bootstrap draws: of means, and of distances between sets."""
MOST_RESAMPLED = 512
"""Features beyond which a distance has no interval: Inception's 2,048 would take an hour."""

Verdict = Literal["shown", "reversed", "undecided"]


@dataclass(frozen=True)
class Measure:
    """A column."""

    name: str
    title: str
    direction: Direction
    unit: str
    signature: str


@dataclass(frozen=True)
class Value:
    """A mean over the samples, or a distance of their set, with its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Row:
    """A configuration with its values."""

    label: str
    title: str
    group: str
    encode: dict[str, Any] | None
    decode: dict[str, Any] | None
    nfe: int
    """U-Net rows of a sample."""
    values: dict[str, Value]
    """By measure; empty where there is an obstacle."""
    obstacle: str = ""


@dataclass(frozen=True)
class Finding:
    """A claim of the paper by one measure: the paired difference better - worse."""

    worse: str
    better: str
    measure: str
    mean: float
    low: float
    high: float
    verdict: Verdict


@dataclass(frozen=True)
class Result:
    """Everything that a table or a figure shows."""

    experiment: str
    title: str
    published: str
    model: str
    samples: str
    n: int
    seed: int
    command: str
    made: dict[str, Any]
    """Versions and hardware."""
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    claims: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def write(self, folder: Path) -> Path:
        """Write ``<experiment>.json``."""
        path = folder / f"{self.experiment}.json"
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        write_file(path, f"{text}\n".encode())
        return path

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read what :meth:`write` wrote.

        Raises:
            UsageError: it is no such file.
        """
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            rows = [
                Row(**row | {"values": {k: Value(**v) for k, v in row["values"].items()}})
                for row in stored["rows"]
            ]
            return cls(
                **stored
                | {
                    "measures": tuple(Measure(**m) for m in stored["measures"]),
                    "rows": tuple(rows),
                    "claims": tuple(Finding(**c) for c in stored["claims"]),
                    "notes": tuple(stored["notes"]),
                }
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{path}: not the result of a paper's experiment ({error})") from error


LATENT_NLL = Measure(
    "latent_nll", "latent NLL", "lower", "nats a dimension", "latent_nll|prior:standard-normal|v1"
)


def summarise(
    experiment: Experiment,
    measured: Sequence[Measured],
    measures: Sequence[Measure],
    reference: Gaussian | None,
    distance: str = "",
) -> tuple[tuple[Row, ...], tuple[Finding, ...]]:
    """Return rows with intervals, and the verdicts on the paper's claims.

    Args:
        experiment: what was compared.
        measured: its rows; all have the same samples in the same order.
        measures: columns to summarise.
        reference: what the features of a row are compared with.
        distance: name of the column of that distance.
    """
    rows = []
    for one in measured:
        values = {m.name: _mean(one.columns[m.name]) for m in measures if m.name in one.columns}
        features = one.columns.get("features")
        if reference is not None and features is not None and len(features) > 1:
            values[distance] = _distance(features, reference)
        row = one.configuration
        rows.append(
            Row(
                label=row.label,
                title=row.title,
                group=row.group,
                encode=None if row.encode is None else asdict(row.encode),
                decode=None if row.decode is None else asdict(row.decode),
                nfe=one.rows_a_sample,
                values=values,
                obstacle=one.obstacle,
            )
        )
    columns = {one.configuration.label: one.columns for one in measured}
    pictured = {measure.name for measure in measures} - {LATENT_NLL.name}
    tested = [
        _test(claim, measure, columns)
        for claim in experiment.claims
        for measure in measures
        if measure.name in (claim.metrics or pictured)
        if all(measure.name in columns[label] for label in (claim.worse, claim.better))
    ]
    return tuple(rows), tuple(tested)


def _mean(column: Column) -> Value:
    found = bootstrap_interval(column, resamples=RESAMPLES)
    return Value(found.mean, found.low, found.high, found.n)


def _distance(features: Column, reference: Gaussian) -> Value:
    if features.shape[1] > MOST_RESAMPLED:
        value = frechet_distance(Gaussian.of(features), reference)
        return Value(value, float("nan"), float("nan"), len(features))
    found = frechet_interval(features, reference, resamples=SET_RESAMPLES)
    return Value(found.value, float(found.low), float(found.high), len(features))


def _test(claim: Claim, measure: Measure, columns: dict[str, dict[str, Column]]) -> Finding:
    """Return the paired bootstrap of better - worse, and whether its interval is on one side."""
    better, worse = (columns[label][measure.name] for label in (claim.better, claim.worse))
    found = bootstrap_interval(better - worse, resamples=RESAMPLES)
    ends = np.array([found.low, found.high]) * (1 if measure.direction == "higher" else -1)
    verdict: Verdict = "undecided"
    if np.isfinite(ends).all() and (ends > 0).all():
        verdict = "shown"
    elif np.isfinite(ends).all() and (ends < 0).all():
        verdict = "reversed"
    return Finding(
        claim.worse, claim.better, measure.name, found.mean, found.low, found.high, verdict
    )
