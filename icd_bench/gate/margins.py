"""How much of a metric may be lost before somebody minds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from icd_bench.errors import BadSetting, UsageError
from icd_bench.gate.baseline import Measured, MetricEntry
from icd_bench.gate.decision import detectable_difference
from icd_bench.gate.noise import noise_of
from icd_bench.registry import suggest

PRACTICAL = {
    "background_psnr": 0.5,
    "background_lpips": 0.01,
    "clip_text": 0.01,
    "attribute_edited": 0.05,
    "attribute_kept": 0.05,
    "target_lpips": 0.01,
    "psnr": 0.5,
    "lpips_alex": 0.01,
}
"""Losses that are just visible in a table of this field. Where a benchmark has masks, the metrics
of the background are taken in place of those of the whole picture."""
INSTEAD = {"psnr": "background_psnr", "lpips_alex": "background_lpips"}


def parse_margins(texts: Sequence[str], option: str = "--margin") -> dict[str, float]:
    """Return margins given as ``metric=value``.

    Args:
        texts: what the user wrote.
        option: where, for the message of an error.

    Raises:
        BadSetting: a text has another form, or the value is not above 0.
    """
    margins = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or not (0 < value < math.inf):
            raise BadSetting(f'{option} "{text}": write metric=value with a value above 0')
        margins[name] = value
    return margins


def set_margins(
    measured: Measured, wanted: Mapping[str, float], more_runs: Sequence[Measured] = ()
) -> dict[str, MetricEntry]:
    """Return the metrics of a run with margins.

    A margin that the user gives is taken as it is. Other metrics of ``PRACTICAL`` get the loss
    that is just visible; where more runs (other seeds, other machines) show that so many samples
    cannot decide so small a loss, the smallest that they can.

    Args:
        measured: the run.
        wanted: metric -> margin.
        more_runs: of the same arms, to measure the noise.

    Raises:
        UsageError: the run lacks a metric that is wanted, or would have no margin at all.
    """
    for name in wanted:
        if name not in measured.metrics:
            raise UsageError(
                f"--margin {name}: the run has no such metric.{suggest(name, measured.metrics)} "
                f"It has: {', '.join(measured.metrics)}."
            )
    gated = {name: wanted.get(name, PRACTICAL.get(name)) for name in measured.metrics}
    for whole, background in INSTEAD.items():
        if background in measured.metrics and whole not in wanted:
            gated[whole] = None
    chosen = {name: margin for name, margin in gated.items() if margin is not None}
    if not chosen:
        raise UsageError("no metric of the run has a margin; give some with --margin metric=value")
    checks = len(chosen) * len(measured.arms)
    entries = {}
    for name, entry in measured.metrics.items():
        margin, why = chosen.get(name), ""
        if margin is not None:
            why = "just visible"
            if name in wanted:
                why = "given"
            elif more_runs:
                needed = _decidable(name, [measured, *more_runs], checks)
                if needed > margin:
                    margin, why = needed, "smallest that the noise lets so many samples decide"
        entries[name] = entry.model_copy(update={"margin": margin, "why": why})
    return entries


def _decidable(metric: str, runs: Sequence[Measured], checks: int) -> float:
    """Return the smallest margin that every arm can decide, rounded up to two digits."""
    needed = 0.0
    for noise in noise_of(runs, [metric]):
        if noise.difference_sd is not None:
            per_arm = detectable_difference(noise.difference_sd, noise.sources, checks)
            needed = max(needed, per_arm)
    return _rounded_up(needed)


def _rounded_up(value: float) -> float:
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit) * unit:.2g}")
