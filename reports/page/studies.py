"""The analysis of a human study of a run's edits, as a section of its page."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from icd_bench.errors import UsageError
from icd_bench.reports.study.commands import analyse_study
from icd_bench.reports.study.design import KEY, VOTES
from icd_bench.reports.study.key import Key, read_key

ANALYSIS, SECTION = "analysis", "section.html"


def study_sections(
    runs: Sequence[Path], cells: Collection[str], named: Sequence[Path] | None = None
) -> list[str]:
    """Return a section of HTML for each study of some edits; analyse what was not analysed.

    Args:
        runs: run folders; studies in them and beside them are found.
        cells: ids of the edits on the page.
        named: study folders, instead of those that are found.

    Raises:
        UsageError: a named folder is no study, has no votes, or shows none of the edits.
    """
    if named is None:
        return [_section(folder) for folder in _found(runs, set(cells))]
    for folder in named:
        if not _shows(read_key(folder / KEY), set(cells)):
            raise UsageError(f"{folder}: this study shows none of the report's edits")
        if not (folder / VOTES).is_file():
            raise UsageError(f"{folder}: this study has no votes yet; see icd-bench study import")
    return [_section(folder) for folder in named]


def _found(runs: Sequence[Path], cells: set[str]) -> Iterator[Path]:
    keys = [key for run in runs for place in (run, run.parent) for key in place.glob(f"*/{KEY}")]
    for key in sorted(set(keys)):
        if (key.parent / VOTES).is_file() and _shows(read_key(key), cells):
            yield key.parent


def _shows(key: Key, cells: set[str]) -> bool:
    return any(not cells.isdisjoint(shown.cells.values()) for shown in key.methods.values())


def _section(folder: Path) -> str:
    votes, section = folder / VOTES, folder / ANALYSIS / SECTION
    if not section.is_file() or section.stat().st_mtime < votes.stat().st_mtime:
        analyse_study(folder, folder / ANALYSIS)
    return section.read_text(encoding="utf-8")
