"""Compares what a run measured with a baseline: every metric and cost of every arm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from icd_bench.api import Direction
from icd_bench.gate.baseline import Baseline, Measured, MetricEntry, Row, labels
from icd_bench.gate.comparability import ArmPair, check_comparable, choose_metrics, pair_arms
from icd_bench.gate.decision import (
    FEWEST_CLUSTERS,
    Evidence,
    Verdict,
    decide,
    weigh,
    worst_of,
)

MIB = 2**20
SHORTEST = 0.05
"""Seconds; an edit that takes less says more about the clock than about the method."""


@dataclass(frozen=True)
class MetricCheck:
    """One metric of one arm, against its margin."""

    arm: str
    metric: str
    direction: Direction
    unit: str
    margin: float
    before: float
    """Mean over the samples that both have a finite score of; NaN where there is none."""
    now: float
    difference: float
    """Now less before, in the metric's own direction."""
    low: float
    """One-sided 95 % bounds of the difference."""
    high: float
    p_worse: float
    """Holm-adjusted p value of "worse by no more than the margin"."""
    samples: int
    sources: int
    """Source pictures among them."""
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class CostCheck:
    """One cost of one arm, against its limit."""

    arm: str
    cost: Literal["U-Net rows", "seconds", "memory"]
    before: float
    now: float
    limit: float
    """Largest ratio."""
    verdict: Verdict | Literal["not compared"]
    reason: str


@dataclass(frozen=True)
class Change:
    """What became of one sample."""

    arm: str
    sample_id: str
    metric: str
    """The one that lost most, in margins."""
    before: float
    now: float
    margins: float
    """Loss in margins; infinite where the edit failed or a perfect score is gone."""
    picture_before: str
    """Digest of the edit, as baselines have it; empty where there is none."""
    picture_now: str


@dataclass(frozen=True)
class Comparison:
    """Everything that a check found."""

    verdict: Verdict
    metrics: tuple[MetricCheck, ...]
    costs: tuple[CostCheck, ...]
    failed: tuple[str, ...]
    """Edits that the baseline has and the run lacks: "arm: sample"."""
    worst: tuple[Change, ...]
    """The samples that lost most, each once, the worst first."""
    notes: tuple[str, ...]
    pictures: int
    """Edits that both have."""
    identical: int
    """Those of them whose picture is the same to the byte."""


def compare(baseline: Baseline, run: Measured) -> Comparison:
    """Compare a run with a baseline.

    Raises:
        SignatureMismatch: they were measured differently, or not on the same samples.
        UsageError: the baseline has no margin.
    """
    check_comparable(baseline, run)
    names = choose_metrics(baseline)
    pairs = pair_arms(baseline, run)
    metrics = list(_check_metrics(pairs, names, baseline, run))
    costs = [check for pair in pairs for check in _check_costs(pair, baseline, run)]
    failed = [
        f"{pair.label}: {sample_id}"
        for pair in pairs
        for sample_id, row in pair.before.rows.items()
        if row.picture and not pair.now.rows[sample_id].picture
    ]
    both = [(before, now) for pair in pairs for _, before, now in _rows(pair)]
    edited = [(before, now) for before, now in both if before.picture and now.picture]
    verdicts: list[Verdict] = [check.verdict for check in metrics]
    verdicts += [check.verdict for check in costs if check.verdict != "not compared"]
    return Comparison(
        verdict="fail" if failed else worst_of(verdicts),
        metrics=tuple(metrics),
        costs=tuple(costs),
        failed=tuple(failed),
        worst=tuple(_worst(pairs, names, baseline, run)),
        notes=tuple(_notes(pairs, baseline, run)),
        pictures=len(edited),
        identical=sum(before.picture == now.picture for before, now in edited),
    )


def _rows(pair: ArmPair) -> Iterator[tuple[str, Row, Row]]:
    for sample_id, before in pair.before.rows.items():
        yield sample_id, before, pair.now.rows[sample_id]


def _check_metrics(
    pairs: Sequence[ArmPair], names: Sequence[str], baseline: Baseline, run: Measured
) -> Iterator[MetricCheck]:
    evidence: list[Evidence] = []
    scored: list[tuple[ArmPair, str, list[tuple[float, float]]]] = []
    for pair in pairs:
        for name in names:
            values, sources = _scores(pair, name, baseline, run)
            entry = baseline.metrics[name]
            changes = [_gain(before, now, entry.direction) for before, now in values]
            evidence.append(weigh(changes, entry.margin or 0.0, sources))
            scored.append((pair, name, values))
    verdicts, p_worse = decide(evidence)
    for (pair, name, values), one, verdict, p in zip(
        scored, evidence, verdicts, p_worse, strict=True
    ):
        entry = baseline.metrics[name]
        had = [before for _, before, _ in _values(pair, name, baseline, run) if before is not None]
        lost = _lost_scores(pair, name, baseline, run)
        verdict = "fail" if lost else verdict if had else "pass"
        yield _metric_check(pair.label, name, entry, values, one, p, verdict, lost)


def _metric_check(
    arm: str,
    name: str,
    entry: MetricEntry,
    values: Sequence[tuple[float, float]],
    evidence: Evidence,
    p_worse: float,
    verdict: Verdict,
    lost: int,
) -> MetricCheck:
    finite = [(b, n) for b, n in values if math.isfinite(b) and math.isfinite(n)]
    count = len(finite) or math.nan
    sign = 1 if entry.direction == "higher" else -1
    low, high = (evidence.low, evidence.high)[::sign]
    return MetricCheck(
        arm=arm,
        metric=name,
        direction=entry.direction,
        unit=entry.unit,
        margin=entry.margin or 0.0,
        before=sum(b for b, _ in finite) / count,
        now=sum(n for _, n in finite) / count,
        difference=sign * evidence.change + 0.0,
        low=sign * low + 0.0,
        high=sign * high + 0.0,
        p_worse=p_worse,
        samples=evidence.n,
        sources=evidence.clusters,
        verdict=verdict,
        reason=_reason(evidence, verdict, lost),
    )


def _reason(evidence: Evidence, verdict: Verdict, lost: int) -> str:
    if lost:
        return f"{lost} samples lost their score"
    if verdict == "pass" and not evidence.n and not evidence.unchanged:
        return "no sample had a score"
    if evidence.change == -math.inf:
        return "a perfect score is gone"
    if evidence.unchanged:
        return "every score is as before"
    if verdict == "pass":
        return "no worse than the margin"
    if verdict == "fail":
        return "worse by more than the margin"
    if evidence.clusters < FEWEST_CLUSTERS:
        return f"{evidence.clusters} source pictures; at least {FEWEST_CLUSTERS} are needed"
    return "more samples or seeds would decide it"


def _scores(
    pair: ArmPair, metric: str, baseline: Baseline, run: Measured
) -> tuple[list[tuple[float, float]], list[str]]:
    """Return (before, now) where both have a score, and the source picture of each."""
    values, sources = [], []
    for sample_id, before, now in _values(pair, metric, baseline, run):
        if before is not None and now is not None:
            values.append((before, now))
            sources.append(baseline.samples[sample_id].source)
    return values, sources


def _lost_scores(pair: ArmPair, metric: str, baseline: Baseline, run: Measured) -> int:
    """Return how many edits have a picture but no longer a score."""
    return sum(
        before is not None and now is None and bool(pair.now.rows[sample_id].picture)
        for sample_id, before, now in _values(pair, metric, baseline, run)
    )


def _values(
    pair: ArmPair, metric: str, baseline: Baseline, run: Measured
) -> Iterator[tuple[str, float | None, float | None]]:
    place_before = list(baseline.metrics).index(metric)
    place_now = list(run.metrics).index(metric)
    for sample_id, before, now in _rows(pair):
        yield sample_id, before.values[place_before], now.values[place_now]


def _gain(before: float, now: float, direction: Direction) -> float:
    """Return the change towards better; 0 between equal infinities."""
    if before == now:
        return 0.0
    return now - before if direction == "higher" else before - now


def _check_costs(pair: ArmPair, baseline: Baseline, run: Measured) -> Iterator[CostCheck]:
    both = [(b, n) for _, b, n in _rows(pair) if b.picture and n.picture]
    rows = sum(before.nfe for before, _ in both), sum(now.nfe for _, now in both)
    differing = sum(before.nfe != now.nfe for before, now in both)
    yield CostCheck(
        pair.label,
        "U-Net rows",
        *rows,
        limit=1.0,
        verdict="fail" if differing else "pass",
        reason=f"{differing} edits take another number" if differing else "equal for every edit",
    )
    yield _ratio(pair.label, "seconds", pair.before.seconds, pair.now.seconds, baseline, run)
    if pair.before is baseline.arms[0]:
        memory = [None if m is None else m / MIB for m in (baseline.memory, run.memory)]
        yield _ratio("whole run", "memory", memory[0], memory[1], baseline, run)


def _ratio(
    arm: str,
    cost: Literal["seconds", "memory"],
    before: float | None,
    now: float | None,
    baseline: Baseline,
    run: Measured,
) -> CostCheck:
    limit: float = getattr(baseline.limits, cost)
    if not before or not now:
        missing = "baseline" if not before else "run"
        reason = f"the {missing} has no number"
        return CostCheck(arm, cost, before or 0, now or 0, limit, "not compared", reason)
    if cost == "seconds" and max(before, now) < SHORTEST:
        reason = f"less than {SHORTEST:g} s"
        return CostCheck(arm, cost, before, now, limit, "not compared", reason)
    if baseline.hardware != run.hardware:
        reason = f"other hardware: {baseline.hardware} before, {run.hardware} now"
        return CostCheck(arm, cost, before, now, limit, "not compared", reason)
    ratio = now / before
    reason = f"{ratio:.2f} times; the limit is {limit:g}"
    return CostCheck(arm, cost, before, now, limit, "fail" if ratio > limit else "pass", reason)


def _worst(
    pairs: Sequence[ArmPair], names: Sequence[str], baseline: Baseline, run: Measured
) -> list[Change]:
    worst: dict[tuple[str, str], Change] = {}
    for pair in pairs:
        for name in names:
            entry = baseline.metrics[name]
            for sample_id, before, now in _values(pair, name, baseline, run):
                if before is None:
                    continue
                gain = -math.inf if now is None else _gain(before, now, entry.direction)
                change = Change(
                    arm=pair.label,
                    sample_id=sample_id,
                    metric=name,
                    before=before,
                    now=math.nan if now is None else now,
                    margins=-gain / (entry.margin or 1.0),
                    picture_before=pair.before.rows[sample_id].picture,
                    picture_now=pair.now.rows[sample_id].picture,
                )
                known = worst.get((pair.label, sample_id))
                if change.margins > (known.margins if known else 0):
                    worst[pair.label, sample_id] = change
    return sorted(worst.values(), key=lambda change: -change.margins)


def _notes(pairs: Sequence[ArmPair], baseline: Baseline, run: Measured) -> Iterator[str]:
    for pair in pairs:
        changes = list(pair.changes())
        if changes:
            yield f"{pair.label}: {', '.join(changes)}"
    compared = {id(pair.now) for pair in pairs}
    names = zip(labels(run.arms), run.arms, strict=True)
    more_arms = [name for name, arm in names if id(arm) not in compared]
    if more_arms:
        yield f"not in the baseline, not checked: {', '.join(more_arms)}"
    more_samples = len(run.samples) - len(baseline.samples)
    if more_samples > 0:
        yield f"{more_samples} samples of the run are not in the baseline, and not checked"
    for part in ("icd_bench", "torch", "diffusers"):
        before, now = baseline.made.get(part), run.made.get(part)
        if before != now:
            yield f"{part} {before} -> {now}"
