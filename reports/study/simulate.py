"""Simulated raters, for tests, demos and the size of a study; never evidence about an edit.

Every vote made here has ``simulated`` true, the reader refuses to mix such votes with real ones,
and every result says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from icd_bench.reports.study.votes import COLUMNS, CORRUPTED, check_votes

ASSIGNMENT_COLUMNS = (
    *("pair_id", "rater", "question", "sample", "category"),
    *("method_left", "method_right", "check", "repeats"),
)
"""One showing of a pair; ``repeats`` is the row number of the showing that it repeats, or -1."""


@dataclass(frozen=True)
class World:
    """How simulated raters decide: Davidson's model with crossed random effects.

    The utility of a method on a sample for a rater is its strength plus a normal effect of
    (sample, method) plus one of (rater, method); scaled so that the *difference* of two methods
    has standard deviation ``prompt_sd`` over prompts and ``rater_sd`` over raters.
    """

    strength: Mapping[str, float]
    """Log-strength of each method."""
    prompt_sd: float = 0.7
    rater_sd: float = 0.4
    side: float = 0.0
    """Log-odds for the left side between equals."""
    tie: float = 0.5
    """Davidson's nu."""
    skip: float = 0.0
    """Chance that an ordinary pair is skipped."""
    careless: float = 0.0
    """Share of raters who answer at random, checks included."""
    lapse: float = 0.02
    """Chance that an attentive rater fails a check."""
    seconds: float = 8.0
    """Median time of an answer; careless raters take a fifth."""


def assign(
    samples: Sequence[str],
    methods: Sequence[str],
    raters: int,
    *,
    votes_per_pair: int = 5,
    questions: Sequence[str] = ("overall",),
    categories: Mapping[str, str] | None = None,
    checks: float = 0.0,
    repeats: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Give each pair of methods on each sample to ``votes_per_pair`` raters, evenly, sides even.

    Args:
        samples: ids.
        methods: labels; all pairs of them are shown.
        raters: how many.
        votes_per_pair: raters per pair; at most ``raters``.
        questions: asked about each showing.
        categories: of the samples; empty where absent.
        checks: attention checks per ordinary showing, half corrupted and half identical.
        repeats: repeated showings, sides swapped, per ordinary showing.
        seed: of the draw.

    Returns:
        Columns ``ASSIGNMENT_COLUMNS``.

    Raises:
        ValueError: more votes per pair than raters.
    """
    if votes_per_pair > raters:
        raise ValueError(f"{votes_per_pair} votes a pair need as many raters, not {raters}")
    generator = np.random.default_rng([seed, 1])
    names = np.array([f"rater-{number + 1:02d}" for number in range(raters)])
    load = np.zeros(raters)
    shown: list[dict[str, str]] = []
    for sample in samples:
        for index, pair in enumerate(combinations(sorted(methods), 2)):
            chosen = np.argsort(load + generator.random(raters) / 2)[:votes_per_pair]
            load[chosen] += 1
            first_left = (np.arange(votes_per_pair) + generator.integers(2)) % 2 == 0
            for rater, forward in zip(names[chosen], first_left, strict=True):
                left, right = pair if forward else pair[::-1]
                shown.append(_showing(f"{sample}/{index}", rater, sample, left, right))
    ordinary = len(shown)
    for number in range(round(checks * ordinary)):
        like = shown[generator.integers(ordinary)]
        rater, sample, method = str(generator.choice(names)), like["sample"], like["method_left"]
        pair_id = f"check-{number + 1}"
        if number % 2:
            shown.append(_showing(pair_id, rater, sample, method, method, "identical"))
        else:
            left, right = (method, CORRUPTED) if generator.integers(2) else (CORRUPTED, method)
            shown.append(_showing(pair_id, rater, sample, left, right, "corrupted"))
    origin = [-1] * len(shown)
    for row in generator.choice(ordinary, size=round(repeats * ordinary), replace=False):
        first = shown[row]
        swapped = {"method_left": first["method_right"], "method_right": first["method_left"]}
        shown.append(first | swapped | {"check": "repeat"})
        origin.append(int(row))

    parts = []
    for number, question in enumerate(questions):
        part = pd.DataFrame(shown)
        part["question"] = question
        moved = np.array(origin) + number * len(shown)
        part["repeats"] = np.where(np.array(origin) < 0, -1, moved)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    known = categories or {}
    table["category"] = [known.get(sample, "") for sample in table["sample"]]
    return pd.DataFrame(table, columns=list(ASSIGNMENT_COLUMNS))


def cast_votes(assignments: pd.DataFrame, world: World, *, seed: int = 0) -> pd.DataFrame:
    """Let simulated raters answer ``assignments``.

    Args:
        assignments: columns ``ASSIGNMENT_COLUMNS``.
        world: how they decide.
        seed: of all effects and answers.

    Returns:
        A vote table that passes ``votes.check_votes``, with ``simulated`` true in every row.
    """
    preferred = preferences(assignments, world, seed=seed)
    generator = np.random.default_rng([seed, 3])
    check = assignments["check"].to_numpy(str)
    raters, rater = np.unique(assignments["rater"].to_numpy(str), return_inverse=True)
    careless = (generator.random(len(raters)) < world.careless)[rater]
    guess = generator.choice(["left", "right", "tie"], size=len(preferred))
    undamaged = np.where(assignments["method_left"] == CORRUPTED, "right", "left")
    expected = np.where(check == "identical", "tie", undamaged)
    attentive = np.where(generator.random(len(preferred)) < world.lapse, guess, expected)
    answer = np.where(np.isin(check, ["corrupted", "identical"]), attentive, preferred)
    answer = np.where(careless, guess, answer)
    skipped = (generator.random(len(answer)) < world.skip) & (check == "")
    pace = np.where(careless, world.seconds / 5, world.seconds)
    votes = assignments.assign(
        vote_id=[f"vote-{number + 1}" for number in range(len(answer))],
        outcome=np.where(skipped, "skip", answer),
        seconds=np.round(pace * np.exp(0.5 * generator.normal(size=len(answer))), 2),
        simulated=True,
    )
    repeats = assignments["repeats"].to_numpy(int)
    votes["repeat_of"] = np.where(repeats < 0, "", votes["vote_id"].to_numpy()[repeats])
    checked: pd.DataFrame = check_votes(votes.loc[:, list(COLUMNS)], source="simulated votes")
    return checked


def preferences(assignments: pd.DataFrame, world: World, *, seed: int = 0) -> NDArray[np.str_]:
    """What attentive raters would answer (N,): left, right or tie, whatever the check."""
    generator = np.random.default_rng([seed, 2])
    left, right = (assignments[f"method_{side}"].to_numpy(str) for side in ("left", "right"))
    methods = np.unique(np.concatenate([left, right]))
    lefts, rights = np.searchsorted(methods, left), np.searchsorted(methods, right)
    utility = np.array([world.strength.get(method, 0.0) for method in methods])
    gap = world.side + utility[lefts] - utility[rights]
    for column, deviation in (("sample", world.prompt_sd), ("rater", world.rater_sd)):
        names, group = np.unique(assignments[column].to_numpy(str), return_inverse=True)
        effect = generator.normal(size=(len(names), len(methods))) * deviation / np.sqrt(2)
        gap += effect[group, lefts] - effect[group, rights]
    odds = np.stack([np.exp(gap / 2), np.exp(-gap / 2), np.full(gap.shape, world.tie)], axis=1)
    upto = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)
    chosen = (generator.random((len(gap), 1)) > upto[:, :2]).sum(axis=1)
    return np.asarray(np.array(["left", "right", "tie"])[chosen])


def expected_win_rate(world: World, first: str, second: str) -> float:
    """Win rate (ties one half) of ``first`` against ``second`` over all prompts and raters.

    By Gauss-Hermite quadrature over the normal effects, averaged over the two sides; no skips,
    no careless raters.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    spread = np.hypot(world.prompt_sd, world.rater_sd)
    gap = world.strength[first] - world.strength[second] + spread * nodes
    rates = []
    for side in (world.side, -world.side):
        odds = np.exp((gap + side) / 2)
        rates.append((odds + world.tie / 2) / (odds + 1 / odds + world.tie))
    return float((np.mean(rates, axis=0) * weights).sum() / weights.sum())


def simulate_study(
    strength: Mapping[str, float],
    *,
    samples: int = 100,
    raters: int = 10,
    votes_per_pair: int = 5,
    world: World | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Votes of a whole simulated study with attention checks and repeats, ready to analyse."""
    ids = [f"sample-{number + 1:03d}" for number in range(samples)]
    table = assign(
        *(ids, list(strength), raters),
        votes_per_pair=votes_per_pair,
        checks=0.09,
        repeats=0.05,
        seed=seed,
    )
    return cast_votes(table, replace(world or World({}), strength=strength), seed=seed)


def _showing(
    pair_id: str, rater: str, sample: str, left: str, right: str, check: str = ""
) -> dict[str, str]:
    return {
        "pair_id": pair_id,
        "rater": str(rater),
        "sample": sample,
        "method_left": left,
        "method_right": right,
        "check": check,
    }
