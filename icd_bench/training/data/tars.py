"""Webdataset shards: tar files whose members of one name are a sample. Nothing is unpacked."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from icd_bench.errors import BadSample

from .rows import PICTURE_FILES, Captions, Columns, Row, bad_row, captions_of


@dataclass(frozen=True)
class Member:
    """A file within a tar, by its place."""

    name: str
    offset: int
    size: int

    def read(self, shard: Path) -> bytes:
        """Return its content.

        Raises:
            BadSample: the shard is shorter than it says.
        """
        with shard.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise BadSample(f"{shard}: {self.name}", "image", "the shard ends within it")
        return content


class Tars:
    """A shard a file; their headers are read when their turn comes.

    Args:
        files: uncompressed tars.
        columns: of the ``.json`` member, where a sample has no ``.txt``.
    """

    def __init__(self, files: Sequence[Path], columns: Columns) -> None:
        self._files, self._columns = files, columns

    @property
    def shards(self) -> int:
        """Number of files."""
        return len(self._files)

    def windows(self, shard: int) -> Iterator[Sequence[Row]]:
        """Yield all rows of a file."""
        file = self._files[shard]
        samples: dict[str, dict[str, Member]] = {}
        rows: list[Row] = []
        try:
            with tarfile.open(file, "r:") as tar:
                for info in tar:
                    if info.isfile():
                        member = Member(info.name, info.offset_data, info.size)
                        kind = info.name.rpartition("/")[2].partition(".")[2]
                        sample = samples.setdefault(info.name.removesuffix(f".{kind}"), {})
                        sample[f".{kind.lower()}"] = member
        except (OSError, tarfile.TarError) as error:
            rows.append(bad_row(BadSample(str(file), "shard", f"not a readable tar ({error})")))
        for name, members in samples.items():
            rows.append(Row(f"{file}: {name}", partial(self._load, file, name, members)))
        yield rows

    def _load(self, file: Path, name: str, members: dict[str, Member]) -> tuple[bytes, Captions]:
        where = f"{file}: {name}"
        pictures = [kind for kind in members if kind in PICTURE_FILES]
        if not pictures:
            raise BadSample(where, "image", f"no picture among {', '.join(members)}")
        return members[pictures[0]].read(file), self._captions(file, where, members)

    def _captions(self, file: Path, where: str, members: dict[str, Member]) -> Captions:
        if text := members.get(".txt") or members.get(".caption"):
            return captions_of(text.read(file).decode(errors="replace"), where)
        if ".json" not in members:
            raise BadSample(where, "caption", "neither .txt, .caption nor .json")
        try:
            record: Any = json.loads(members[".json"].read(file))
        except ValueError as error:
            raise BadSample(where, "caption", f".json is not JSON ({error})") from error
        if not isinstance(record, dict):
            raise BadSample(where, "caption", ".json is not an object")
        return self._columns.of({"image": b"", **record}, where)[1]
