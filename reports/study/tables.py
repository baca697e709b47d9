"""Results as files: parquet for programs, Markdown for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from icd_bench.reports.study.analysis import APPLIED, StudyResult
from icd_bench.reports.study.validate import CEILING, ValidationResult

SIMULATED_WARNING = (
    "> **Simulated raters.** These votes were made by a program; they say nothing about the "
    "methods."
)
STATISTIC_TITLES = {
    "pooled_spearman": "pooled rank correlation",
    "per_method_spearman": "rank correlation within methods",
    "within_image_pair_accuracy": "pair accuracy within images",
    "method_rank_spearman": "rank correlation of methods",
}


def write_study(result: StudyResult, folder: Path) -> list[Path]:
    """Write the tables of ``result`` as parquet, with a column ``simulated``, and ``study.md``.

    Returns:
        The files written.
    """
    tables = {
        "counts": result.counts,
        "win_rates": result.win_rates,
        "rankings": result.rankings,
        "ranking_fits": result.ranking_fits,
        "agreement": result.agreement,
        "raters": result.raters,
        "checks": result.checks,
    }
    if result.metrics:
        for name in ("statistics", "method_pairs", "coverage"):
            tables[f"metric_{name}"] = pd.concat(
                [
                    getattr(metric, name).assign(question=question)
                    for question, metric in result.metrics.items()
                ],
                ignore_index=True,
            )
    return _write(tables, result.simulated, "study.md", render_study(result), folder)


def write_validation(result: ValidationResult, folder: Path) -> list[Path]:
    """Write the tables of ``result`` as parquet and ``validation.md``; return the files."""
    tables = {
        "statistics": result.statistics,
        "method_pairs": result.method_pairs,
        "coverage": result.coverage,
    }
    text = render_validation(result)
    return _write(tables, result.simulated, "validation.md", text, folder)


def render_study(result: StudyResult) -> str:
    """The study as Markdown: verdicts first, then what they rest on."""
    plan = result.plan
    parts = [f"# {_plain(plan.title)}"]
    if result.simulated:
        parts.append(SIMULATED_WARNING)
    whole = result.win_rates[result.win_rates["category"] == ""]
    level = f"{plan.level:.0%}"
    parts += [
        "## Preferences",
        _interval_note(result),
        _table(_preference_rows(whole, ("exclusions", "question"))),
    ]
    by_category = result.win_rates[result.win_rates["category"] != ""]
    if len(by_category):
        kept = by_category[by_category["exclusions"] == APPLIED]
        parts += [
            "## By category",
            "After exclusions. Holm's correction is over all pairs and categories of a question.",
            _table(_preference_rows(kept, ("question", "category"))),
        ]
    parts += ["## Ranking", f"Davidson log-strengths with {level} intervals; ranks after Holm."]
    parts.append(_table(_ranking_rows(result.rankings)))
    parts += [f"- {note}" for note in ranking_notes(result)]
    parts += ["## Agreement", _table(_agreement_rows(result.agreement)), "## Votes"]
    parts += [_table(result.counts), "## Attention checks", _table(_percent(result.checks))]
    parts += ["## Raters", _table(_percent(result.raters))]
    for question, metric in result.metrics.items():
        parts += [f"## Automatic metrics: {_plain(question)}", _validation_body(metric)]
    return "\n\n".join(parts) + "\n"


def render_validation(result: ValidationResult) -> str:
    """The validation as Markdown."""
    parts = [f"# Scorers against people: {_plain(result.question)}"]
    if result.simulated:
        parts.append(SIMULATED_WARNING)
    parts.append(
        f"{result.images} images, {result.methods} methods, {result.raters} raters; "
        f"{result.level:.0%} intervals over images and raters, in parentheses over images only."
    )
    return "\n\n".join([*parts, _validation_body(result)]) + "\n"


def ranking_notes(result: StudyResult) -> list[str]:
    """What a reader of the rankings must know: side bias, gaps in the graph, separation."""
    notes = []
    for fit in result.ranking_fits.to_dict("records"):
        where = f"{_plain(fit['question'])} (exclusions {fit['exclusions']})"
        bias = "" if fit["side_low"] <= 0 <= fit["side_high"] else "**, a side bias**"
        notes.append(
            f"{where}: log-odds for the left side {fit['side']:+.2f} "
            f"[{fit['side_low']:+.2f}, {fit['side_high']:+.2f}]{bias}."
        )
        if not fit["connected"]:
            groups = "; ".join(", ".join(map(_plain, group)) for group in fit["groups"])
            notes.append(
                f"{where}: **the comparisons do not connect all methods** ({groups}). Strengths "
                "compare within a group only."
            )
        if fit["separable"]:
            notes.append(
                f"{where}: some methods never lost to others; how far they are apart is set by "
                f"the ridge ({fit['ridge']:g}), only their order by the votes."
            )
    return notes


def _interval_note(result: StudyResult) -> str:
    plan = result.plan
    if plan.interval == "vote_subsets":
        return (
            "Ties count one half. Plus and minus one standard deviation over bootstrap subsets "
            "of the votes; too short, since votes on one prompt go together."
        )
    over = "two-way" if plan.interval == "two_way" else "pigeonhole"
    return (
        f"Ties count one half. {plan.level:.0%} intervals by {over} bootstrap over prompts and "
        "raters; p after Holm over the pairs of a question."
    )


def _preference_rows(rates: pd.DataFrame, keys: tuple[str, ...]) -> pd.DataFrame:
    rows = []
    for rate in rates.to_dict("records"):
        rows.append(
            {key: rate[key] for key in keys}
            | {
                "pair": f"{rate['method_a']} : {rate['method_b']}",
                "win / tie / loss": f"{rate['wins']} / {rate['ties']} / {rate['losses']}",
                "win rate %": f"{100 * rate['win_rate']:.1f}",
                "interval": _span(100 * rate["low"], 100 * rate["high"], 1),
                "p": _p(rate["p_holm"]),
                "prompts": rate["prompts"],
                "raters": rate["raters"],
            }
        )
    return pd.DataFrame(rows)


def _ranking_rows(rankings: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for row in rankings.to_dict("records"):
        best, worst = row["best_rank"], row["worst_rank"]
        rows.append(
            {
                "exclusions": row["exclusions"],
                "question": row["question"],
                "method": row["method"],
                "strength": f"{row['strength']:+.2f}",
                "interval": _span(row["low"], row["high"], 2),
                "rank": str(best) if best == worst else f"{best}-{worst}",
            }
        )
    return pd.DataFrame(rows)


def _agreement_rows(agreement: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for row in agreement.to_dict("records"):
        repeats = f"{row['repeat_same']} of {row['repeat_repeats']}"
        rows.append(
            {
                "exclusions": row["exclusions"],
                "question": row["question"],
                "alpha": f"{row['alpha']:.2f} {_span(row['alpha_low'], row['alpha_high'], 2)}",
                "raw": f"{row['raw']:.2f} {_span(row['raw_low'], row['raw_high'], 2)}",
                "answers": f"{row['answers']} on {row['units']}",
                "repeated alike": repeats,
            }
        )
    return pd.DataFrame(rows)


def _validation_body(result: ValidationResult) -> str:
    rows = []
    for scorer, part in result.statistics.groupby("scorer", sort=False):
        cells = {"scorer": f"*{CEILING}*" if scorer == CEILING else str(scorer)}
        for row in part.to_dict("records"):
            image = _span(row["image_low"], row["image_high"], 2).strip("[]")
            cells[STATISTIC_TITLES[row["statistic"]]] = (
                f"{row['estimate']:.2f} {_span(row['low'], row['high'], 2)} ({image})"
            )
        verdicts = result.method_pairs[result.method_pairs["scorer"] == scorer]["verdict"]
        decided = int((verdicts != "undecided").sum())
        wrong = f"{int((verdicts == 'wrong').sum())} of {decided}"
        cells["method pairs wrong"] = "" if scorer == CEILING else wrong
        cells["edits"] = str(part["items"].iloc[0])
        rows.append(cells)
    wrong_pairs = result.method_pairs[result.method_pairs["verdict"] == "wrong"]
    text = _table(pd.DataFrame(rows))
    if len(wrong_pairs):
        columns = ["scorer", "method_a", "method_b", "images", "people_t", "scorer_t", "wrong_holm"]
        text += "\n\nPairs of methods that a scorer orders significantly wrong:\n\n"
        text += _table(wrong_pairs[columns].round({"people_t": 1, "scorer_t": 1}))
    return text


def _percent(table: pd.DataFrame) -> pd.DataFrame:
    shown = table.copy()
    for name in map(str, table.columns):
        if name.endswith(("_rate", "_share", "_consistency")):
            shown[name] = [_share(value) for value in table[name]]
    return shown


def _share(value: float) -> str:
    return "" if np.isnan(value) else f"{100 * value:.0f} %"


def _span(low: float, high: float, digits: int) -> str:
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def _p(value: float) -> str:
    if np.isnan(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _table(frame: pd.DataFrame) -> str:
    if frame.empty:
        return "Nothing to show."
    lines = [
        "| " + " | ".join(_plain(name) for name in frame) + " |",
        "|---" * frame.shape[1] + "|",
    ]
    for row in frame.itertuples(index=False):
        lines.append("| " + " | ".join(_cell(value) for value in row) + " |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:g}"
    return _plain(value)


def _plain(text: object) -> str:
    """Text supplied by users, harmless in Markdown tables and HTML."""
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(escaped.split())


def _write(
    tables: Mapping[str, pd.DataFrame], simulated: bool, page: str, text: str, folder: Path
) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, table in tables.items():
        files.append(folder / f"{name}.parquet")
        table.assign(simulated=simulated).to_parquet(files[-1], index=False)
    files.append(folder / page)
    files[-1].write_text(text, encoding="utf-8")
    return files
