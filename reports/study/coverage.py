"""Do the intervals keep their promise? Coverage over many simulated studies.

``python -m icd_bench.reports.study.coverage [STUDIES]`` prints a JSON line for each design.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from icd_bench.reports.study.plan import IntervalName
from icd_bench.reports.study.simulate import World, assign, expected_win_rate, preferences
from icd_bench.reports.study.votes import oriented
from icd_bench.reports.study.win_rates import win_rate


@dataclass(frozen=True)
class Design:
    """A study of two methods."""

    prompts: int
    raters: int
    votes_per_pair: int
    strength: float
    """Log-strength of the first method over the second."""
    prompt_sd: float
    rater_sd: float
    tie: float = 0.5


@dataclass(frozen=True)
class Coverage:
    """How often an interval of nominal ``level`` held the true win rate."""

    interval: IntervalName
    studies: int
    coverage: float
    low: float
    high: float
    """Clopper and Pearson's 95 % interval of the coverage itself."""
    mean_width: float
    true_win_rate: float


GRID = (
    Design(100, 10, 5, 0.5, 0.7, 0.4),
    Design(100, 20, 5, 0.5, 0.7, 0.4),
    Design(60, 6, 3, 0.0, 0.7, 0.4),
    Design(140, 12, 5, 1.5, 1.0, 0.5, 0.3),
    Design(40, 8, 3, 0.5, 0.5, 0.3),
    Design(100, 10, 5, 0.5, 1.0, 1.0),
    Design(300, 30, 5, 0.5, 0.7, 0.4),
    Design(100, 20, 5, 3.0, 0.7, 0.5, 0.2),
    Design(100, 50, 3, 0.5, 0.7, 0.4),
    Design(100, 10, 5, 0.5, 0.0, 0.0),
)
"""Small and large studies, even and lopsided methods, weak and strong effects, and none."""


def measure_coverage(
    design: Design,
    *,
    interval: IntervalName = "two_way",
    studies: int = 1000,
    draws: int = 400,
    seed: int = 0,
    level: float = 0.95,
) -> Coverage:
    """Simulate ``studies`` studies of ``design`` and count the intervals that hold the truth.

    Prompts and raters are drawn anew in each, as in the claim that an interval makes.
    """
    world = World(
        {"a": design.strength, "b": 0.0}, design.prompt_sd, design.rater_sd, tie=design.tie
    )
    truth = expected_win_rate(world, "a", "b")
    samples = [f"{number:04d}" for number in range(design.prompts)]
    assignments = assign(
        samples, ["a", "b"], design.raters, votes_per_pair=design.votes_per_pair, seed=seed
    )
    held, widths = 0, []
    for study in range(studies):
        answers = preferences(assignments, world, seed=seed * studies + study)
        judged = oriented(assignments.assign(outcome=answers))
        rate = win_rate(
            judged["score"].to_numpy(),
            judged["sample"].to_numpy(),
            judged["rater"].to_numpy(),
            interval=interval,
            draws=draws,
            seed=study,
            level=level,
        )
        held += rate.low <= truth <= rate.high
        widths.append(rate.high - rate.low)
    return Coverage(
        interval=interval,
        studies=studies,
        coverage=held / studies,
        low=float(stats.beta.ppf(0.025, held, studies - held + 1)) if held else 0.0,
        high=float(stats.beta.ppf(0.975, held + 1, studies - held)) if held < studies else 1.0,
        mean_width=float(np.mean(widths)),
        true_win_rate=truth,
    )


def coverage_rows(
    grid: Sequence[Design] = GRID,
    intervals: Sequence[IntervalName] = ("two_way", "pigeonhole"),
    *,
    studies: int = 1000,
    draws: int = 400,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """Yield, for each design and interval, the design's fields and those of ``Coverage``."""
    for design in grid:
        for interval in intervals:
            measured = measure_coverage(
                design, interval=interval, studies=studies, draws=draws, seed=seed
            )
            yield asdict(design) | asdict(measured)


if __name__ == "__main__":
    for row in coverage_rows(studies=int(sys.argv[1]) if len(sys.argv) > 1 else 1000):
        print(json.dumps(row), flush=True)
