"""Models that only some methods can use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from golden_cases import tiny_sd_spec

from icd_bench.diffusion.backbone import Backbone
from icd_bench.models import find_model


@pytest.fixture(scope="session")
def instructed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained InstructPix2Pix pipeline at 128 pixels, in the layout of the real one."""
    folder = tmp_path_factory.mktemp("models") / "tiny-instruct"
    root = tiny_sd_spec().root
    assert root is not None
    shutil.copytree(root, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"_class_name": "StableDiffusionInstructPix2PixPipeline", "image_encoder": [None] * 2}
    (folder / "model_index.json").write_text(json.dumps(index))
    config = UNet2DConditionModel.load_config(folder / "unet")
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config(config, in_channels=8, sample_size=16)
    unet.save_pretrained(folder / "unet")
    return folder


@pytest.fixture
def instructed(instructed_folder: Path) -> Backbone:
    return Backbone.load(find_model(str(instructed_folder)))
