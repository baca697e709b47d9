"""One picture with its caption, before it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, overload

from icd_bench.errors import BadSample, UsageError

PICTURE_COLUMNS: Final = ("image", "file_name", "path", "image_path", "jpg", "png", "picture")
CAPTION_COLUMNS: Final = ("caption", "text", "prompt", "captions", "txt", "label")
PICTURE_FILES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

Captions = Sequence[str]
"""All captions of a picture; which one is used turns with the epochs."""


@dataclass(frozen=True)
class Row:
    """A captioned picture.

    Args:
        where: file and row, for messages.
        load: reads the picture file's bytes and the captions; raises ``BadSample``.
    """

    where: str
    load: Callable[[], tuple[bytes, Captions]]


class Source(Protocol):
    """Captioned pictures in shards."""

    @property
    def shards(self) -> int:
        """How many there are."""

    def windows(self, shard: int) -> Iterator[Sequence[Row]]:
        """Yield the rows of a shard, in pieces that are shuffled one by one."""


@dataclass(frozen=True)
class Columns:
    """Which columns hold picture and caption; empty takes the usual names."""

    picture: str = ""
    caption: str = ""

    def check(self, present: Sequence[str], where: str) -> None:
        """Check that both columns are there.

        Raises:
            UsageError: one is missing.
        """
        _find(self.picture, PICTURE_COLUMNS, present, where, "--image-column")
        _find(self.caption, CAPTION_COLUMNS, present, where, "--caption-column")

    def of(self, record: Mapping[str, Any], where: str) -> tuple[Any, Captions]:
        """Return the picture's value and the captions of a record.

        Raises:
            BadSample: one is missing or empty.
        """
        try:
            self.check(list(record), where)
        except UsageError as error:
            raise BadSample(where, "columns", str(error)) from error
        names = list(record)
        picture = record[_find(self.picture, PICTURE_COLUMNS, names, where, "")]
        caption = record[_find(self.caption, CAPTION_COLUMNS, names, where, "")]
        return picture, captions_of(caption, where)


def _find(given: str, usual: Sequence[str], present: Sequence[str], where: str, option: str) -> str:
    for name in (given,) if given else usual:
        if name in present:
            return name
    wanted = f'"{given}"' if given else f"any of {', '.join(usual)}"
    raise UsageError(
        f"{where}: no column {wanted}; there are: {', '.join(present)} (name it with {option})"
    )


def captions_of(value: Any, where: str) -> Captions:
    """Return what a caption column holds, a text or a list of them, without empty ones.

    Raises:
        BadSample: there is none.
    """
    texts = value if isinstance(value, list | tuple) else [value]
    found = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
    if not found:
        raise BadSample(where, "caption", "is empty or no text")
    return found


def read_bytes(path: Path, where: str) -> bytes:
    """Return a picture file's bytes.

    Raises:
        BadSample: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadSample(where, "image", f"{path}: {error.strerror}") from error


def bad_row(error: BadSample) -> Row:
    """Return a row that cannot be used, in the place where it was found."""

    def load() -> tuple[bytes, Captions]:
        raise error

    return Row(error.where, load)


class LazyRows(Sequence[Row]):
    """Rows that are made when they are asked for.

    Args:
        count: of rows.
        make: index -> row.
    """

    def __init__(self, count: int, make: Callable[[int], Row]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(*index.indices(self._count))]
        return self._make(range(self._count)[index])
