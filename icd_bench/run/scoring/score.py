"""Scores of finished edits, from the files of a run folder alone; no diffusion model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from icd_bench import registry
from icd_bench.api import Metric, MetricInfo, Sample, Scored, SetMetric
from icd_bench.errors import MissingWeights, UsageError
from icd_bench.protocols import NATIVE, Protocol
from icd_bench.run.engines.engine import Failure
from icd_bench.run.memory import free_memory, is_out_of_memory
from icd_bench.run.overlap import ahead
from icd_bench.run.progress import Progress
from icd_bench.run.reading.pictures import read_prepared, stored_sample
from icd_bench.run.reading.prepare import Prepared, fit_mask, fit_picture, from_png, to_tensor
from icd_bench.run.reading.sample_reading import READERS
from icd_bench.run.scoring.sets import SetScoring
from icd_bench.run.storage.records import CellRecord, SampleRecord
from icd_bench.run.storage.store import RunWriter

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


def load_metrics(
    names: Sequence[str], device: str, say: Callable[[str], None]
) -> list[Metric | SetMetric]:
    """Return metrics with their weights; one whose weights are missing is named and left out.

    Raises:
        UnknownName: there is no such metric.
    """
    loaded: list[Metric | SetMetric] = []
    for name in dict.fromkeys(names):
        metric: Metric | SetMetric = registry.metrics.load(name)()
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
    metrics: Sequence[Metric | SetMetric],
    progress: Progress,
    protocol: Protocol = NATIVE,
) -> None:
    """Compute and store every score that the pictures of these cells lack.

    Pictures are decoded ahead of the networks, each source once for the edits of its sample.

    Args:
        writer: holds the run folder.
        cell_ids: cells that may be scored; failed ones are passed over.
        metrics: with their weights.
        progress: told of what is done and of what goes wrong.
        protocol: of the run; pictures and masks are scored as it says.
    """
    wanted = list(cell_ids)
    for metric in metrics:
        _declare(writer, metric, protocol)
    single = [metric for metric in metrics if not isinstance(metric, SetMetric)]
    sets = [
        SetScoring(metric, protocol.sign(metric.signature()), writer, set(wanted))
        for metric in metrics
        if isinstance(metric, SetMetric)
    ]
    cells = [cell for cell in writer.cells(wanted) if cell.status == "ok"]
    missing = _missing(writer, cells, single)
    needed = {cell_id for one in sets for cell_id in one.cell_ids}
    todo = writer.cells({**missing, **dict.fromkeys(sorted(needed))})
    progress.stage("score", total=len(cells), done=len(cells) - len(todo))
    reader = Reader(writer, protocol)
    for batch_cells, stored in ahead(map(reader.read, batches_of(todo))):
        _tell_unread(batch_cells, stored, progress)
        for alike in _alike(stored):
            batch = make_scored(alike)
            for metric in single:
                _score_rows(writer, metric, alike, batch, missing, progress, protocol)
            for one in sets:
                one.take([each.cell for each in alike], batch)
        progress.advance(len(batch_cells))
    for one in sets:
        one.finish(progress)


def make_scored(stored: Sequence[Stored]) -> Scored:
    """Return edits of equal size and parts as a metric sees them."""
    first = stored[0]
    masks = None
    if first.mask is not None:
        masks = to_tensor([_as_picture(one.mask) for one in stored if one.mask is not None])
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
        latent_nll=np.array([one.cell.latent_nll for one in stored], np.float64),
    )


def _missing(
    writer: RunWriter, cells: Sequence[CellRecord], metrics: Sequence[Metric]
) -> dict[str, set[str]]:
    """Return cell id -> names of the metrics whose score it lacks."""
    missing: dict[str, set[str]] = {}
    for metric in metrics:
        for cell in cells:
            if writer.records.score(metric.info.name, cell) is None:
                missing.setdefault(cell.cell_id, set()).add(metric.info.name)
    return missing


def _score_rows(
    writer: RunWriter,
    metric: Metric,
    stored: Sequence[Stored],
    batch: Scored,
    missing: Mapping[str, set[str]],
    progress: Progress,
    protocol: Protocol,
) -> None:
    """Compute and store a metric for the rows of a batch that lack it."""
    name = metric.info.name
    rows = [i for i, one in enumerate(stored) if name in missing.get(one.cell.cell_id, ())]
    if not rows:
        return
    part = batch if len(rows) == len(stored) else _rows_of(batch, rows)
    values = dict(_score(metric, [stored[row] for row in rows], part, progress))
    if values:
        writer.add_scores(name, protocol.sign(metric.signature()), values)


def _rows_of(batch: Scored, rows: Sequence[int]) -> Scored:
    chosen = list(rows)
    return Scored(
        samples=[batch.samples[row] for row in chosen],
        source=batch.source[chosen],
        edited=batch.edited[chosen],
        target=None if batch.target is None else batch.target[chosen],
        mask=None if batch.mask is None else batch.mask[chosen],
        model=batch.model,
        latent_nll=None if batch.latent_nll is None else batch.latent_nll[chosen],
    )


def _declare(writer: RunWriter, metric: Metric | SetMetric, protocol: Protocol) -> None:
    info = metric.info
    card: dict[str, Any] = {
        "signature": protocol.sign(metric.signature()),
        "title": info.title,
        "direction": info.direction,
        "unit": info.unit,
        "range": list(info.range),
        "group": info.group,
        "citation": info.citation,
    }
    if writer.records.metrics.get(info.name) != card:
        writer.record({"kind": "metric", "name": info.name, **card})


def batches_of(cells: Sequence[CellRecord]) -> Iterator[list[CellRecord]]:
    """Cut cells into batches of one model and resolution; a sample's edits stay together."""
    order = sorted(cells, key=lambda c: (c.model, c.resolution, c.sample_index, c.cell_id))
    for (_, resolution), same in groupby(order, key=lambda c: (c.model, c.resolution)):
        group = list(same)
        size = max(1, BATCH_PIXELS // resolution**2)
        for start in range(0, len(group), size):
            yield group[start : start + size]


class Reader:
    """Reads batches from the run folder, several files at once.

    Args:
        writer: holds the run folder.
        protocol: of the run.
        threads: that read.
    """

    def __init__(self, writer: RunWriter, protocol: Protocol, threads: int = READERS) -> None:
        self.writer, self.protocol, self.threads = writer, protocol, threads

    def read(self, cells: Sequence[CellRecord]) -> tuple[Sequence[CellRecord], list[Stored]]:
        """Return the cells, and those of them whose pictures are there."""
        samples = self.writer.records.samples
        records = {
            cell.sample_digest: samples.get((cell.sample_digest, cell.resolution)) for cell in cells
        }
        # Pillow decodes outside Python's lock, so threads use all processors.
        with ThreadPoolExecutor(self.threads) as pool:
            edits = pool.map(self._edit, cells)
            prepared = dict(zip(records, pool.map(self._sample, records.values()), strict=True))
            stored = []
            for cell, edited in zip(cells, edits, strict=True):
                pictures, record = prepared[cell.sample_digest], records[cell.sample_digest]
                if pictures and record and edited is not None:
                    sample, mask = self._named(record, pictures), pictures.mask
                    stored.append(
                        Stored(cell, sample, pictures.source, edited, pictures.target, mask)
                    )
        return cells, stored

    def _edit(self, cell: CellRecord) -> NDArray[np.uint8] | None:
        path = self.writer.folder.image_path(cell.cell_id)
        data = self.writer.read_file(path, cell.image_sha256)
        if data is None:
            return None
        return self._picture(self.protocol.edit_as_scored(from_png(data)), cell.resolution)

    def _sample(self, record: SampleRecord | None) -> Prepared | None:
        pictures = read_prepared(self.writer, record) if record else None
        if record is None or pictures is None:
            return None
        target, mask, side = pictures.target, pictures.mask, record.resolution
        return Prepared(
            source=self._picture(pictures.source, side),
            target=None if target is None else self._picture(target, side),
            mask=None if mask is None else self._mask(mask, side),
        )

    def _picture(self, picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
        return fit_picture(picture, self.protocol.side_as_scored(side), self.protocol)

    def _mask(self, mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
        fitted = fit_mask(mask, self.protocol.side_as_scored(side), self.protocol)
        return self.protocol.mask_as_scored(fitted)

    def _named(self, record: SampleRecord, pictures: Prepared) -> Sample:
        """Return a sample whose digest names the pictures as scored.

        Metrics remember features by digest and size. A shrunk source is not the source that was
        prepared at that size, of which the same run may have edits too.
        """
        sample = stored_sample(record, pictures)
        if self.protocol.side_as_scored(record.resolution) == record.resolution:
            return sample
        return replace(sample, digest=f"{sample.digest}@{record.resolution}")


def _tell_unread(cells: Sequence[CellRecord], stored: Sequence[Stored], progress: Progress) -> None:
    read = {one.cell.cell_id for one in stored}
    for cell in cells:
        if cell.cell_id not in read:
            progress.say(
                f"{cell.image}: not scored: its picture or its source in the run folder is missing "
                "or damaged; run the same command again to make it anew"
            )


def _alike(stored: Sequence[Stored]) -> list[list[Stored]]:
    """Group edits by which parts their samples have."""
    groups: dict[tuple[bool, bool], list[Stored]] = {}
    for one in stored:
        groups.setdefault((one.target is None, one.mask is None), []).append(one)
    return list(groups.values())


def _score(
    metric: Metric, stored: Sequence[Stored], batch: Scored, progress: Progress
) -> Iterator[tuple[str, float]]:
    """Yield (cell id, value); a batch that fails is taken apart, so that only its fault fails."""
    try:
        values = metric.score(batch)
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
        rows = range(start, min(start + size, len(stored)))
        part = [stored[row] for row in rows]
        yield from _score(metric, part, _rows_of(batch, rows), progress)


def _parts(sample: SampleRecord) -> Iterator[str]:
    yield from sample.files
    if "choices" in sample.metadata:
        yield "scene"


def _as_picture(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return mask[:, :, None].astype(np.uint8) * 255
