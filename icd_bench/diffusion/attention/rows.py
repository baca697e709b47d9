"""Which sample, setting and text a row of a U-Net batch belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """Identity of one row of a U-Net batch within an edit call of B samples x K settings."""

    sample: int
    """0 .. B - 1."""
    setting: int | None = None
    """0 .. K - 1 for a target row; None for the source row, which all settings share."""
    conditional: bool = True
    """False for the null-text row of classifier-free guidance."""
    mutual: bool = False
    """True for the third branch of unified attention control, beside its target row."""
    serves: frozenset[int] | None = field(default=None, compare=False)
    """Settings that a source row is evaluated for; None: all. It decides whose cost it is alone."""


def edit_rows(samples: int, settings: int) -> list[Row]:
    """Return the conditional rows of B x K edits, sample-major: [source, target 1 .. K] each.

    Latents of an edit, (B * (K + 1), 4, h, w), are kept in this order.
    """
    return [
        Row(sample, setting) for sample in range(samples) for setting in (None, *range(settings))
    ]


def split_rows(rows: Sequence[Row], max_rows: int) -> list[list[int]]:
    """Split a batch so that every target row stays with the source row it takes attention from.

    Args:
        rows: any mixture of source, target and unconditional rows.
        max_rows: rows per micro-batch, at least 2 where a target has a source row in ``rows``.

    Returns:
        Positions in ``rows``, one list per micro-batch, none longer than ``max_rows``. A sample
        that fits is not divided. Where one does not fit, its source row is evaluated again at the
        head of each of its parts: write results by position and the repetition overwrites itself.

    Raises:
        ValueError: ``max_rows`` leaves no room for a target beside its source.
    """
    groups: dict[tuple[int, bool], list[int]] = {}
    for position, row in enumerate(rows):
        groups.setdefault((row.sample, row.conditional), []).append(position)

    batches: list[list[int]] = []
    for group in groups.values():
        parts = _split_group(rows, group, max_rows)
        if batches and len(batches[-1]) + len(parts[0]) <= max_rows:
            batches[-1].extend(parts.pop(0))
        batches.extend(parts)
    return batches


def _split_group(rows: Sequence[Row], group: list[int], max_rows: int) -> list[list[int]]:
    if len(group) <= max_rows:
        return [list(group)]
    source = [position for position in group if rows[position].setting is None]
    targets: dict[int, list[int]] = {}
    for position in group:
        setting = rows[position].setting
        if setting is not None:
            targets.setdefault(setting, []).append(position)
    if not targets:
        return [source[i : i + max_rows] for i in range(0, len(source), max_rows)]
    if len(source) + max(map(len, targets.values())) > max_rows:
        raise ValueError(
            f"max_rows={max_rows} leaves no room for a target row beside its source row; "
            f"give at least {len(source) + max(map(len, targets.values()))}"
        )
    parts = [list(source)]
    for together in targets.values():
        if len(parts[-1]) + len(together) > max_rows:
            parts.append(list(source))
        parts[-1].extend(together)
    return parts
