"""Ranking of methods from pairwise votes: Davidson's model of Bradley-Terry with ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from icd_bench.reports.study.intervals import Floats, TwoWayEstimate, two_way
from icd_bench.stats.multiple import holm

MAX_STEPS = 200
GRADIENT_TOLERANCE = 1e-8
"""Largest derivative per vote at which a fit has converged."""


@dataclass(frozen=True)
class Davidson:
    """Parameters of a fit; leading axis B of draws.

    With d = strength_left - strength_right + side, the odds of left : right : tie are
    exp(d / 2) : exp(-d / 2) : exp(log_tie).
    """

    strength: Floats
    """(B, M) log-strengths, natural logarithm, of mean zero."""
    side: Floats
    """(B,) log-odds of the left side against the right at equal strength: 0 is no bias."""
    log_tie: Floats
    """(B,) log of Davidson's nu."""


@dataclass(frozen=True)
class Ranking:
    """Methods in the order of their strength; arrays (M,) in that order."""

    methods: tuple[str, ...]
    strength: Floats
    low: Floats
    high: Floats
    se: Floats
    best_rank: NDArray[np.int64]
    """1 + the number of methods that are significantly stronger (Holm over all pairs)."""
    worst_rank: NDArray[np.int64]
    """M - the number of methods that are significantly weaker."""
    level: float
    tie: float
    """Davidson's nu; 0 is no ties, 2 is a tie half of the time between equals."""
    side: float
    """Log-odds of the left side between equals, with its interval; 0 is no bias."""
    side_low: float
    side_high: float
    components: tuple[tuple[str, ...], ...]
    """Methods that the votes connect. Strengths of different components say nothing together:
    only the ridge places them."""
    separable: bool
    """Some group of methods never lost or tied against the rest: without the ridge the strengths
    would be infinite, so their distance is set by the ridge and only their order by the votes."""
    ridge: float

    @property
    def connected(self) -> bool:
        """Whether the votes connect all methods."""
        return len(self.components) == 1


def rank_methods(
    left: Sequence[str],
    right: Sequence[str],
    outcomes: Sequence[str],
    prompts: Sequence[str],
    raters: Sequence[str],
    *,
    ridge: float = 0.1,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Ranking:
    """Rank methods by ridge-penalised maximum likelihood of Davidson's model (1970).

    Intervals are t intervals of ``intervals.two_way`` over prompts and raters. Wrong where one
    number a method is not enough (A beats B beats C beats A), where the ridge matters
    (``separable``; few votes), and across components of the comparison graph.

    Args:
        left: (N,) method on the left.
        right: (N,) method on the right.
        outcomes: (N,) ``left``, ``right`` or ``tie``.
        prompts: (N,) sample of each vote.
        raters: (N,) rater of each vote.
        ridge: weight of the penalty ridge / 2 * (|strength|^2 + side^2 + log_tie^2).
        draws: bootstrap draws.
        seed: of the bootstrap.
        level: nominal coverage.

    Raises:
        ValueError: no votes, fewer than two methods, or an outcome that is no judgement.
    """
    methods = sorted({*left, *right})
    if len(methods) < 2:
        raise ValueError("a ranking needs votes on at least two methods")
    if unknown := sorted({*outcomes} - {"left", "right", "tie"}):
        raise ValueError(f"outcomes {', '.join(map(repr, unknown))} are no judgements")
    number = {method: index for index, method in enumerate(methods)}
    sides = np.array([[number[a], number[b]] for a, b in zip(left, right, strict=True)])
    answers = np.array([("left", "right", "tie").index(outcome) for outcome in outcomes])
    shown, cell = np.unique(sides, axis=0, return_inverse=True)
    column = cell.reshape(-1) * 3 + answers
    indicator = coo_array((np.ones(len(column)), (np.arange(len(column)), column)))
    indicator.resize((len(column), 3 * len(shown)))
    indicator = indicator.tocsr()
    pairs = list(combinations(range(len(methods)), 2))

    def parameters(weights: Floats) -> Floats:
        counts = np.asarray(weights @ indicator).reshape(len(weights), len(shown), 3)
        fit = fit_davidson(shown, counts, len(methods), ridge)
        contrasts = [fit.strength[:, a] - fit.strength[:, b] for a, b in pairs]
        return np.column_stack([fit.strength, fit.side, fit.log_tie, *contrasts])

    estimate = two_way(parameters, prompts, raters, draws=draws, seed=seed, level=level)
    wins = np.asarray(indicator.sum(axis=0)).reshape(len(shown), 3)
    return _ranking(methods, pairs, estimate, shown, wins, ridge)


def fit_davidson(shown: NDArray[np.int64], counts: Floats, methods: int, ridge: float) -> Davidson:
    """Fit B tables of votes at once by damped Newton steps on a strictly concave likelihood.

    Finite for every table, separable and empty ones included, as long as ``ridge`` > 0.

    Args:
        shown: (P, 2) indices of the left and right method of each ordered pair.
        counts: (B, P, 3) weight of the votes for left, right and tie.
        methods: M.
        ridge: see ``rank_methods``.
    """
    design = np.zeros((len(shown), methods + 1))
    design[np.arange(len(shown)), shown[:, 0]] += 1
    design[np.arange(len(shown)), shown[:, 1]] -= 1
    design[:, methods] = 1
    total = counts.sum(axis=2)
    parameters = np.zeros((len(counts), methods + 2))
    scale = np.maximum(total.sum(axis=1), 1.0)

    for _ in range(MAX_STEPS):
        gradient, curvature = _derivatives(design, counts, total, parameters, ridge)
        if (np.abs(gradient).max(axis=1) <= GRADIENT_TOLERANCE * scale).all():
            break
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        before = _penalised(design, counts, parameters, ridge)
        length = np.ones((len(counts), 1))
        slack = 1e-12 * (1 + np.abs(before))
        while True:
            worse = _penalised(design, counts, parameters + length * step, ridge) < before - slack
            if not worse.any():
                break
            length[worse] /= 2
        parameters = parameters + length * step
    else:
        raise ArithmeticError(f"Davidson's model did not converge in {MAX_STEPS} Newton steps")

    return Davidson(parameters[:, :methods], parameters[:, methods], parameters[:, methods + 1])


def _logits(design: Floats, parameters: Floats) -> Floats:
    """(B, P, 3) log-odds of left, right and tie, up to a constant."""
    half = parameters[:, :-1] @ design.T / 2
    tie = np.broadcast_to(parameters[:, -1:], half.shape)
    return np.stack([half, -half, tie], axis=2)


def _penalised(design: Floats, counts: Floats, parameters: Floats, ridge: float) -> Floats:
    logits = _logits(design, parameters)
    top = logits.max(axis=2, keepdims=True)
    log_sum = top + np.log(np.exp(logits - top).sum(axis=2, keepdims=True))
    likelihood = (counts * (logits - log_sum)).sum(axis=(1, 2))
    return np.asarray(likelihood - ridge / 2 * (parameters**2).sum(axis=1))


def _derivatives(
    design: Floats, counts: Floats, total: Floats, parameters: Floats, ridge: float
) -> tuple[Floats, Floats]:
    """Gradient (B, Q) and negative Hessian (B, Q, Q) of the penalised log-likelihood."""
    logits = _logits(design, parameters)
    odds = np.exp(logits - logits.max(axis=2, keepdims=True))
    left, right, tie = np.moveaxis(odds / odds.sum(axis=2, keepdims=True), 2, 0)
    lead = (left - right) / 2

    gradient = -ridge * parameters
    gradient[:, :-1] += ((counts[..., 0] - counts[..., 1]) / 2 - total * lead) @ design
    gradient[:, -1] += (counts[..., 2] - total * tie).sum(axis=1)

    curvature = np.tile(ridge * np.eye(parameters.shape[1]), (len(parameters), 1, 1))
    spread = total * ((left + right) / 4 - lead**2)
    cross = -(total * lead * tie) @ design
    curvature[:, :-1, :-1] += np.einsum("bp,pi,pj->bij", spread, design, design, optimize=True)
    curvature[:, :-1, -1] += cross
    curvature[:, -1, :-1] += cross
    curvature[:, -1, -1] += (total * tie * (1 - tie)).sum(axis=1)
    return gradient, curvature


def _ranking(
    methods: list[str],
    pairs: list[tuple[int, int]],
    estimate: TwoWayEstimate,
    shown: NDArray[np.int64],
    wins: Floats,
    ridge: float,
) -> Ranking:
    count = len(methods)
    low, high = estimate.studentised()
    order = np.argsort(-estimate.estimate[:count], kind="stable")
    significant = holm(estimate.p_values(0.0)[count + 2 :]) < 1 - estimate.level
    ahead = np.zeros(count, dtype=np.int64)
    behind = np.zeros(count, dtype=np.int64)
    contrasts = estimate.estimate[count + 2 :]
    for (a, b), contrast, sure in zip(pairs, contrasts, significant, strict=True):
        stronger, weaker = (a, b) if contrast > 0 else (b, a)
        ahead[weaker] += sure
        behind[stronger] += sure
    groups, strongly = _components(count, shown, wins)
    return Ranking(
        methods=tuple(methods[index] for index in order),
        strength=estimate.estimate[order],
        low=low[order],
        high=high[order],
        se=estimate.se[order],
        best_rank=1 + ahead[order],
        worst_rank=count - behind[order],
        level=estimate.level,
        tie=float(np.exp(estimate.estimate[count + 1])),
        side=float(estimate.estimate[count]),
        side_low=float(low[count]),
        side_high=float(high[count]),
        components=tuple(tuple(methods[i] for i in group) for group in groups),
        separable=strongly > len(groups),
        ridge=ridge,
    )


def _components(
    methods: int, shown: NDArray[np.int64], wins: Floats
) -> tuple[list[NDArray[np.int64]], int]:
    """Connected groups of methods, and the number of groups connected by wins both ways.

    Ford (1957): the unpenalised strengths are finite if and only if the two agree.
    """
    beats = np.zeros((methods, methods))
    np.add.at(beats, (shown[:, 0], shown[:, 1]), wins[:, 0] + wins[:, 2])
    np.add.at(beats, (shown[:, 1], shown[:, 0]), wins[:, 1] + wins[:, 2])
    count, label = connected_components(beats, directed=True, connection="weak")
    strong, _ = connected_components(beats, directed=True, connection="strong")
    return [np.flatnonzero(label == group) for group in range(count)], int(strong)
