"""The cards of the built-in benchmarks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from icd_bench.data.card import Card
from icd_bench.data.yaml_files import read_yaml

FOLDER = Path(__file__).parent / "cards"


@cache
def card_of(name: str) -> Card:
    """Return the card of a built-in benchmark."""
    return read_yaml(FOLDER / f"{name}.yaml", Card)
