"""Inversion and reconstruction: photos of COCO val2014 that are to stay as they are.

Source and target prompt are the photo's caption, so an edit is a reconstruction. The photos are
the first 5,000 different ones of iCD's caption file, each with its first caption there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import ClassVar

from icd_bench.api import BenchmarkInfo, Sample
from icd_bench.data.card import Card
from icd_bench.errors import BadSample

from .caption_rows import caption, caption_rows, find_instructions
from .card_files import card_of
from .picture_files import find_picture
from .prompt_files import Row

INSTRUCTIONS = "generation_coco.csv"
PHOTOS = "val2014"
REQUIRED = ("file_name", "caption")
SAMPLES = 5000


class COCOInversion:
    """The first 5,000 different photos of ``generation_coco.csv``, in ``val2014/``."""

    card: ClassVar[Card] = card_of("coco-inversion")
    info: ClassVar[BenchmarkInfo] = card.info

    def __init__(self, location: str | None = None, split: str | None = None) -> None:
        self.instructions = find_instructions(self.card, location, split, INSTRUCTIONS)

    def samples(self) -> Iterator[Sample | BadSample]:
        """Yield the photos in the file's order; one is decoded only when it is read."""
        for row in islice(self._rows(), SAMPLES):
            try:
                yield row if isinstance(row, BadSample) else _sample(self.instructions.parent, row)
            except BadSample as error:
                yield error

    def picture_names(self) -> Iterator[str]:
        """Yield the names of the photos that ``icd-bench data get`` fetches."""
        for row in islice(self._rows(), SAMPLES):
            if isinstance(row, Row):
                yield row.text("file_name")

    def _rows(self) -> Iterator[Row | BadSample]:
        """Yield the first row of each photo, and unusable rows."""
        seen: set[str] = set()
        for row in caption_rows(self.instructions, REQUIRED):
            if isinstance(row, BadSample):
                yield row
            elif row.text("file_name") not in seen:
                seen.add(row.text("file_name"))
                yield row


def _sample(root: Path, row: Row) -> Sample:
    prompt, name = caption(row, "caption"), row.text("file_name")
    image = find_picture(root / PHOTOS, name, row.where, "file_name")
    return Sample(
        id=Path(name).stem,
        source_prompt=prompt,
        target_prompt=prompt,
        digest=sha256(json.dumps(["coco-inversion", 1, image.digest, prompt]).encode()).hexdigest(),
        read_image=image.read_image,
        metadata={"image": name, "row": row.where, "reconstruction": True},
    )
