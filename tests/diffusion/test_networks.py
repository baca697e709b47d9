"""Networks by name: what lies in the place of another one is refused before it is used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from icd_bench.diffusion.networks import Networks
from icd_bench.errors import UsageError
from icd_bench.models import ModelSpec, local_model


@pytest.fixture
def plain(small_spec: ModelSpec, tmp_path: Path) -> Path:
    """A model with a plain U-Net where the guidance-distilled one belongs."""
    assert small_spec.root is not None
    folder = Path(shutil.copytree(small_spec.root, tmp_path / "plain"))
    shutil.rmtree(folder / "unet_cfg_distilled")
    shutil.copytree(folder / "unet", folder / "unet_cfg_distilled")
    return folder


def networks(folder: Path) -> Networks:
    return Networks(local_model(folder), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("name", ["cfg_distilled", "icd_forward:4a", "icd_reverse:4a"])
def test_icd_is_never_built_on_a_plain_unet(name: str, plain: Path) -> None:
    with pytest.raises(UsageError, match=r"unet_cfg_distilled/config\.json: time_cond_proj_dim"):
        networks(plain)(name)


def test_networks_that_need_no_distilled_unet_still_load(plain: Path) -> None:
    """An LCM adapter may lie on a plain U-Net, and an LCM U-Net has an embedding of its own."""
    load = networks(plain)
    assert load("base").config.time_cond_proj_dim is None
    assert load("lcm").config.time_cond_proj_dim is None


def test_a_config_that_cannot_be_read_is_named(plain: Path) -> None:
    (plain / "unet_cfg_distilled" / "config.json").write_text("{")
    with pytest.raises(UsageError, match="not a readable diffusers U-Net"):
        networks(plain)("cfg_distilled")
