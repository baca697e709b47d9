"""``results.parquet``: the records of a run as one table, a row a cell."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icd_bench.errors import CorruptRun, UsageError
from icd_bench.run.cells import canonical_json
from icd_bench.run.storage.columns import COLUMNS, METADATA_KEY, SCHEMA_VERSION, Column
from icd_bench.run.storage.edit_sets import current_scores
from icd_bench.run.storage.records import CellRecord, RunRecords

if TYPE_CHECKING:
    import pyarrow as pa


def results_table(records: RunRecords, log_size: int) -> pa.Table:
    """Return one row a cell, in the order method, setting, seed, row of the benchmark.

    Args:
        records: what the events say.
        log_size: bytes of the events, stored to tell later whether the table is up to date.
    """
    import pyarrow as pa

    cells = sorted(records.cells.values(), key=_order)
    scored = [name for name in records.metrics if _has_scores(records, name)]
    sets = current_scores(records)
    arrays = [
        pa.array(values, type=_arrow_type(column.type))
        for column, values in zip(COLUMNS, _columns(cells, records), strict=True)
    ]
    arrays += [
        pa.array([records.score(name, cell) for cell in cells], type=pa.float64())
        for name in scored
    ]
    metadata = {
        "schema_version": SCHEMA_VERSION,
        "log_size": log_size,
        "columns": {column.name: column.meaning for column in COLUMNS},
        "metrics": {name: records.metrics[name] for name in scored},
        "sets": [{**score.as_json(), "card": records.metrics[score.metric]} for score in sets],
    }
    table = pa.table(arrays, names=[*(column.name for column in COLUMNS), *scored])
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata).encode()})


def to_parquet(table: pa.Table) -> bytes:
    """Return the bytes of a parquet file."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_parquet(path: Path) -> pa.Table:
    """Read a results file.

    Raises:
        CorruptRun: the file is damaged, or of a newer schema than this version knows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        metadata = metadata_of(table)
        version = int(metadata["schema_version"])
        lacking = [name for name in metadata["metrics"] if name not in table.column_names]
        if lacking or not isinstance(metadata["log_size"], int):
            raise ValueError(f"no column {lacking[0]}" if lacking else "no log_size")
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise CorruptRun(
            f"{path}: not a results file ({error}); remove it: it is made again from the events"
        ) from error
    if version > SCHEMA_VERSION:
        raise CorruptRun(
            f"{path}: written with results schema {version}, this version of icd-bench reads up "
            f"to {SCHEMA_VERSION}; install a newer icd-bench"
        )
    return table


def migrate(table: pa.Table) -> pa.Table:
    """Return results of an older schema with the columns of the present one.

    Columns that the older schema did not have are empty: what they hold is unknown.
    """
    import pyarrow as pa

    metadata = metadata_of(table)
    if metadata["schema_version"] == SCHEMA_VERSION:
        return table
    arrays, names = [], []
    for column in COLUMNS:
        kind = _arrow_type(column.type)
        known = column.name in table.column_names
        arrays.append(
            table[column.name].cast(kind) if known else pa.array(_unknown(column, len(table)), kind)
        )
        names.append(column.name)
    for metric in metadata["metrics"]:
        arrays.append(table[metric])
        names.append(metric)
    metadata |= {"schema_version": SCHEMA_VERSION, "columns": {c.name: c.meaning for c in COLUMNS}}
    migrated = pa.table(arrays, names=names)
    return migrated.replace_schema_metadata({METADATA_KEY: json.dumps(metadata).encode()})


def metadata_of(table: pa.Table) -> dict[str, Any]:
    """Return schema version, column meanings, signature and card of each metric, set scores."""
    metadata: dict[str, Any] = json.loads((table.schema.metadata or {})[METADATA_KEY])
    return metadata


def check_metric_name(name: str) -> None:
    """Refuse a metric whose column would hide another one.

    Raises:
        UsageError: the name is one of the columns that every run has.
    """
    if name in {column.name for column in COLUMNS}:
        raise UsageError(f'metric "{name}": a column of the results has that name; rename it')


def _order(cell: CellRecord) -> tuple[Any, ...]:
    return (
        cell.method,
        cell.method_version,
        canonical_json(cell.setting),
        cell.seed,
        cell.sample_index,
        cell.cell_id,
    )


def _columns(cells: Iterable[CellRecord], records: RunRecords) -> list[list[Any]]:
    rows = [_row(cell, records) for cell in cells]
    return [[row[column.name] for row in rows] for column in COLUMNS]


def _row(cell: CellRecord, records: RunRecords) -> dict[str, Any]:
    sample = records.samples.get((cell.sample_digest, cell.resolution))
    return {
        **vars(cell),
        "setting": canonical_json(cell.setting),
        "source_sha256": sample.files["source"] if sample else "",
        "category": sample.category if sample else "",
        "source_prompt": sample.source_prompt if sample else "",
        "target_prompt": sample.target_prompt if sample else "",
    }


def _unknown(column: Column, count: int) -> list[str] | list[None]:
    return [""] * count if column.type == "string" else [None] * count


def _has_scores(records: RunRecords, metric: str) -> bool:
    return any(records.score(metric, cell) is not None for cell in records.cells.values())


def _arrow_type(name: str) -> pa.DataType:
    import pyarrow as pa

    return pa.list_(pa.string()) if name == "string[]" else pa.type_for_alias(name)
