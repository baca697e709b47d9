"""What a study fixes before the first vote: questions, pairs, exclusion rules, intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from icd_bench.errors import UsageError

IntervalName = Literal["two_way", "pigeonhole", "vote_subsets"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlannedPair(_Frozen):
    """Two edits of one sample that raters compare; which one stands left is not part of it."""

    pair_id: str = Field(min_length=1)
    sample: str = Field(min_length=1)
    category: str = ""
    methods: tuple[str, str]
    """Method labels; a check shows ``corrupted`` or one method twice."""


class Exclusions(_Frozen):
    """Rules that remove raters or votes. A rule that is None removes nothing.

    They are fixed before the votes are read; the analysis is given with and without them.
    """

    min_check_pass_rate: float | None = Field(default=None, ge=0, le=1)
    """A rater passes at least this share of the attention checks that he or she answered."""
    min_self_consistency: float | None = Field(default=None, ge=0, le=1)
    """A rater repeats at least this share of the answers that were asked twice."""
    min_votes: int | None = Field(default=None, ge=1)
    """A rater judged at least so many ordinary pairs (a skip is no judgement)."""
    min_median_seconds: float | None = Field(default=None, ge=0)
    """A rater's median time for a judgement is at least this."""
    max_one_side_share: float | None = Field(default=None, ge=0.5, le=1)
    """Of a rater's decided votes (no ties), at most this share is for one side of the screen."""
    min_seconds: float | None = Field(default=None, ge=0)
    """Single votes faster than this are removed; votes without a time stay."""


class StudyPlan(_Frozen):
    """The plan of a study, as far as its analysis needs it."""

    title: str = "Preference study"
    questions: tuple[str, ...] = ()
    """The questions that were asked; empty accepts any."""
    pairs: tuple[PlannedPair, ...] = ()
    """The pairs that were shown; empty accepts any."""
    exclusions: Exclusions = Exclusions()
    interval: IntervalName = "two_way"
    """Intervals of win rates: see ``win_rates``."""
    vote_subset: int | None = Field(default=None, ge=2)
    """Votes per subset of the interval ``vote_subsets``; None takes as many as there are."""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    draws: int = Field(default=2000, ge=100)
    """Bootstrap draws of each interval."""
    ridge: float = Field(default=0.1, gt=0)
    """Weight of the ranking's ridge: a prior of variance 1 / ridge on each log-strength."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _unique_pairs(self) -> StudyPlan:
        seen: set[str] = set()
        for pair in self.pairs:
            if pair.pair_id in seen:
                raise ValueError(f"pair {pair.pair_id!r} is planned twice")
            seen.add(pair.pair_id)
        return self


def read_plan(path: Path) -> StudyPlan:
    """Read a plan from JSON.

    Raises:
        UsageError: the file cannot be read, or a field is unknown or out of range.
    """
    try:
        return StudyPlan.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the plan cannot be read ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "plan"
        raise UsageError(f"{path}: {field}: {first['msg']}") from error


def write_plan(plan: StudyPlan, path: Path) -> None:
    """Write ``plan`` as JSON that ``read_plan`` reads back."""
    path.write_text(plan.model_dump_json(indent=2) + "\n", encoding="utf-8")
