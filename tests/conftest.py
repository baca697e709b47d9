"""Tiny models that several test folders share."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import parity_table
import pytest
from golden_cases import tiny_sd_icd_spec, tiny_sd_spec

from icd_bench.diffusion.backbone import Backbone
from icd_bench.models import ModelSpec, local_model


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-table", type=Path, metavar="FILE",
        help="write the largest error of every golden case of the methods here (without xdist)",
    )  # fmt: skip


def pytest_sessionfinish(session: pytest.Session) -> None:
    if file := session.config.getoption("--parity-table"):
        file.write_text(parity_table.render(), encoding="utf-8")


@pytest.fixture(scope="session")
def tiny_sd() -> Backbone:
    """Plain tiny pipeline at 512 pixels, of the golden cases."""
    return Backbone.load(tiny_sd_spec())


@pytest.fixture(scope="session")
def tiny_sd_icd() -> Backbone:
    """Tiny pipeline with iCD weights at 512 pixels, of the golden cases."""
    return Backbone.load(tiny_sd_icd_spec())


@pytest.fixture(scope="session")
def small_spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """Every part that a method can need, at 128 pixels (latents 16x16), in the folder layout."""
    folder = tmp_path_factory.mktemp("models") / "small"
    copy_model(folder)
    return local_model(folder)


@pytest.fixture
def small(small_spec: ModelSpec) -> Backbone:
    return Backbone.load(small_spec)


def copy_model(folder: Path) -> None:
    plain, distilled = tiny_sd_spec(), tiny_sd_icd_spec()
    assert plain.root is not None
    shutil.copytree(plain.root, folder)
    shutil.copytree(distilled.folder_of("cfg_distilled"), folder / "unet_cfg_distilled")
    (folder / "icd").mkdir()
    for direction, name in (
        ("forward", "forward-19-259-519-779.safetensors"),
        ("reverse", "reverse-259-519-779-999.safetensors"),
    ):
        adapter = distilled.folder_of(f"icd_{direction}:4a")
        shutil.copyfile(adapter, folder / "icd" / name)
    (folder / "lcm").mkdir()
    shutil.copyfile(distilled.folder_of("icd_reverse:4a"), folder / "lcm" / "lora.safetensors")
    for unet in ("unet", "unet_cfg_distilled"):
        file = folder / unet / "config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(config | {"sample_size": 16}), encoding="utf-8")
