"""Scores of finished edits, from the files of a run folder alone; no diffusion model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from icd_bench import registry
from icd_bench.api import Metric, MetricInfo, Sample, Scored
from icd_bench.errors import MissingWeights, UsageError
from icd_bench.protocols import NATIVE, Protocol
from icd_bench.run.blocks import free_memory, is_out_of_memory
from icd_bench.run.engine import Failure
from icd_bench.run.pictures import read_prepared, stored_sample
from icd_bench.run.prepare import from_png, to_tensor
from icd_bench.run.progress import Progress
from icd_bench.run.records import CellRecord, SampleRecord
from icd_bench.run.store import RunWriter

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH_PIXELS = 64 * 256 * 256
"""Pixels of the edits that are scored at once."""


@dataclass(frozen=True)
class Stored:
    """One finished edit as the run folder has it, decoded."""

    cell: CellRecord
    sample: Sample
    source: NDArray[np.uint8]
    edited: NDArray[np.uint8]
    target: NDArray[np.uint8] | None
    mask: NDArray[np.bool_] | None


def load_metrics(names: Sequence[str], device: str, say: Callable[[str], None]) -> list[Metric]:
    """Return metrics with their weights; one whose weights are missing is named and left out.

    Raises:
        UnknownName: there is no such metric.
    """
    loaded: list[Metric] = []
    for name in dict.fromkeys(names):
        metric: Metric = registry.metrics.load(name)()
        try:
            metric.load(device)
        except MissingWeights as error:
            say(f"{metric.info.name} is not computed: {error}")
            continue
        loaded.append(metric)
    return loaded


def default_metrics(
    samples: Iterable[SampleRecord], named: Sequence[str], say: Callable[[str], None]
) -> tuple[str, ...]:
    """Return the metrics to compute when the user names none.

    Args:
        samples: what is scored.
        named: the benchmark's own choice; used where there is one.
        say: told of plugins that cannot be loaded.
    """
    if named:
        return tuple(named)
    parts = {part for sample in samples for part in _parts(sample)}
    names = []
    for name in registry.metrics.names():
        try:
            info: MetricInfo = registry.metrics.load(name).info
        except UsageError as error:
            say(str(error))
            continue
        if set(info.needs) <= parts and not info.on_request:
            names.append(name)
    return tuple(names)


def score_cells(
    writer: RunWriter,
    cell_ids: Iterable[str],
    metrics: Sequence[Metric],
    progress: Progress,
    protocol: Protocol = NATIVE,
) -> None:
    """Compute and store every score that the pictures of these cells lack.

    Args:
        writer: holds the run folder.
        cell_ids: cells that may be scored; failed ones are passed over.
        metrics: with their weights.
        progress: told of what is done and of what goes wrong.
        protocol: of the run; edits and masks are scored as it says.
    """
    cells = [cell for cell in writer.cells(cell_ids) if cell.status == "ok"]
    missing: dict[str, list[Metric]] = {}
    for metric in metrics:
        _declare(writer, metric, protocol)
        for cell in cells:
            if writer.records.score(metric.info.name, cell) is None:
                missing.setdefault(cell.cell_id, []).append(metric)
    todo = [cell for cell in cells if cell.cell_id in missing]
    progress.stage("score", total=len(cells), done=len(cells) - len(todo))
    for batch in _batches(todo):
        stored = list(_read(writer, batch, progress, protocol))
        for alike in _alike(stored):
            for metric in metrics:
                lacking = [one for one in alike if metric in missing[one.cell.cell_id]]
                values = dict(_score(metric, lacking, progress))
                if values:
                    name = metric.info.name
                    writer.add_scores(name, protocol.sign(metric.signature()), values)
        progress.advance(len(batch))


def make_scored(stored: Sequence[Stored]) -> Scored:
    """Return edits of equal size and parts as a metric sees them."""
    first = stored[0]
    masks = None
    if first.mask is not None:
        masks = to_tensor([_as_picture(one.mask) for one in stored if one.mask is not None])[:, :1]
    targets = None
    if first.target is not None:
        targets = to_tensor([one.target for one in stored if one.target is not None])
    return Scored(
        samples=[one.sample for one in stored],
        source=to_tensor([one.source for one in stored]),
        edited=to_tensor([one.edited for one in stored]),
        target=targets,
        mask=masks,
        model=first.cell.model,
    )


def _declare(writer: RunWriter, metric: Metric, protocol: Protocol) -> None:
    info = metric.info
    card: dict[str, Any] = {
        "signature": protocol.sign(metric.signature()),
        "title": info.title,
        "direction": info.direction,
        "unit": info.unit,
        "group": info.group,
        "citation": info.citation,
    }
    if writer.records.metrics.get(info.name) != card:
        writer.record({"kind": "metric", "name": info.name, **card})


def _batches(cells: Sequence[CellRecord]) -> Iterator[list[CellRecord]]:
    """Cut cells into batches of one model and resolution; a sample's edits stay together."""
    order = sorted(cells, key=lambda c: (c.model, c.resolution, c.sample_index, c.cell_id))
    for (_, resolution), same in groupby(order, key=lambda c: (c.model, c.resolution)):
        group = list(same)
        size = max(1, BATCH_PIXELS // resolution**2)
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _read(
    writer: RunWriter, cells: Sequence[CellRecord], progress: Progress, protocol: Protocol
) -> Iterator[Stored]:
    for cell in cells:
        record = writer.records.samples.get((cell.sample_digest, cell.resolution))
        pictures = read_prepared(writer, record) if record else None
        edited = writer.read_file(writer.folder.image_path(cell.cell_id), cell.image_sha256)
        if record is None or pictures is None or edited is None:
            what = "edited picture" if edited is None else "source"
            progress.say(
                f"{cell.image}: not scored: the {what} in the run folder is missing or damaged; "
                "run the same command again to make it anew"
            )
            continue
        yield Stored(
            cell,
            stored_sample(record, pictures),
            pictures.source,
            protocol.edit_as_scored(from_png(edited)),
            pictures.target,
            None if pictures.mask is None else protocol.mask_as_scored(pictures.mask),
        )


def _alike(stored: Sequence[Stored]) -> list[list[Stored]]:
    """Group edits by which parts their samples have."""
    groups: dict[tuple[bool, bool], list[Stored]] = {}
    for one in stored:
        groups.setdefault((one.target is None, one.mask is None), []).append(one)
    return list(groups.values())


def _score(
    metric: Metric, stored: Sequence[Stored], progress: Progress
) -> Iterator[tuple[str, float]]:
    """Yield (cell id, value); a batch that fails is taken apart, so that only its fault fails."""
    if not stored:
        return
    try:
        values = metric.score(make_scored(stored))
        if len(values) != len(stored):
            raise ValueError(f"it returned {len(values)} values for {len(stored)} pictures")
    except Exception as error:  # whatever a plugin raises becomes one line
        out_of_memory = is_out_of_memory(error)
        problem = Failure.of("score", error)
    else:
        yield from zip((one.cell.cell_id for one in stored), map(float, values), strict=True)
        return
    if len(stored) == 1:
        where = f"{metric.info.name}: no score for {stored[0].sample.id}"
        progress.say(f"{where}: {problem.type}: {problem.message}")
        return
    if out_of_memory:
        free_memory()
    size = (len(stored) + 1) // 2 if out_of_memory else 1
    for start in range(0, len(stored), size):
        yield from _score(metric, stored[start : start + size], progress)


def _parts(sample: SampleRecord) -> Iterator[str]:
    yield from sample.files
    if "choices" in sample.metadata:
        yield "scene"


def _as_picture(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.repeat(mask[:, :, None].astype(np.uint8) * 255, 3, axis=2)
