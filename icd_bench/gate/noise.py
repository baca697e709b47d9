"""How much results vary without any change, and how large a difference must be to mean something.

A score of sample s with seed k in its r-th measurement is taken as

    mean + sample_s + seed_sk + repeat_skr

with independent terms. Their variances are estimated from the mean squares of the nested analysis
of variance (Searle, Casella & McCulloch 1992, ch. 3), negative ones set to 0. Runs with several
seeds show the second term, the same cells in several run folders (another machine, another number
type, the same again) the third.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from icd_bench.errors import SignatureMismatch
from icd_bench.gate.baseline import Measured
from icd_bench.gate.decision import clusters_needed, detectable_difference

Scores = Mapping[tuple[str, int], Sequence[float]]
"""(sample, seed) -> one value for each measurement."""


@dataclass(frozen=True)
class Components:
    """Variances of one score; None where the runs do not show it."""

    samples: float | None
    seeds: float | None
    repeats: float | None


@dataclass(frozen=True)
class Noise:
    """What varies in one metric of one method with one setting."""

    method: str
    setting: str
    """As JSON."""
    metric: str
    unit: str
    components: Components
    samples: int
    sources: int
    """Source pictures among them."""
    seeds: int
    """Most seeds of one sample."""
    measurements: int
    """Most measurements of one cell."""

    @property
    def difference_sd(self) -> float | None:
        """Standard deviation of the difference of one sample between two runs that do the same
        with other noise: each with all of the seeds; None where only one seed was run.
        """
        parts = self.components
        if parts.seeds is None:
            return None
        return math.sqrt(2 * (parts.seeds + (parts.repeats or 0.0)) / self.seeds)

    def smallest_difference(self, checks: int = 1) -> float | None:
        """Return the smallest difference that can be decided with these samples and seeds."""
        if self.difference_sd is None or self.sources < 2:
            return None
        return detectable_difference(self.difference_sd, self.sources, checks)

    def samples_needed(self, difference: float, checks: int = 1) -> int | None:
        """Return how many source pictures decide a difference, with these seeds."""
        if self.difference_sd is None:
            return None
        return clusters_needed(self.difference_sd, difference, checks)

    def seeds_needed(self, difference: float, checks: int = 1) -> int | None:
        """Return how many seeds decide a difference, with these samples."""
        smallest = self.smallest_difference(checks)
        if smallest is None:
            return None
        return max(1, math.ceil(self.seeds * (smallest / difference) ** 2))


def noise_of(runs: Sequence[Measured], metrics: Sequence[str] | None = None) -> list[Noise]:
    """Return the noise of every arm and metric of some runs of one benchmark.

    Args:
        runs: seeds may be in one run or in several; the same cell in several is measured again.
        metrics: names; None: those that all runs have.

    Raises:
        SignatureMismatch: benchmarks, models, protocols or a metric's signatures differ.
    """
    _check_alike(runs)
    names = metrics or [m for m in runs[0].metrics if all(m in run.metrics for run in runs)]
    return [noise for name in names for noise in _noise_of_metric(runs, name)]


def variance_components(scores: Scores) -> Components:
    """Return the variances over samples, seeds and repeated measurement.

    Args:
        scores: finite values; samples may have different numbers of seeds and measurements.
    """
    cells = {key: np.asarray(values, dtype=np.float64) for key, values in scores.items()}
    repeats = _pooled_variance(list(cells.values()))
    by_sample: dict[str, list[float]] = defaultdict(list)
    inverse_counts: list[float] = []
    for (sample, _), values in cells.items():
        by_sample[sample].append(float(values.mean()))
        inverse_counts.append(1 / len(values))
    of_mean = (repeats or 0.0) * float(np.mean(inverse_counts)) if inverse_counts else 0.0
    within = _pooled_variance([np.asarray(means) for means in by_sample.values()])
    seeds = None if within is None else max(0.0, within - of_mean)
    if len(by_sample) < 2:
        return Components(None, seeds, repeats)
    between = float(np.var([np.mean(means) for means in by_sample.values()], ddof=1))
    per_sample = float(np.mean([1 / len(means) for means in by_sample.values()]))
    samples = max(0.0, between - ((seeds or 0.0) + of_mean) * per_sample)
    return Components(samples, seeds, repeats)


def _pooled_variance(groups: Sequence[NDArray[np.float64]]) -> float | None:
    degrees = sum(len(group) - 1 for group in groups)
    if not degrees:
        return None
    return float(sum(np.square(group - group.mean()).sum() for group in groups) / degrees)


def _noise_of_metric(runs: Sequence[Measured], metric: str) -> Iterator[Noise]:
    scores: dict[tuple[str, str], dict[tuple[str, int], list[float]]] = defaultdict(dict)
    for run in runs:
        place = list(run.metrics).index(metric)
        for arm in run.arms:
            of_arm = scores[arm.method, json.dumps(arm.setting, sort_keys=True)]
            for sample_id, row in arm.rows.items():
                value = row.values[place]
                if value is not None and math.isfinite(value):
                    of_arm.setdefault((sample_id, arm.seed), []).append(value)
    sources = {name: task.source for run in runs for name, task in run.samples.items()}
    for (method, setting), found in scores.items():
        if not found:
            continue
        samples = {sample for sample, _ in found}
        seeds = [sum(one == sample for one, _ in found) for sample in samples]
        yield Noise(
            method=method,
            setting=setting,
            metric=metric,
            unit=runs[0].metrics[metric].unit,
            components=variance_components(found),
            samples=len(samples),
            sources=len({sources[sample] for sample in samples}),
            seeds=max(seeds),
            measurements=max(map(len, found.values())),
        )


def _check_alike(runs: Sequence[Measured]) -> None:
    first = runs[0]
    for run in runs[1:]:
        for field in ("benchmark", "model", "protocol", "resolution"):
            if getattr(run, field) != getattr(first, field):
                raise SignatureMismatch(
                    f"the runs differ in {field}: {getattr(first, field)} and {getattr(run, field)}"
                )
        for name, entry in run.metrics.items():
            if name in first.metrics and entry.signature != first.metrics[name].signature:
                raise SignatureMismatch(
                    f"the runs differ in the signature of {name}: "
                    f"{first.metrics[name].signature} and {entry.signature}"
                )
