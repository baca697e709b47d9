"""A run as a folder.

::

    run.json             what was run, with what, on which machine, when; atomic
    events/*.jsonl       everything that happened, append-only: the truth
    results.parquet      one row a cell, made from the events
    images/ab/<id>.png   edited pictures
    samples/ab/*.png     sources, masks and true edits at the model's resolution
    inversions/ab/<id>.safetensors
    lock                 held by the one process that writes
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from icd_bench.errors import CorruptRun, StorageFailed, UsageError
from icd_bench.run.storage.columns import SCHEMA_VERSION
from icd_bench.run.storage.events import Event, EventWriter, event_files, log_size, read_events
from icd_bench.run.storage.files import digests_of, remove_parts, write_files
from icd_bench.run.storage.lock import write_lock
from icd_bench.run.storage.records import CellRecord, RunRecords, score_value
from icd_bench.run.storage.results import (
    metadata_of,
    migrate,
    read_parquet,
    results_table,
    to_parquet,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MANIFEST = "run.json"
RESULTS = "results.parquet"
MANIFEST_SCHEMA = 1
MANIFEST_FIELDS: dict[str, type] = {
    "name": str,
    "methods": dict,
    "models": dict,
    "benchmarks": dict,
    "metrics": dict,
    "commands": list,
}
"""Fields that every reader may count on."""


@dataclass(frozen=True)
class RunFolder:
    """A run folder as a reader sees it."""

    path: Path

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Return the run at a path.

        Raises:
            UsageError: there is no run there.
        """
        folder = cls(Path(path))
        if not folder.manifest_path.is_file():
            raise UsageError(f"{path}: not a run folder: it has no {MANIFEST}")
        return folder

    @property
    def manifest_path(self) -> Path:
        """``run.json``."""
        return self.path / MANIFEST

    @property
    def events_path(self) -> Path:
        """Folder of the event files."""
        return self.path / "events"

    @property
    def results_path(self) -> Path:
        """``results.parquet``."""
        return self.path / RESULTS

    def image_path(self, cell_id: str) -> Path:
        """Return the path of a cell's picture, relative to the run folder."""
        return Path("images", cell_id[:2], f"{cell_id}.png")

    def sample_path(self, digest: str, resolution: int, kind: str) -> Path:
        """Return the path of a sample's ``source``, ``target`` or ``mask``, likewise relative."""
        return Path("samples", digest[:2], f"{digest[:20]}-{resolution}-{kind}.png")

    def manifest(self) -> dict[str, Any]:
        """Return ``run.json``.

        Raises:
            CorruptRun: it is damaged, or newer than this version.
        """
        try:
            manifest: dict[str, Any] = json.loads(self.manifest_path.read_text(encoding="utf-8"))
            schema = int(manifest["schema"])
            for field, kind in MANIFEST_FIELDS.items():
                if not isinstance(manifest.setdefault(field, kind()), kind):
                    raise TypeError(f"{field}: not a {kind.__name__}")
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise CorruptRun(
                f"{self.manifest_path}: not a run's description ({error}); "
                "remove the file and run the same command again"
            ) from error
        if schema > MANIFEST_SCHEMA:
            raise CorruptRun(
                f"{self.manifest_path}: schema {schema}, this version of icd-bench reads up to "
                f"{MANIFEST_SCHEMA}; install a newer icd-bench"
            )
        return manifest

    def records(self) -> RunRecords:
        """Return what the events say.

        Raises:
            CorruptRun: an event is damaged, or written by a newer version.
        """
        self._check_version()
        records = RunRecords()
        for event in read_events(self.events_path):
            try:
                records.apply(event)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise CorruptRun(
                    f'{self.events_path}: event "{event["kind"][:40]}" cannot be read '
                    f"({type(error).__name__}: {error}); it is damaged, or was written by a newer "
                    "icd-bench: install that"
                ) from error
        return records

    def results(self) -> pa.Table:
        """Return the results, one row a cell.

        Made from the events where the file is behind, or has an older schema. Where there are no
        events an older file is brought to the present schema as far as it goes.

        Raises:
            CorruptRun: a file is damaged, or written by a newer version.
        """
        self._check_version()
        size = log_size(self.events_path)
        if self.results_path.is_file():
            table = read_parquet(self.results_path)
            metadata = metadata_of(table)
            if not size:
                return migrate(table)
            if (metadata["schema_version"], metadata["log_size"]) == (SCHEMA_VERSION, size):
                return table
        try:
            return results_table(self.records(), size)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise CorruptRun(
                f"{self.events_path}: the events do not make a table ({error}); they are damaged"
            ) from error

    def _check_version(self) -> None:
        if self.manifest_path.is_file():
            self.manifest()

    def read_results(self) -> pd.DataFrame:
        """Return the results as a data frame; ``attrs["metrics"]`` has signatures and cards."""
        table = self.results()
        frame: pd.DataFrame = table.to_pandas()
        frame.attrs.update(metadata_of(table))
        return frame

    @contextmanager
    def writer(self) -> Iterator[RunWriter]:
        """Hold the folder for writing; it is made where it is missing.

        Raises:
            RunLocked: another process writes into it.
            UsageError: the path holds something else than a run.
            StorageFailed: the disk is full or refuses.
        """
        with _storing(self.path):
            self._make()
        with write_lock(self.path):
            with _storing(self.path):
                remove_parts(self.path)
                log = EventWriter(self.events_path)
            try:
                yield RunWriter(self, self.records(), log)
            finally:
                log.close()

    def _make(self) -> None:
        if self.path.is_file():
            raise UsageError(f"{self.path}: is a file, not a folder; choose another --out")
        if self.path.is_dir() and not self.events_path.is_dir() and any(self.path.iterdir()):
            raise UsageError(
                f"{self.path}: is a folder with other things in it; choose another --out"
            )
        self.events_path.mkdir(parents=True, exist_ok=True)


class RunWriter:
    """A run folder as its one writer sees it; everything is on the disk when a call returns."""

    def __init__(self, folder: RunFolder, records: RunRecords, log: EventWriter) -> None:
        self.folder = folder
        self.records = records
        self._log = log
        self._recording = Lock()

    def record(self, event: Event) -> None:
        """Append an event and take it in; may be called from several threads."""
        with self._recording:
            with _storing(self.folder.path):
                self._log.append(event)
            self.records.apply(event)

    def write(self, contents: Mapping[Path, bytes]) -> None:
        """Write files atomically: path relative to the run folder -> content."""
        root = self.folder.path
        with _storing(root):
            write_files({root / path: data for path, data in contents.items()})

    def finished(self, cell_ids: Iterable[str]) -> set[str]:
        """Return which cells are done and still have exactly the picture that was stored."""
        done = [
            cell
            for cell_id in cell_ids
            if (cell := self.records.cells.get(cell_id)) and cell.status == "ok"
        ]
        digests = digests_of(self.folder.path / cell.image for cell in done)
        return {
            cell.cell_id
            for cell, digest in zip(done, digests, strict=True)
            if digest == cell.image_sha256
        }

    def add_cells(
        self,
        common: Mapping[str, Any],
        cells: Sequence[Mapping[str, Any]],
        pictures: Mapping[str, bytes],
    ) -> None:
        """Store finished cells: first their pictures, then one event that names them all.

        Args:
            common: fields of ``CellRecord`` that the cells share.
            cells: the other fields of each one.
            pictures: cell id -> PNG, for those that are not failed.
        """
        self.write({self.folder.image_path(i): png for i, png in pictures.items()})
        self.record({"kind": "cells", "common": dict(common), "cells": [dict(c) for c in cells]})

    def add_samples(
        self, entries: Sequence[Mapping[str, Any]], contents: Mapping[Path, bytes]
    ) -> None:
        """Store samples: first their PNG files (relative path -> bytes), then one event."""
        self.write(contents)
        self.record({"kind": "samples", "samples": [dict(entry) for entry in entries]})

    def drop_outdated(self, rows: Mapping[int, str], benchmark: str, split: str) -> None:
        """Forget cells of rows that the benchmark no longer has in that form.

        Args:
            rows: place in the benchmark -> digest, for the rows that were looked at.
            benchmark: name of the benchmark.
            split: its split.
        """
        keep = set(rows.values())
        outdated = [
            cell.cell_id
            for cell in self.records.cells.values()
            if (cell.benchmark, cell.split) == (benchmark, split)
            and cell.sample_index in rows
            and cell.sample_digest not in keep
        ]
        if outdated:
            self.record({"kind": "dropped", "cells": outdated})

    def read_file(self, path: Path, digest: str) -> bytes | None:
        """Return a stored file, None where it is missing or not what was stored."""
        try:
            data = (self.folder.path / path).read_bytes()
        except FileNotFoundError:
            return None
        return data if sha256(data).hexdigest() == digest else None

    def add_scores(self, metric: str, signature: str, values: Mapping[str, float]) -> None:
        """Store the scores of one metric: cell id -> value."""
        self.record(
            {
                "kind": "scores",
                "metric": metric,
                "signature": signature,
                "values": [
                    [cell_id, self.records.cells[cell_id].image_sha256, score_value(value)]
                    for cell_id, value in values.items()
                ],
            }
        )

    def cells(self, ids: Iterable[str]) -> list[CellRecord]:
        """Return the records of cells that have one."""
        return [self.records.cells[i] for i in ids if i in self.records.cells]

    def compact(self) -> None:
        """Write ``results.parquet``."""
        table = results_table(self.records, log_size(self.folder.events_path))
        self.write({Path(RESULTS): to_parquet(table)})

    def _log_digests(self) -> dict[str, str]:
        """Return path -> SHA-256 of the results and of the events, as they are now."""
        root = self.folder.path
        logs = [path for path in event_files(self.folder.events_path) if path.stat().st_size]
        paths = [self.folder.results_path, *logs]
        found = zip(paths, digests_of(paths), strict=True)
        return {path.relative_to(root).as_posix(): digest for path, digest in found if digest}

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write ``run.json``, with digests of the results and the events as they are now."""
        content = {"schema": MANIFEST_SCHEMA, **manifest, "files": self._log_digests()}
        text = json.dumps(content, indent=2, ensure_ascii=False)
        self.write({Path(MANIFEST): text.encode() + b"\n"})


def latest_run(root: Path | str = "runs") -> Path:
    """Return the run folder below ``root`` that was worked on last.

    Raises:
        UsageError: there is none.
    """
    found = [path for path in Path(root).glob(f"*/{MANIFEST}") if path.is_file()]
    if not found:
        raise UsageError(f"{root}: there is no run yet; start one with: icd-bench run")
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path.parent.name)).parent


@contextmanager
def _storing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        at = f"{error.filename}: " if error.filename else ""
        raise StorageFailed(
            f"{folder}: cannot be written: {at}{error.strerror or error}; what is there stays "
            "valid: make room or choose another folder with --out, and run again"
        ) from error
