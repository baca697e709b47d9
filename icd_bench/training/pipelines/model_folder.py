"""The trained model as a folder: ``--model FOLDER`` reads it as it is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from icd_bench.models import ModelSpec, Part
from icd_bench.models.folders import ADAPTER_FILE

_COMPONENTS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "sd": ("StableDiffusionPipeline", {"text_encoder": "CLIPTextModel"}),
    "sdxl": (
        "StableDiffusionXLPipeline",
        {"text_encoder": "CLIPTextModel", "text_encoder_2": "CLIPTextModelWithProjection"},
    ),
}
"""Pipeline class and text encoders of a family."""
DISTILLED: Final = "unet_cfg_distilled"
_WEIGHTS: Final = ".safetensors"


def link_model(spec: ModelSpec, folder: Path, without: Collection[str] = ()) -> None:
    """Put the present parts of a model into a folder of the layout of :mod:`icd_bench.models`.

    Weights are hard links where the disk has them, else copies; what is small is a copy, so that
    nobody who edits it edits the other model.

    Args:
        spec: of the model.
        folder: made if need be.
        without: needs whose parts are left out: "icd", or "icd:4a" alone.
    """
    for part in spec.parts:
        if {part.need, part.need.partition(":")[0]} & {*without} or not spec.has(part.name):
            continue
        source, target = spec.folder_of(part.name), folder / _place_of(part)
        if part.files:
            for name in part.files:
                _put(source / name, target / name)
        else:
            _put(source, target)
    index = folder / "model_index.json"
    index.write_text(json.dumps(_model_index(spec), indent=2) + "\n", encoding="utf-8")


def write_card(folder: Path, record: Mapping[str, Any], figures: Mapping[str, float]) -> None:
    """Write ``README.md``: what the model was trained with, and what it reached.

    Args:
        folder: of the model.
        record: settings of the run.
        figures: of the last validation.
    """
    reached = "\n".join(f"| {name} | {value:.4g} |" for name, value in figures.items())
    settings = json.dumps(record, indent=2)
    text = (
        f"# {record['model']}, trained with icd-bench\n\n"
        f"| validation | |\n|---|---|\n{reached}\n\n```json\n{settings}\n```\n"
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _place_of(part: Part) -> str:
    if part.name == "cfg_distilled":
        return DISTILLED
    if part.name.startswith("icd_") and not part.path.startswith("icd/"):  # as on the hub
        return f"icd/{part.path}"
    if part.name == "lcm" and not part.files:
        return ADAPTER_FILE
    return part.path


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == _WEIGHTS:
        _link(source, target)
    else:
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)


def _link(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _model_index(spec: ModelSpec) -> dict[str, Any]:
    """Return ``model_index.json`` of a family's pipeline, which diffusers reads as well."""
    kind, encoders = _COMPONENTS[spec.family]
    scheduler = spec.folder_of("scheduler") / "scheduler_config.json"
    tokenizers = {name.replace("text_encoder", "tokenizer"): "CLIPTokenizer" for name in encoders}
    return {
        "_class_name": kind,
        "_diffusers_version": version("diffusers"),
        "scheduler": ["diffusers", json.loads(scheduler.read_text())["_class_name"]],
        **{name: ["transformers", found] for name, found in (encoders | tokenizers).items()},
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        **({"safety_checker": [None, None]} if spec.family == "sd" else {}),
    }
