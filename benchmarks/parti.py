"""128 PartiPrompts, for generation.

Yu et al. 2022, arXiv:2206.10789; the selection that iCD uses.
"""

from __future__ import annotations

from typing import ClassVar

from icd_bench.api import BenchmarkInfo
from icd_bench.data.card import Card

from .card_files import card_of
from .generation import Generation


class Parti(Generation):
    """The rows of ``generation_parti-prompts.csv``."""

    card: ClassVar[Card] = card_of("parti")
    info: ClassVar[BenchmarkInfo] = card.info
    instructions_name = "generation_parti-prompts.csv"
    id_column = "id"
