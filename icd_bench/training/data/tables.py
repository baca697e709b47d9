"""Tables of the ``datasets`` library: on the hub, in Parquet or in Arrow files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from icd_bench.errors import BadSample, UsageError

from .rows import Captions, Columns, LazyRows, Row, read_bytes

WINDOW: Final = 1000
"""Rows of a streamed table that are shuffled together."""


class Table:
    """A table with random access; one shard.

    Args:
        dataset: a ``datasets.Dataset``.
        name: for messages.
        columns: of picture and caption.

    Raises:
        UsageError: a column is missing.
    """

    shards = 1

    def __init__(self, dataset: Any, name: str, columns: Columns) -> None:
        columns.check(dataset.column_names, name)
        self._dataset, self._name, self._columns = undecoded(dataset), name, columns

    def windows(self, shard: int) -> Iterator[Sequence[Row]]:
        """Yield all rows."""
        yield LazyRows(len(self._dataset), self._row)

    def _row(self, index: int) -> Row:
        where = f"{self._name}: row {index}"
        return Row(where, lambda: loaded(self._dataset[index], where, self._columns))


class StreamedTable:
    """A table read from the beginning of its shards, which are its files.

    Args:
        dataset: a ``datasets.IterableDataset``.
        name: for messages.
        columns: of picture and caption.

    Raises:
        UsageError: a column is missing, where the columns are known beforehand.
    """

    def __init__(self, dataset: Any, name: str, columns: Columns) -> None:
        if dataset.column_names is not None:
            columns.check(dataset.column_names, name)
        self._dataset, self._name, self._columns = undecoded(dataset), name, columns

    @property
    def shards(self) -> int:
        """Number of files."""
        return int(self._dataset.num_shards)

    def windows(self, shard: int) -> Iterator[Sequence[Row]]:
        """Yield rows as they come, undecoded, ``WINDOW`` at a time."""
        records = iter(self._dataset.shard(self.shards, shard))
        number = 0
        while window := list(islice(records, WINDOW)):
            yield [self._row(shard, number + i, record) for i, record in enumerate(window)]
            number += len(window)

    def _row(self, shard: int, index: int, record: Mapping[str, Any]) -> Row:
        where = f"{self._name}: shard {shard}, row {index}"
        return Row(where, lambda: loaded(record, where, self._columns))


def undecoded(dataset: Any) -> Any:
    """Return a dataset that gives picture files instead of pictures: workers decode them."""
    import datasets

    for name, feature in (dataset.features or {}).items():
        if isinstance(feature, datasets.Image):
            dataset = dataset.cast_column(name, datasets.Image(decode=False))
    return dataset


def loaded(record: Mapping[str, Any], where: str, columns: Columns) -> tuple[bytes, Captions]:
    """Return the picture file and the captions of a record.

    Raises:
        BadSample: one is missing.
    """
    picture, captions = columns.of(record, where)
    if isinstance(picture, Mapping):
        picture = picture.get("bytes") or picture.get("path")
    if isinstance(picture, bytes):
        return picture, captions
    if isinstance(picture, str) and picture:
        return read_bytes(Path(picture), where), captions
    raise BadSample(where, "image", f"neither a picture nor a path ({type(picture).__name__})")


def from_parquet(files: Sequence[Path], columns: Columns) -> StreamedTable:
    """Open Parquet files, a shard each; they are read in place."""
    import datasets

    names = [str(file) for file in files]
    found = datasets.load_dataset("parquet", data_files=names, split="train", streaming=True)
    return StreamedTable(found, str(files[0].parent), columns)


def from_arrow(files: Sequence[Path], columns: Columns) -> Table:
    """Open Arrow files, as one table."""
    import datasets

    found = [datasets.Dataset.from_file(str(file)) for file in files]
    return Table(datasets.concatenate_datasets(found), str(files[0].parent), columns)


def from_hub(name: str, split: str, stream: bool, columns: Columns) -> Table | StreamedTable:
    """Open a dataset of the hub, downloaded first, or streamed.

    Raises:
        UsageError: it cannot be opened, or lacks a column.
    """
    import datasets

    try:
        found = datasets.load_dataset(name, split=split, streaming=stream)
    except (OSError, ValueError) as error:
        raise UsageError(f'data "{name}", split "{split}": cannot be opened ({error})') from error
    kind = StreamedTable if stream else Table
    return kind(found, name, columns)
