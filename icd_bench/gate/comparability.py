"""Which arms of a run belong to which of a baseline, and when the two must not be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from icd_bench.errors import SignatureMismatch, UsageError
from icd_bench.gate.baseline import Arm, Baseline, Measured, labels

SHOWN = 3
"""Samples that a message names before it only counts."""


@dataclass(frozen=True)
class ArmPair:
    """The same method, before and now."""

    label: str
    """Name in tables."""
    before: Arm
    now: Arm

    def changes(self) -> Iterator[str]:
        """Yield what differs in what was run; none of it forbids the comparison."""
        if self.before.version != self.now.version:
            yield f"method version {self.before.version} -> {self.now.version}"
        if self.before.model_digest != self.now.model_digest:
            yield f"model weights {self.before.model_digest} -> {self.now.model_digest}"
        for field in {**self.before.setting, **self.now.setting}:
            before, now = (arm.setting.get(field, "not there") for arm in (self.before, self.now))
            if before != now:
                yield f"{field} {before} -> {now}"


def check_comparable(baseline: Baseline, run: Measured) -> None:
    """Refuse to compare what was measured differently.

    Raises:
        SignatureMismatch: benchmark, model, protocol, resolution, a metric's signature or a sample
            differs, or is missing in the run; the message names all that do.
    """
    problems = [*_scopes(baseline, run), *_metrics(baseline, run), *_samples(baseline, run)]
    if problems:
        raise SignatureMismatch(
            f"the run and the baseline must not be compared: {'; '.join(problems)}"
        )


def pair_arms(baseline: Baseline, run: Measured) -> list[ArmPair]:
    """Return every arm of the baseline with its counterpart in the run.

    An arm with the same method, setting and seed; where there is none, the only one of that method
    and seed which is left, so that a changed default is checked and not refused.

    Raises:
        SignatureMismatch: an arm has no counterpart.
    """
    names = labels(baseline.arms)
    pairs = {
        place: ArmPair(names[place], before, now)
        for place, before in enumerate(baseline.arms)
        for now in run.arms
        if _identity(before) == _identity(now) and before.setting == now.setting
    }
    left_before = [place for place in range(len(baseline.arms)) if place not in pairs]
    taken = [id(pair.now) for pair in pairs.values()]
    left_now = [arm for arm in run.arms if id(arm) not in taken]
    for place in left_before:
        before = baseline.arms[place]
        rivals = [p for p in left_before if _identity(baseline.arms[p]) == _identity(before)]
        found = [arm for arm in left_now if _identity(arm) == _identity(before)]
        if len(found) != 1 or len(rivals) != 1:
            raise SignatureMismatch(
                f"the run has no {before.method}, seed {before.seed}, with the baseline's setting "
                f"({_short(before.setting)}); run the baseline's command: "
                f"{baseline.made.get('command', 'unknown')}"
            )
        pairs[place] = ArmPair(names[place], before, found[0])
    return [pairs[place] for place in sorted(pairs)]


def choose_metrics(baseline: Baseline) -> list[str]:
    """Return the metrics that are checked, those with a margin.

    Raises:
        UsageError: there is none.
    """
    names = list(baseline.checked)
    if not names:
        raise UsageError("the baseline has no metric with a margin: nothing to check")
    return names


def _identity(arm: Arm) -> tuple[str, int]:
    return arm.method, arm.seed


def _short(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{field}={value}" for field, value in setting.items()) or "no fields"


def _scopes(baseline: Baseline, run: Measured) -> Iterator[str]:
    for field in ("benchmark", "model", "protocol", "resolution"):
        before, now = getattr(baseline, field), getattr(run, field)
        if before != now:
            yield f"{field}: {before} in the baseline, {now} in the run"


def _metrics(baseline: Baseline, run: Measured) -> Iterator[str]:
    for name, entry in baseline.checked.items():
        if name not in run.metrics:
            yield f"metric {name}: not in the run"
        elif run.metrics[name].signature != entry.signature:
            yield (
                f"signature of {name}: {entry.signature} in the baseline, "
                f"{run.metrics[name].signature} in the run"
            )


def _samples(baseline: Baseline, run: Measured) -> Iterator[str]:
    missing = [name for name in baseline.samples if name not in run.samples]
    if missing:
        yield f"{_named(missing)} of the baseline's {len(baseline.samples)} are not in the run"
    differing = [
        name
        for name, task in baseline.samples.items()
        if name in run.samples and run.samples[name] != task
    ]
    if differing:
        yield f"{_named(differing)} differ in picture, prompt, words or mask"


def _named(samples: Sequence[str]) -> str:
    more = f" and {len(samples) - SHOWN} more" if len(samples) > SHOWN else ""
    return f"samples {', '.join(samples[:SHOWN])}{more}"
