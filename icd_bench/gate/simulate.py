"""How often a check is right, by simulation: ``python -m icd_bench.gate.simulate`` prints it.

Differences of one source picture are drawn in units of their standard deviation, from shapes that
scores of edits have. The margin is the one that ``detectable_difference`` gives, as
``icd-bench baseline make --noise`` does. One of the checks loses 0, 1 or 2 margins; checks go
together (correlation 0.5), as metrics of one picture do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from icd_bench.gate.decision import detectable_difference, overall_verdicts
from icd_bench.run.planning.subsets import SUBSETS

CHECKS = 12
"""Two methods with six metrics."""
SHIPPED_CHECKS = 36
"""Of baselines/scenes-ci.json: six methods with six metrics."""
TRIALS = 2000
AT_ONCE = 500
SHARED = 0.5
"""Share of the variance that the checks of one picture have in common."""
LOSSES = (0.0, 1.0, 2.0)
"""In margins."""

Array = NDArray[np.float64]
Shape = Callable[[Array, np.random.Generator], Array]


@dataclass(frozen=True)
class Frequencies:
    """How often each verdict was given."""

    shape: str
    clusters: int
    checks: int
    loss: float
    """Of one of the checks, in margins."""
    passed: float
    failed: float
    inconclusive: float


def normal(z: Array, rng: np.random.Generator) -> Array:
    """Return symmetric differences."""
    return z


def skewed(z: Array, rng: np.random.Generator) -> Array:
    """Return differences with a long tail of losses (log-normal, skewness 1.75)."""
    sigma = 0.5
    mean, sd = np.exp(sigma**2 / 2), np.sqrt(np.expm1(sigma**2) * np.exp(sigma**2))
    return np.asarray((mean - np.exp(sigma * z)) / sd)


def heavy(z: Array, rng: np.random.Generator) -> Array:
    """Return differences with heavy tails (t with 5 degrees of freedom)."""
    degrees = 5
    scale = np.sqrt(degrees / rng.chisquare(degrees, size=z.shape))
    return np.asarray(z * scale / np.sqrt(degrees / (degrees - 2)))


def rare(z: Array, rng: np.random.Generator) -> Array:
    """Return differences of which four in five are exactly 0, as those of recognised attributes."""
    cut = 1.2815515655446004
    return np.asarray(np.where(np.abs(z) > cut, np.sign(z), 0.0) / np.sqrt(0.2))


SHAPES: dict[str, Shape] = {
    "normal": normal,
    "long tail of losses": skewed,
    "heavy tails": heavy,
    "mostly no change": rare,
}


def simulate(
    shape: str,
    clusters: int,
    loss: float,
    checks: int = CHECKS,
    trials: int = TRIALS,
    seed: int = 0,
) -> Frequencies:
    """Return how often a comparison passes, fails and is inconclusive.

    Args:
        shape: one of ``SHAPES``.
        clusters: source pictures.
        loss: true loss of the first check, in margins; the others lose nothing.
        checks: number of checks.
        trials: number of comparisons.
        seed: of the draws.
    """
    rng = np.random.default_rng([seed, clusters, checks, list(SHAPES).index(shape)])
    margin = detectable_difference(1.0, clusters, checks)
    counts = dict.fromkeys(("pass", "fail", "inconclusive"), 0)
    for start in range(0, trials, AT_ONCE):
        size = min(AT_ONCE, trials - start)
        common = rng.standard_normal((size, 1, clusters))
        own = rng.standard_normal((size, checks, clusters))
        changes = SHAPES[shape](np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own, rng)
        changes[:, 0] -= loss * margin
        verdicts = overall_verdicts(scores_of(changes, margin), clusters - 1)
        for verdict in counts:
            counts[verdict] += int((verdicts == verdict).sum())
    passed, failed, inconclusive = (counts[key] / trials for key in counts)
    return Frequencies(shape, clusters, checks, loss, passed, failed, inconclusive)


def scores_of(changes: Array, margin: float) -> Array:
    """Return the t statistics (R, M) of changes (R, M, G) against a margin."""
    error = changes.std(axis=2, ddof=1) / np.sqrt(changes.shape[2])
    with np.errstate(divide="ignore"):
        return np.asarray((changes.mean(axis=2) + margin) / error)


def simulation_table(
    sizes: tuple[tuple[int, int], ...] = (
        (20, CHECKS),
        (SUBSETS["ci"], CHECKS),
        (SUBSETS["ci"], SHIPPED_CHECKS),
        (200, CHECKS),
    ),
    trials: int = TRIALS,
) -> Iterator[str]:
    """Yield the lines of a Markdown table over sizes (sources, checks), shapes and losses."""
    yield "| sources | checks | margin in sd | differences | lost | pass | fail | inconclusive |"
    yield "|--:|--:|--:|---|---|--:|--:|--:|"
    for size, checks in sizes:
        margin = detectable_difference(1.0, size, checks)
        for shape in SHAPES:
            for loss in LOSSES:
                found = simulate(shape, size, loss, checks, trials=trials)
                shares = (found.passed, found.failed, found.inconclusive)
                cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
                case = f"{size} | {checks} | {margin:.2f} | {shape} | {loss:g} x margin"
                yield f"| {case} | {cells} |"


if __name__ == "__main__":
    print("\n".join(simulation_table()))
