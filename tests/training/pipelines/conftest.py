"""Tiny models and pictures, written once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_pipelines import write_pictures, write_pipeline


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("training") / "pictures")


@pytest.fixture(scope="session")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A distilled tiny Stable Diffusion."""
    return write_pipeline(tmp_path_factory.mktemp("models") / "tiny-sd", "sd")


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain tiny Stable Diffusion XL."""
    return write_pipeline(tmp_path_factory.mktemp("models") / "tiny-sdxl", "sdxl", distilled=False)
