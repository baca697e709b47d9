"""8,779 captions of COCO val2014 photos, for generation."""

from __future__ import annotations

from typing import ClassVar

from icd_bench.api import BenchmarkInfo
from icd_bench.data.card import Card

from .card_files import card_of
from .generation import Generation


class COCOGeneration(Generation):
    """The rows of ``generation_coco.csv``; a photo may have several captions."""

    card: ClassVar[Card] = card_of("coco-generation")
    info: ClassVar[BenchmarkInfo] = card.info
    instructions_name = "generation_coco.csv"
    id_column = ""
    """The file's first column has no name; it counts COCO's captions."""
