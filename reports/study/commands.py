"""What ``icd-bench study`` does; every function takes plain values and returns plain results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from icd_bench.errors import UsageError
from icd_bench.reports.study.analysis import StudyResult, analyse
from icd_bench.reports.study.answers import Answer, join_answers
from icd_bench.reports.study.design import (
    PLAN,
    VOTES,
    DesignRequest,
    Study,
    design_study,
    read_study,
)
from icd_bench.reports.study.edits import Match
from icd_bench.reports.study.formats import formats
from icd_bench.reports.study.key import CROWD
from icd_bench.reports.study.plan import Exclusions, StudyPlan, read_plan
from icd_bench.reports.study.power import Power, size_study
from icd_bench.reports.study.ratings import (
    read_ratings,
    read_scores,
    with_joint_scores,
    with_overall,
)
from icd_bench.reports.study.rows import BadVotes
from icd_bench.reports.study.simulate import ASSIGNMENT_COLUMNS, World, cast_votes
from icd_bench.reports.study.validate import ValidationResult, validate
from icd_bench.reports.study.votes import CORRUPTED, read_votes, write_votes
from icd_bench.run.storage.store import RunFolder

__all__ = [
    "DesignRequest",
    "Exclusions",
    "Match",
    "Power",
    "World",
    "analyse_study",
    "design_study",
    "export_study",
    "import_answers",
    "serve",
    "simulate_votes",
    "size_study",
    "validate_scorers",
]


@dataclass(frozen=True)
class Analysed:
    """An analysis and where it is."""

    result: StudyResult
    files: tuple[Path, ...]


def export_study(folder: Path, form: str, out: Path, base_url: str = "") -> list[Path]:
    """Export a study's blind bundle in a format; ``out`` must be new or empty.

    Raises:
        UnknownName: there is no such format.
        UsageError: no study, or ``out`` has things in it.
    """
    study = read_study(folder)
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise UsageError(f"{out}: is not empty; choose another --out")
    exporter = formats.load(form)()
    out.mkdir(parents=True, exist_ok=True)
    files: list[Path] = exporter.export(study.bundle, study.bundle_folder, out, base_url)
    return files


def import_answers(
    folder: Path, files: Sequence[Path], form: str, out: Path | None = None, replace: bool = False
) -> tuple[Path, pd.DataFrame]:
    """Join answers with the study's key and write the votes.

    Raises:
        BadVotes: something is wrong with the answers; nothing is written.
        UsageError: no study, no answer, or ``out`` is there and not to be replaced.
    """
    study = read_study(folder)
    target = out or folder / VOTES
    _keep_or_replace(target, replace)
    reader = formats.load(form)()
    answers: list[Answer] = []
    for path in files:
        answers += reader.read(path, study.bundle)
    if not answers:
        raise UsageError(f"there is no answer in {', '.join(map(str, files))}")
    votes = join_answers(answers, study)
    write_votes(votes, target)
    return target, votes


def simulate_votes(
    folder: Path,
    strength: Mapping[str, float],
    *,
    seed: int = 0,
    out: Path | None = None,
    replace: bool = False,
) -> Path:
    """Let simulated raters answer a study's lists; every vote is labelled as simulated.

    Args:
        folder: the study.
        strength: method -> log-strength; 0 where absent.
        seed: of all chance.
        out: file; None is the study's votes.
        replace: an existing file.

    Raises:
        UsageError: no such method, or the file is there.
    """
    study = read_study(folder)
    if unknown := sorted(set(strength) - set(study.key.methods)):
        raise UsageError(f"the study has no method {', '.join(unknown)}")
    target = out or folder / VOTES
    _keep_or_replace(target, replace)
    world = World({method: strength.get(method, 0.0) for method in study.key.methods})
    write_votes(cast_votes(_assignments(study), world, seed=seed), target)
    return target


def analyse_study(
    place: Path,
    out: Path,
    *,
    plan: Path | None = None,
    scores: Path | None = None,
    run: Path | None = None,
    lower_is_better: Sequence[str] = (),
    formats: Sequence[str] = ("svg", "pdf", "png"),
) -> Analysed:
    """Analyse a study's folder, or a file of votes, and write tables, figures and pages.

    Automatic scores come from ``scores``, or from ``run``, or from the run that a study folder
    names where it still is.

    Raises:
        BadVotes: the votes contradict themselves or the plan.
        UsageError: nothing to analyse.
    """
    from icd_bench.reports.study.figures import draw_study
    from icd_bench.reports.study.page import study_page, study_section
    from icd_bench.reports.study.tables import write_study

    study = read_study(place) if place.is_dir() else None
    if study is not None:
        fixed = study.plan
    else:
        beside = place.parent / PLAN
        given = plan or (beside if beside.is_file() else None)
        fixed = read_plan(given) if given else StudyPlan()
    votes = read_votes(place / VOTES if study else place, fixed)
    table, lower = None, list(lower_is_better)
    if scores is not None:
        table = read_scores(scores)
    elif study is not None and (run or Path(study.key.run).is_dir()):
        table, run_lower = scores_of_run(study, run or Path(study.key.run))
        lower += [name for name in run_lower if name not in lower]
    elif run is not None:
        raise UsageError("--run needs the study's folder, which knows what was shown")
    result = analyse(votes, fixed, table, lower)
    files = write_study(result, out)
    figures = draw_study(result, out / "figures", list(dict.fromkeys(["svg", *formats])))
    files += [path for paths in figures.values() for path in paths]
    section = study_section(result, figures)
    for name, text in (("section.html", section), ("study.html", study_page(result, section))):
        (out / name).write_text(text, encoding="utf-8")
        files.append(out / name)
    return Analysed(result, tuple(files))


def scores_of_run(study: Study, run: Path) -> tuple[pd.DataFrame | None, list[str]]:
    """Return the run's scores of what the study shows, and which metrics are better when low.

    None where the run has no score of any of these edits.
    """
    frame = RunFolder.open(run).read_results()
    metrics = {
        name: card
        for name, card in frame.attrs["metrics"].items()
        if card["direction"] != "neither"
    }
    place = {
        cell: (sample, label)
        for label, shown in study.key.methods.items()
        for sample, cell in shown.cells.items()
    }
    shown = frame[frame["cell_id"].isin(list(place))]
    rows = [
        (*place[cell], name, float(value))
        for name in metrics
        for cell, value in zip(shown["cell_id"], shown[name], strict=True)
        if pd.notna(value) and abs(value) != float("inf")
    ]
    lower = [name for name, card in metrics.items() if card["direction"] == "lower"]
    scored = {row[2] for row in rows}
    table = pd.DataFrame(rows, columns=["sample", "method", "scorer", "value"])
    return (table if rows else None), [name for name in lower if name in scored]


def validate_scorers(
    answers: Path,
    scores: Path,
    out: Path,
    *,
    question: str = "overall",
    overall_of: Sequence[str] = (),
    lower_is_better: Sequence[str] = (),
    draws: int = 1000,
    seed: int = 0,
) -> tuple[ValidationResult, list[Path]]:
    """Measure scorers against votes or ratings, told apart by their columns; write the results.

    Args:
        answers: CSV or JSON of votes (with an outcome) or ratings.
        scores: CSV or JSON; scorers named ``NAME:PART`` are joined by their geometric mean.
        out: folder.
        question: to take.
        overall_of: questions whose geometric mean, within a rater, becomes ``overall``.
        lower_is_better: scorers.
        draws: bootstrap draws.
        seed: of the bootstrap.
    """
    from icd_bench.reports.study.tables import write_validation

    people = _votes_or_ratings(answers)
    if overall_of:
        people = with_overall(people, overall_of)
    result = validate(
        people,
        with_joint_scores(read_scores(scores)),
        question=question,
        lower_is_better=lower_is_better,
        draws=draws,
        seed=seed,
    )
    return result, write_validation(result, out)


def serve(
    folder: Path, host: str, port: int, base_url: str | None, tell: Callable[[str], None]
) -> None:
    """Serve a study until stopped; see ``server.serve.serve_study``."""
    from icd_bench.reports.study.server.serve import serve_study

    serve_study(read_study(folder), host, port, base_url, tell)


def _votes_or_ratings(path: Path) -> pd.DataFrame:
    try:
        votes: pd.DataFrame = read_votes(path)
    except BadVotes as error:
        if not any("outcome" in text and "lacks" in text for _, text in error.problems):
            raise
        ratings: pd.DataFrame = read_ratings(path)
        return ratings
    return votes


def _assignments(study: Study) -> pd.DataFrame:
    pairs = {pair.pair_id: pair for pair in study.plan.pairs}
    rows: list[tuple[str | int, ...]] = []
    for question in study.plan.questions:
        first: dict[tuple[str, str], int] = {}
        for showing in sorted(study.key.showings, key=lambda showing: showing.repeat):
            if showing.rater == CROWD:
                continue
            pair = pairs[showing.pair_id]
            left, right = reversed(pair.methods) if showing.flipped else pair.methods
            check = "repeat" if showing.repeat else "identical" if left == right else ""
            if CORRUPTED in pair.methods:
                check = CORRUPTED
            origin = first.setdefault((showing.rater, pair.pair_id), len(rows))
            row = (showing.rater, question, pair.sample, pair.category, left, right, check)
            rows.append((pair.pair_id, *row, origin if showing.repeat else -1))
    return pd.DataFrame(rows, columns=list(ASSIGNMENT_COLUMNS))


def _keep_or_replace(path: Path, replace: bool) -> None:
    if path.exists() and not replace:
        raise UsageError(f"{path}: is there already; give --replace, or another --out")
