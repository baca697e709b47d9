"""Makes and renews baseline files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from icd_bench.errors import UsageError
from icd_bench.gate.baseline import Baseline, CostLimits, Measured, read_baseline, write_baseline
from icd_bench.gate.margins import set_margins

DEFAULT_LIMITS = CostLimits()


def make_baseline(
    path: Path,
    measured: Measured,
    margins: Mapping[str, float] | None = None,
    more_runs: Sequence[Measured] = (),
    limits: CostLimits = DEFAULT_LIMITS,
) -> Baseline:
    """Write a new baseline.

    Args:
        path: of the file.
        measured: the run that it is made from.
        margins: metric -> largest loss that nobody would mind; others: see ``set_margins``.
        more_runs: with other seeds; margins rise above their noise.
        limits: largest ratios of cost.

    Raises:
        UsageError: the file exists, a metric is unknown, or none has a margin.
    """
    if path.exists():
        raise UsageError(f"{path}: is there already; renew it with: icd-bench baseline update")
    metrics = set_margins(measured, margins or {}, more_runs)
    return _write(path, measured, metrics=metrics, limits=limits)


def renew_baseline(
    path: Path, measured: Measured, margins: Mapping[str, float] | None = None
) -> Baseline:
    """Put the values of a run into a baseline; margins and limits stay where they are not given.

    Raises:
        UsageError: the run lacks a metric that has a margin, or the file is no baseline.
    """
    old, given = read_baseline(path), margins or {}
    lost = [name for name in {**old.checked, **given} if name not in measured.metrics]
    if lost:
        raise UsageError(f"the run has no scores of {', '.join(lost)}, which {path} checks")
    metrics = {}
    for name, entry in measured.metrics.items():
        known = old.metrics.get(name)
        margin, why = (known.margin, known.why) if known else (None, "")
        if name in given:
            margin, why = given[name], "given"
        metrics[name] = entry.model_copy(update={"margin": margin, "why": why})
    return _write(path, measured, metrics=metrics, limits=old.limits)


def _write(path: Path, measured: Measured, **changes: object) -> Baseline:
    baseline = Baseline.model_validate(dict(measured) | changes)
    write_baseline(baseline, path)
    return baseline
