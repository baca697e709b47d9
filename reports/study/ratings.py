"""Ratings on a scale, and scores of automatic scorers: long tables, one row a number."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from icd_bench.errors import UnknownName
from icd_bench.reports.study.rows import BadVotes, Problem, Row, read_rows

SAMPLE_NAMES = ("sample", "image")


def read_ratings(path: Path) -> pd.DataFrame:
    """Read ratings from CSV or JSON: ``sample`` (or ``image``), ``method``, ``rater``, numbers.

    Every other column is a question, rated by numbers; an empty cell is no rating.

    Returns:
        Columns sample, method, rater, question, value; a row for each number.

    Raises:
        BadVotes: a value is no number, or an answer is there twice; with line numbers.
    """
    keys = ("sample", "method", "rater")
    rows = [_with_sample(row) for row in read_rows(path, ("method", "rater"), None)]
    problems = _key_problems(rows, keys)
    records = []
    for row in rows:
        for question, text in row.values.items():
            if question in keys or not text:
                continue
            if (value := _number(text)) is None:
                problems.append((row.line, f"{question} {text!r} is not a finite number"))
            else:
                records.append(
                    {key: row.values[key] for key in keys} | {"question": question, "value": value}
                )
    if problems:
        raise BadVotes(path.name, sorted(problems))
    return pd.DataFrame(records, columns=[*keys, "question", "value"])


def read_scores(path: Path) -> pd.DataFrame:
    """Read scores from CSV or JSON: ``sample`` (or ``image``), ``method``, ``scorer``, ``value``.

    Returns:
        Columns sample, method, scorer, value.

    Raises:
        BadVotes: as ``read_ratings``, and for any other column.
    """
    keys = ("sample", "method", "scorer")
    raw = read_rows(path, ("method", "scorer", "value"), SAMPLE_NAMES)
    rows = [_with_sample(row) for row in raw]
    problems = _key_problems(rows, keys)
    records = []
    for row in rows:
        if (value := _number(row.values["value"])) is None:
            problems.append((row.line, f"value {row.values['value']!r} is not a finite number"))
        else:
            records.append({key: row.values[key] for key in keys} | {"value": value})
    if problems:
        raise BadVotes(path.name, sorted(problems))
    return pd.DataFrame(records, columns=[*keys, "value"])


def with_overall(
    ratings: pd.DataFrame, questions: Sequence[str], name: str = "overall"
) -> pd.DataFrame:
    """Add a question that is the geometric mean of others, within each rater's answers.

    The rule of ImagenHub (Ku et al., 2024) for semantic consistency and perceptual quality. An
    edit for which a rater left one of ``questions`` open has no overall rating of that rater.

    Raises:
        UnknownName: the ratings lack one of the questions.
    """
    return _with_geometric_mean(ratings, ["sample", "method", "rater"], "question", questions, name)


def with_joint_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Replace scorers named ``NAME:PART`` by ``NAME``, the geometric mean of all its parts.

    The rule of VIEScore (Ku et al., 2024). An edit that lacks one part has no joint score.
    """
    split = scores["scorer"].str.partition(":")
    joint = scores[split[1] == ""]
    for name in sorted(set(split.loc[split[1] == ":", 0])):
        parts = sorted(set(scores.loc[(split[0] == name) & (split[1] == ":"), "scorer"]))
        added = _with_geometric_mean(scores, ["sample", "method"], "scorer", parts, name)
        joint = pd.concat([joint, added[added["scorer"] == name]])
    return joint.reset_index(drop=True)


def with_direction(scores: pd.DataFrame, lower_is_better: Collection[str]) -> pd.DataFrame:
    """Negate the scorers of ``lower_is_better``, so that higher is better for all.

    Raises:
        UnknownName: a name that is no scorer.
    """
    if unknown := sorted(set(lower_is_better) - set(scores["scorer"])):
        known = ", ".join(sorted(set(scores["scorer"])))
        raise UnknownName(f"no scorer {', '.join(unknown)}; there are {known}")
    sign = np.where(scores["scorer"].isin(list(lower_is_better)), -1.0, 1.0)
    return scores.assign(value=scores["value"] * sign)


def _with_geometric_mean(
    table: pd.DataFrame, keys: list[str], column: str, parts: Sequence[str], name: str
) -> pd.DataFrame:
    if unknown := [part for part in parts if part not in set(table[column])]:
        known = ", ".join(sorted(set(table[column])))
        raise UnknownName(f"no {column} {', '.join(unknown)}; there are {known}")
    wide = table[table[column].isin(list(parts))].pivot(index=keys, columns=column, values="value")
    product = wide.loc[:, list(parts)].prod(axis=1, skipna=False) ** (1 / len(parts))
    added = product.dropna().rename("value").reset_index().assign(**{column: name})
    return pd.concat([table, added[list(table.columns)]], ignore_index=True)


def _with_sample(row: Row) -> Row:
    values = {key: text for key, text in row.values.items() if key not in SAMPLE_NAMES}
    given = [row.values[name] for name in SAMPLE_NAMES if row.values.get(name)]
    return Row(row.line, {"sample": given[0] if len(given) == 1 else ""} | values)


def _key_problems(rows: Sequence[Row], keys: tuple[str, ...]) -> list[Problem]:
    problems: list[Problem] = []
    seen: dict[tuple[str, ...], int] = {}
    for row in rows:
        for key in keys:
            if not row.values[key].strip():
                hint = f" (give one of {', '.join(SAMPLE_NAMES)})" if key == "sample" else ""
                problems.append((row.line, f"{key} is empty{hint}"))
        identity = tuple(row.values[key] for key in keys)
        if (first := seen.setdefault(identity, row.line)) != row.line:
            problems.append((row.line, f"{', '.join(identity)} is already in line {first}"))
    return problems


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
