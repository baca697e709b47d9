"""What changed from one run to another: paired differences, and the edits that changed most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from icd_bench.errors import SignatureMismatch, UsageError
from icd_bench.reports.diff import Change, Difference, DiffRow, RunDiff, diff_runs

from .inline_json import rounded
from .items import Item, Layout, Source
from .privacy import without_folders
from .sheets import Strip, strip_of

MOST_SHOWN = 24


def changes(sources: Sequence[Source], layout: Layout) -> tuple[list[dict[str, Any]], list[Strip]]:
    """Return what each further run changed against the first, and the pictures to be shown.

    Runs that have no edit in common with the first have changed nothing.
    """
    told: list[dict[str, Any]] = []
    sheets: list[Strip] = []
    items = {(item.benchmark, item.sample_id, item.seed): item for item in layout.items}
    for number, source in enumerate(sources[1:]):
        names = {"a": sources[0].folder.path.name, "b": source.folder.path.name}
        try:
            diff = diff_runs(sources[0].folder.path, source.folder.path, MOST_SHOWN)
        except UsageError:
            continue
        except SignatureMismatch as error:
            told.append({**names, "refused": without_folders(str(error))})
            continue
        shown = list(_shown(diff, (sources[0], source), items, f"change-{number}"))
        sheets += [sheet for _, sheet in shown]
        told.append({**names, **_told(diff), "most": [entry for entry, _ in shown]})
    return told, sheets


def _told(diff: RunDiff) -> dict[str, Any]:
    return {
        "columns": [
            {"key": c.key, "title": c.title, "unit": c.unit, "direction": c.direction}
            for c in diff.columns
        ],
        "rows": [_row(row) for row in diff.rows],
        "notes": [without_folders(note) for note in diff.notes],
    }


def _row(row: DiffRow) -> dict[str, Any]:
    return {
        "method": row.method,
        "label": row.label,
        "block": [row.benchmark, row.split],
        "pairs": row.pairs,
        "identical": row.identical,
        "alone": [row.only_a, row.only_b],
        "values": {key: _difference(value) for key, value in row.values.items()},
    }


def _difference(found: Difference) -> list[Any]:
    paired = found.paired
    return [*rounded([paired.mean, paired.low, paired.high, found.p_holm]), found.better]


def _shown(
    diff: RunDiff,
    sides: Sequence[Source],
    items: Mapping[tuple[str, str, int], Item],
    stem: str,
) -> Iterator[tuple[dict[str, Any], Strip]]:
    """Yield the edits that changed most and still have both pictures, each with its sheet."""
    for place, change in enumerate(diff.most_changed):
        item = items.get((change.benchmark, change.sample_id, change.seed))
        edits = [
            side.folder.path / side.folder.image_path(cell)
            for side, cell in zip(sides, (change.cell_a, change.cell_b), strict=True)
        ]
        if item and all(path.is_file() for path in edits):
            source = [item.pictures["source"]] if "source" in item.pictures else []
            sheet = strip_of(f"{stem}-{place}", item, (*source, *edits))
            yield _change(change, item, sheet), sheet


def _change(change: Change, item: Item, sheet: Strip) -> dict[str, Any]:
    return {
        "index": sheet.name,
        "tile": sheet.tile,
        "size": item.resolution,
        "large": sheet.large,
        "pictures": len(sheet.paths),
        "id": without_folders(change.sample_id),
        "seed": change.seed,
        "method": change.method,
        "label": change.label,
        "source": item.source_prompt,
        "target": item.target_prompt,
        "distance": rounded([change.size])[0],
        "scores": {key: rounded(pair) for key, pair in change.scores.items()},
    }
