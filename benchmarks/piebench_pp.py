"""PIE-Bench++: the pictures of PIE-Bench with rewritten prompts for several aspects at once.

Huang et al. 2024, arXiv:2406.00985. Parquet files as the hub has them, in a folder for each
configuration (``0_random_140`` ..). Other prompts make another benchmark: its scores never share
a table with PIE-Bench's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from icd_bench.api import BenchmarkInfo, Sample
from icd_bench.data.card import Card
from icd_bench.data.home import open_folder
from icd_bench.errors import BadSample, UnknownName, UsageError
from icd_bench.pictures import decode_picture, picture_size
from icd_bench.registry import suggest

from .captions import read_blend_words, strip_brackets
from .card_files import card_of
from .run_length import decode_runs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMNS = ("image", "id", "source_prompt", "target_prompt", "blended_words", "mask")
EXTRAS = ("edit_action", "aspect_mapping")


class PIEBenchPP:
    """The rows of all configurations, or of the one that the split names."""

    card: ClassVar[Card] = card_of("piebench-pp")
    info: ClassVar[BenchmarkInfo] = card.info

    def __init__(self, location: str | None = None, split: str | None = None) -> None:
        root = open_folder(self.card, location)
        files = sorted(root.rglob("*.parquet"))
        names = sorted({_configuration(file, root) for file in files})
        if not files:
            raise UsageError(f"piebench-pp: {root} has no parquet file; {self.card.how_to_get}")
        if split is not None and split not in names:
            raise UnknownName(
                f'piebench-pp: unknown split "{split}".{suggest(split, names)} '
                f"Known: {', '.join(names)}."
            )
        self.root = root
        self.files = [f for f in files if split in (None, _configuration(f, root))]

    def samples(self) -> Iterator[Sample | BadSample]:
        """Yield the rows file by file; one row group is in memory at a time."""
        for file in self.files:
            category = _configuration(file, self.root)
            for group in range(_group_count(file)):
                for index, row in enumerate(_read_group(file, group)):
                    where = f"{file.relative_to(self.root)}, group {group}, row {index + 1}"
                    try:
                        yield _sample(row, category, where, (file, group, index))
                    except BadSample as error:
                        yield error


def _configuration(file: Path, root: Path) -> str:
    """Return the folder below the root: files that lie in the root itself have none."""
    parts = file.relative_to(root).parts
    return parts[0] if len(parts) > 1 else ""


def _group_count(file: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{file}: not a parquet file: {error}; get it again") from error
    missing = set(COLUMNS) - set(schema.schema_arrow.names)
    if missing:
        raise UsageError(f"{file}: has no column {', '.join(sorted(missing))}; get it again")
    return int(schema.num_row_groups)


@lru_cache(maxsize=2)
def _read_group(file: Path, group: int) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.ParquetFile(file).read_row_group(group).to_pylist()
    return rows


def _sample(
    row: Mapping[str, Any], category: str, where: str, place: tuple[Path, int, int]
) -> Sample:
    source, target = str(row["source_prompt"] or ""), str(row["target_prompt"] or "")
    prompts = [strip_brackets(source), strip_brackets(target)]
    for name, prompt in zip(("source_prompt", "target_prompt"), prompts, strict=True):
        if not prompt:
            raise BadSample(where, name, "the prompt is empty")
    data = _picture_bytes(row, where)
    size = picture_size(data, where, "image")
    published = str(row["blended_words"] or "")
    runs_text = str(row["mask"] or "")
    try:
        words = read_blend_words(published)
    except ValueError as error:
        raise BadSample(where, "blended_words", str(error)) from error
    digest = sha256(data).hexdigest()
    content = [digest, *prompts, words.source, words.target, runs_text.split()]
    return Sample(
        id=str(row["id"]),
        source_prompt=prompts[0],
        target_prompt=prompts[1],
        digest=sha256(json.dumps(["piebench-pp", 1, *content]).encode()).hexdigest(),
        read_image=partial(_read_image, place, where),
        blend_words=words,
        read_mask=partial(_read_mask, runs_text, size, where) if runs_text.strip() else None,
        category=category,
        metadata={
            "source_bracketed": source,
            "target_bracketed": target,
            "blend_words_published": published,
            **{name: row[name] for name in EXTRAS if row.get(name)},
        },
    )


def _picture_bytes(row: Mapping[str, Any], where: str) -> bytes:
    image = row["image"]
    data = image.get("bytes") if isinstance(image, dict) else None
    if not isinstance(data, bytes):
        raise BadSample(where, "image", "the picture is not in the file", "get it again")
    return data


def _read_image(place: tuple[Path, int, int], where: str) -> NDArray[np.uint8]:
    file, group, index = place
    return decode_picture(_picture_bytes(_read_group(file, group)[index], where), where, "image")


def _read_mask(text: str, size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    width, height = size
    try:
        return decode_runs([int(number) for number in text.split()], height, width)
    except ValueError as error:
        raise BadSample(where, "mask", str(error)) from error
