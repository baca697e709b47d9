"""Makes the page: a folder that opens from the disk, or a single file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icd_bench.errors import StorageFailed, UsageError
from icd_bench.reports.joined_runs import JoinedRuns, join_runs
from icd_bench.reports.table import table_of

from .changes import changes
from .items import Layout, Source, lay_out
from .render import GENERATOR, Content
from .sheets import Strip, draw_all, strips
from .states import cell_states, troubles
from .studies import study_sections
from .summary import samples, scores, summary
from .trade_offs import axis_pairs, trade_offs
from .writing import INDEX, write_file, write_folder

Progress = Callable[[int, int], None]

MOST_NAMED = 4
"""A title with more methods counts them."""


@dataclass(frozen=True)
class Report:
    """A report that was written."""

    page: Path
    """The file to open."""
    cells: int
    bytes: int
    """Of all its files."""


def build_report(
    runs: Sequence[Path],
    out: Path | None = None,
    single_file: bool = False,
    progress: Progress | None = None,
    studies: Sequence[Path] | None = None,
) -> Report:
    """Write the report of some runs.

    Args:
        runs: run folders.
        out: folder, or file if ``single_file``; None: ``report`` or ``report.html`` in the first
            run's folder.
        single_file: put everything into one HTML file.
        progress: told after each sample how many are done, and of how many.
        studies: folders of human studies of these edits; None: those in or beside the runs.

    Raises:
        UsageError: a path is not a run folder, no run has a finished cell, ``out`` holds something
            else, a study has no votes or is of other edits, or the pictures are too many for a
            single file.
        BadVotes: the votes of a study contradict themselves or its plan.
        CorruptRun: a run cannot be read.
        StorageFailed: the report cannot be written.
    """
    paths = list(dict.fromkeys(Path(run).resolve() for run in runs))
    place = out or paths[0] / ("report.html" if single_file else "report")
    _check_free(place, single_file)
    content, sheets = _content(paths, studies)
    pictures = _drawn(sheets, progress)
    try:
        size = (
            write_file(place, content, pictures)
            if single_file
            else write_folder(place, content, pictures)
        )
    except OSError as error:
        raise StorageFailed(
            f"{place}: the report cannot be written: {error.strerror or error}; make room or "
            "choose another place with --out"
        ) from error
    return Report(place if single_file else place / INDEX, content.first["counts"]["cells"], size)


def _content(
    paths: Sequence[Path], studies: Sequence[Path] | None
) -> tuple[Content, Sequence[Strip]]:
    """Return everything but the pictures, and what pictures there are."""
    sources = [Source.open(path) for path in paths]
    joined = join_runs(paths)
    sections = study_sections(paths, joined.cells["cell_id"], studies)
    table = table_of(joined)
    layout = lay_out(joined, table.rows, sources)
    states = cell_states(layout)
    sheets = strips(layout, states)
    first = summary(table, layout, states, sources)
    scored = [column for column in table.columns if column in joined.columns]
    trades = trade_offs(joined, table, axis_pairs(scored, first["axes"]))
    changed, change_sheets = changes(sources, layout)
    first |= {
        "title": _title(joined),
        "trades": list(trades),
        "changes": bool(changed),
    }
    parts: dict[str, Any] = {
        "samples": samples(layout, states, [_files(layout, i, s) for i, s in enumerate(sheets)]),
        "troubles": troubles(layout, states),
        "changes": changed,
        **{f"scores-{i}": scores(column, layout) for i, column in enumerate(table.columns)},
        **{f"trade-{i}": trade for i, trade in enumerate(trades.values())},
    }
    return Content(first, parts, sections), [*sheets, *change_sheets]


def _title(joined: JoinedRuns) -> str:
    """Return what is compared, and on what."""
    methods = [name for name in joined.methods if name not in joined.anchors] or joined.methods
    if len(methods) > MOST_NAMED:
        named = f"{len(methods)} methods"
    else:
        named = " and ".join(filter(None, [", ".join(methods[:-1]), methods[-1]]))
    return f"{named} on {', '.join(map(str, joined.cells['benchmark'].unique()))}"


def _check_free(place: Path, single_file: bool) -> None:
    """Refuse to replace what no report of ours made."""
    if single_file:
        if place.is_dir():
            raise UsageError(f"{place}: is a folder; name a file with --out")
        old = place
    else:
        if place.is_file():
            raise UsageError(f"{place}: is a file; name a folder with --out")
        if place.is_dir() and not any(place.iterdir()):
            return
        old = place / INDEX
    if (old if single_file else place).exists() and not _is_report(old):
        raise UsageError(f"{place}: holds something else than a report; choose another --out")


def _is_report(file: Path) -> bool:
    if not file.is_file():
        return False
    with open(file, "rb") as page:
        return GENERATOR.encode() in page.read(4096)


def _files(layout: Layout, number: int, strip: Strip) -> dict[str, Any]:
    """Return what the page must know to find an item's pictures."""
    item = layout.items[number]
    return {
        "stems": sum(kind in item.pictures for kind in ("source", "target")),
        "mask": strip.mask is not None,
        "tile": strip.tile,
        "size": item.resolution,
        "large": strip.large,
    }


def _drawn(sheets: Sequence[Strip], progress: Progress | None) -> Iterator[Mapping[str, bytes]]:
    for done, files in enumerate(draw_all(sheets), start=1):
        yield files
        if progress:
            progress(done, len(sheets))
