"""How many votes a wanted precision needs, and what prompts and raters of their own cost."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, isinf, sqrt

import numpy as np
from scipy import stats

from icd_bench.errors import UsageError
from icd_bench.reports.study.simulate import World


@dataclass(frozen=True)
class Spread:
    """Where the variance of one vote on two methods comes from (in win rate squared)."""

    prompts: float
    """Of the expected vote, over prompts."""
    raters: float
    """Of the expected vote, over raters."""
    votes: float
    """All the rest."""


@dataclass(frozen=True)
class Power:
    """The size of a study of two methods with a given half-width of its interval."""

    half_width: float
    level: float
    votes_per_pair: int
    raters: int
    prompts: int
    """Samples that are needed."""
    votes: int
    """Votes for each pair of methods and question: ``prompts`` x ``votes_per_pair``."""
    independent_votes: int
    """What a calculation that takes all votes as independent would ask for: too few."""
    design_effect: float
    """``votes`` over ``independent_votes``."""


def vote_spread(world: World, gap: float = 0.0) -> Spread:
    """Split the variance of a vote (1, 1/2, 0) in Davidson's model with crossed normal effects.

    By Gauss-Hermite quadrature over the effects of prompts and raters.

    Args:
        world: spread of the effects, and the weight of ties.
        gap: difference of the two methods' log-strengths.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    odds = np.exp((gap + world.prompt_sd * nodes[:, None] + world.rater_sd * nodes[None, :]) / 2)
    total = odds + 1 / odds + world.tie
    mean = (odds + world.tie / 2) / total
    square = (odds + world.tie / 4) / total
    overall = float(weights @ mean @ weights)
    prompts = float(weights @ (mean @ weights - overall) ** 2)
    raters = float(weights @ (weights @ mean - overall) ** 2)
    whole = float(weights @ square @ weights) - overall**2
    return Spread(prompts, raters, whole - prompts - raters)


def size_study(
    half_width: float,
    *,
    votes_per_pair: int = 5,
    raters: int = 20,
    world: World | None = None,
    gap: float = 0.0,
    level: float = 0.95,
) -> Power:
    """Return how many prompts, hence votes, give a two-way interval of ``half_width``.

    The variance of a win rate from P prompts, R raters and k votes a pair is, to first order,
    prompts / P + raters / R + votes / (P k), with the parts of ``vote_spread``.

    Raises:
        UsageError: a number out of range, or so few raters that no number of votes suffices.
    """
    if not 0 < half_width < 0.5:
        raise UsageError(f"a half-width is between 0 and 0.5, not {half_width:g}")
    if not 1 <= votes_per_pair <= raters:
        raise UsageError(f"{votes_per_pair} votes a pair need as many raters, not {raters}")
    spread = vote_spread(world or World({}), gap)
    z = float(stats.norm.ppf((1 + level) / 2))
    allowed = (half_width / z) ** 2
    left = allowed - spread.raters / raters
    prompts = (spread.prompts + spread.votes / votes_per_pair) / left if left > 0 else inf
    if isinf(prompts):
        least = ceil(spread.raters / allowed) + 1
        raise UsageError(
            f"{raters} raters differ too much for a half-width of {half_width:g}, however many "
            f"votes they give; take at least {least}"
        )
    one_vote = spread.prompts + spread.raters + spread.votes
    independent = max(ceil(one_vote / allowed), 1)
    votes = ceil(prompts) * votes_per_pair
    return Power(
        half_width=half_width,
        level=level,
        votes_per_pair=votes_per_pair,
        raters=raters,
        prompts=ceil(prompts),
        votes=votes,
        independent_votes=independent,
        design_effect=votes / independent,
    )


def half_width(
    prompts: int, votes_per_pair: int, raters: int, world: World, level: float = 0.95
) -> float:
    """Return the half-width that a study of this size has, by the formula of ``size_study``."""
    spread = vote_spread(world)
    variance = (
        spread.prompts / prompts
        + spread.raters / raters
        + spread.votes / (prompts * votes_per_pair)
    )
    return float(stats.norm.ppf((1 + level) / 2)) * sqrt(variance)
