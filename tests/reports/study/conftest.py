from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def imagenhub() -> Path:
    return Path(__file__).parents[2] / "data" / "imagenhub_votes"
