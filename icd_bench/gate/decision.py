"""What the differences between two runs allow to claim: no worse, worse, or neither.

The decision is that of a non-inferiority trial (Piaggio et al. 2012, JAMA 308(24)). With the
margin d, the largest loss that nobody would mind, and the mean change towards better, x:

- **pass**: the one-sided 95 % bound of x lies above -d, for every check. All must pass, so the
  chance to pass a run that is worse by its margin anywhere stays below 5 % without a correction
  (intersection-union test, Berger 1982).
- **fail**: x lies below -d with certainty, for at least one check. One is enough, so p values are
  adjusted by Holm: the chance to fail a run that is worse by no more than its margins stays below
  5 % over all checks together.
- **inconclusive**: neither. More samples or seeds decide it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from icd_bench.stats.grouping import Clusters, group
from icd_bench.stats.intervals import standard_error
from icd_bench.stats.multiple import holm

Verdict = Literal["pass", "fail", "inconclusive"]

ALPHA = 0.05
"""Chance of each of the two errors."""
POWER = 0.99
"""Chance of each check to decide, for margins and sizes that are planned: so high that a dozen
checks of a run that did not change pass together."""
FEWEST_CLUSTERS = 10
"""With fewer source pictures nothing is claimed, unless nothing at all changed."""


@dataclass(frozen=True)
class Evidence:
    """The mean change of one metric towards better, and how sure it is."""

    change: float
    """Mean over the pairs, positive where the run is better; -inf where a pair lost infinitely."""
    low: float
    """One-sided 95 % bound from below; NaN where there are fewer than two clusters."""
    high: float
    """One-sided 95 % bound from above."""
    score: float
    """t statistic of "worse by exactly the margin": (change + margin) / standard error."""
    n: int
    """Pairs with a finite change."""
    clusters: int
    """Source pictures among them."""
    excluded: int
    """Pairs without a finite change."""
    unchanged: bool
    """Whether every pair is exactly as before."""


def weigh(changes: ArrayLike, margin: float, clusters: Clusters) -> Evidence:
    """Return what changes towards better say about a margin.

    Two infinities that are alike count as no change. Where a pair lost infinitely (a perfect
    score before, not now) so did the mean; infinite gains are left out.

    Args:
        changes: (N,) one for each pair, positive where the run is better; NaN is left out.
        margin: largest loss that nobody would mind, above 0.
        clusters: (N,) labels; pairs with the same one share their source picture.
    """
    array = np.asarray(changes, dtype=np.float64)
    data = group(array, clusters)
    change, low, high, score = data.mean, np.nan, np.nan, np.nan
    if np.isneginf(array).any():
        change = low = high = score = -np.inf
    elif len(data) >= 2:
        error = standard_error(data)
        reach = float(stdtrit(len(data) - 1, 1 - ALPHA)) * error
        low, high = change - reach, change + reach
        with np.errstate(divide="ignore", invalid="ignore"):
            score = float(np.float64(change + margin) / error)
    unchanged = len(array) > 0 and bool((array == 0).all())
    return Evidence(change, low, high, score, data.n, len(data), data.excluded, unchanged)


def decide(evidence: list[Evidence]) -> tuple[list[Verdict], list[float]]:
    """Return the verdict of each check, and its Holm-adjusted p value of "no worse than allowed".

    Checks with too few source pictures, or none that could be compared, are inconclusive unless
    every pair is exactly as before.
    """
    scores = np.array([one.score for one in evidence])
    degrees = np.array([max(one.clusters - 1, 1) for one in evidence])
    p_worse = holm(stdtr(degrees, scores)) if evidence else np.array([])
    p_better = stdtr(degrees, -scores)
    verdicts: list[Verdict] = []
    for one, worse, better in zip(evidence, p_worse, p_better, strict=True):
        if np.isneginf(one.change):
            verdicts.append("fail")
        elif one.unchanged:
            verdicts.append("pass")
        elif one.clusters < FEWEST_CLUSTERS or np.isnan(one.score):
            verdicts.append("inconclusive")
        elif worse < ALPHA:
            verdicts.append("fail")
        elif better < ALPHA:
            verdicts.append("pass")
        else:
            verdicts.append("inconclusive")
    return verdicts, [float(p) for p in p_worse]


def worst_of(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict over all checks."""
    if "fail" in verdicts:
        return "fail"
    return "inconclusive" if "inconclusive" in verdicts else "pass"


def overall_verdicts(scores: NDArray[np.float64], degrees: int) -> NDArray[np.str_]:
    """Return the verdict over M checks for each of R trials at once.

    The same decision as :func:`decide` and :func:`worst_of`: Holm rejects something exactly when
    the smallest p value is below ALPHA / M.

    Args:
        scores: (R, M) t statistics of "worse by exactly the margin".
        degrees: degrees of freedom, clusters - 1.
    """
    checks = scores.shape[1]
    lowest = scores.min(axis=1)
    fails = stdtr(degrees, lowest) * checks < ALPHA
    passes = stdtr(degrees, -lowest) < ALPHA
    return np.where(fails, "fail", np.where(passes, "pass", "inconclusive"))


def detectable_difference(sd: float, clusters: float, checks: int, power: float = POWER) -> float:
    """Return the smallest margin that can be decided, passing and failing alike.

    With it, each check of a run that did not change passes, and one of a run that lost twice the
    margin fails, with probability ``power`` or more.

    Args:
        sd: standard deviation of the change of one source picture.
        clusters: number of source pictures, at least 2.
        checks: number of checks that Holm's adjustment is shared by.
        power: wanted probability.
    """
    degrees = clusters - 1
    reach = stdtrit(degrees, 1 - ALPHA / checks) + stdtrit(degrees, power)
    return float(reach * sd / np.sqrt(clusters))


def clusters_needed(sd: float, difference: float, checks: int, power: float = POWER) -> int:
    """Return the fewest source pictures with which ``difference`` can be decided; see there."""
    if sd == 0:
        return FEWEST_CLUSTERS
    low, high = 2, 2
    while detectable_difference(sd, high, checks, power) > difference:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        enough = detectable_difference(sd, middle, checks, power) <= difference
        low, high = (low, middle) if enough else (middle, high)
    return max(high, FEWEST_CLUSTERS)
