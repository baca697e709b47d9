"""iCD's replacement edits of photos, and new sets of the same kind (``coco_swaps.py``).

Starodubcev et al. 2024, arXiv:2406.14539, section 5. One noun of a caption is replaced. There are
no masks. 100 photos are COCO's, 42 are the authors' own. A set of one's own is a folder with
``editing_coco.csv`` and photos in ``train2014/`` or ``val2014/``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

from icd_bench.api import BenchmarkInfo, Sample
from icd_bench.data.card import Card
from icd_bench.errors import BadSample

from .caption_rows import caption, caption_rows, find_instructions
from .captions import read_blend_words
from .card_files import card_of
from .coco_swaps import build
from .picture_files import PictureFile, find_picture_in
from .prompt_files import Row

INSTRUCTIONS = "editing_coco.csv"
PHOTOS = ("train2014", "val2014")
REQUIRED = ("file_name", "old_caption", "edited_caption", "blended_words")


class COCOEdit:
    """The rows of ``editing_coco.csv`` with the photos in ``train2014/`` or ``val2014/``."""

    card: ClassVar[Card] = card_of("coco-edit")
    info: ClassVar[BenchmarkInfo] = card.info

    def __init__(self, location: str | None = None, split: str | None = None) -> None:
        self.instructions = find_instructions(self.card, location, split, INSTRUCTIONS)

    def samples(self) -> Iterator[Sample | BadSample]:
        """Yield the rows in the file's order; a photo is decoded only when it is read."""
        ids = _ids(self.picture_names())
        root = self.instructions.parent
        for row in caption_rows(self.instructions, REQUIRED):
            try:
                yield row if isinstance(row, BadSample) else _sample(root, row, ids)
            except BadSample as error:
                yield error

    @staticmethod
    def build(captions: Path, out: Path, count: int, seed: int) -> int:
        """Write a new set of edits from captions; see ``coco_swaps.py``."""
        return build(captions, out, count, seed)

    def picture_names(self) -> Iterator[str]:
        """Yield the names of the photos that a complete folder has."""
        for row in caption_rows(self.instructions, REQUIRED):
            if isinstance(row, Row):
                yield row.text("file_name")


def _ids(names: Iterable[str]) -> Mapping[str, str]:
    """Return file name -> id: the name without its suffix, where no other file is called so."""
    unique = dict.fromkeys(names)
    files = Counter(Path(name).stem for name in unique)
    return {name: name if files[Path(name).stem] > 1 else Path(name).stem for name in unique}


def _photo(root: Path, row: Row) -> PictureFile:
    """Return a row's photo, from the folder that its COCO name states before all others."""
    name = row.text("file_name")
    folders = sorted(PHOTOS, key=lambda folder: not name.startswith(f"COCO_{folder}_"))
    return find_picture_in([root / folder for folder in folders], name, row.where, "file_name")


def _sample(root: Path, row: Row, ids: Mapping[str, str]) -> Sample:
    prompts = [caption(row, "old_caption"), caption(row, "edited_caption")]
    published = row.text("blended_words")
    try:
        words = read_blend_words(published)
    except ValueError as error:
        raise BadSample(row.where, "blended_words", str(error)) from error
    name = row.text("file_name")
    image = _photo(root, row)
    content = [image.digest, *prompts, words.source, words.target]
    return Sample(
        id=ids[name],
        source_prompt=prompts[0],
        target_prompt=prompts[1],
        digest=sha256(json.dumps(["coco-edit", 1, *content]).encode()).hexdigest(),
        read_image=image.read_image,
        blend_words=words,
        metadata={"image": name, "row": row.where, "blend_words_published": published},
    )
