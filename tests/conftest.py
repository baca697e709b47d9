"""Tiny models that several test folders share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import agreement_table
import fault_table
import parity_table
import pytest
from golden_cases import tiny_sd_icd_spec, tiny_sd_spec
from tiny_sdxl import make_tiny_sdxl

from icd_bench.diffusion.backbone import Backbone
from icd_bench.models import ModelSpec, local_model
from icd_bench.run.caches.cache import HOME_VARIABLE


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-table", type=Path, metavar="FILE",
        help="write the largest error of every golden case of the methods here (without xdist)",
    )  # fmt: skip
    parser.addoption(
        "--fault-table", type=Path, metavar="FILE",
        help="write the faults and bad inputs that were tried here (without xdist)",
    )  # fmt: skip
    parser.addoption(
        "--agreement-table", type=Path, metavar="FILE",
        help="write how far the metrics here are from their libraries (without xdist)",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(name): the fault that a test puts in")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name in (text for key, text in report.user_properties if key == "fault"):
        if report.when == "call" and not report.skipped:
            fault_table.note(str(name), report.passed)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if file := session.config.getoption("--fault-table"):
        file.write_text(fault_table.render(), encoding="utf-8")
    if file := session.config.getoption("--parity-table"):
        file.write_text(parity_table.render(), encoding="utf-8")
    if file := session.config.getoption("--agreement-table"):
        file.write_text(agreement_table.render(), encoding="utf-8")


@pytest.fixture(autouse=True)
def _named_fault(request: pytest.FixtureRequest, record_property: Any) -> None:
    """Put the fault that a test is marked with into its report."""
    if marker := request.node.get_closest_marker("fault"):
        record_property("fault", marker.args[0])


@pytest.fixture(scope="session", autouse=True)
def _cache_of_fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the inversions of what several tests share from the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test's inversions from the user and from other tests."""
    place = tmp_path_factory.getbasetemp() / "caches" / uuid4().hex
    monkeypatch.setenv(HOME_VARIABLE, str(place))


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


@pytest.fixture(scope="session")
def tiny_sdxl_spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """Every part of a Stable-Diffusion-XL-shaped model, at 32 pixels (latents 16x16)."""
    return local_model(make_tiny_sdxl(tmp_path_factory.mktemp("models") / "tiny-sdxl"))


@pytest.fixture(scope="session")
def tiny_sdxl(tiny_sdxl_spec: ModelSpec) -> Backbone:
    return Backbone.load(tiny_sdxl_spec)


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
