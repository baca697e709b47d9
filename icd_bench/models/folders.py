"""Models in folders of diffusers pipelines, wherever they lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from icd_bench.diffusion.timestep_sets import RELEASED
from icd_bench.errors import UsageError
from icd_bench.models.parts import Part
from icd_bench.models.spec import ModelSpec

FAMILIES: Final = {
    "StableDiffusionPipeline": "sd",
    "LatentConsistencyModelPipeline": "sd",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusionInstructPix2PixPipeline": "instruct-pix2pix",
}
"""Pipelines of diffusers whose folders can be read, and the families of their models."""
NETWORK: Final = "diffusion_pytorch_model"
TEXT_MODEL: Final = "model"
ADAPTER_FILE: Final = "lcm/lora.safetensors"


def local_model(folder: Path, name: str = "", title: str = "") -> ModelSpec:
    """Return the model in a folder of the layout of :mod:`icd_bench.models`.

    Args:
        folder: holds ``model_index.json``.
        name: default the folder's name.
        title: default the folder's path.

    Raises:
        UsageError: the folder is no Stable-Diffusion-shaped diffusers pipeline.
    """
    folder = folder.resolve()
    index = _read_json(folder / "model_index.json")
    family = FAMILIES.get(str(index.get("_class_name")))
    if family is None:
        raise UsageError(
            f"{folder / 'model_index.json'}: _class_name is {index.get('_class_name')!r}; "
            f"only folders of {' and '.join(FAMILIES)} can be read"
        )
    unet, vae = (_read_json(folder / part / "config.json") for part in ("unet", "vae"))
    factor = 2 ** (len(vae["block_out_channels"]) - 1)
    return ModelSpec(
        name=name or folder.name,
        title=title or str(folder),
        family=family,
        resolution=int(unet["sample_size"]) * factor,
        parts=(*_found_parts(folder, family), *extra_parts(folder, _is_consistency_model(index))),
        root=folder,
    )


def pipeline_parts(
    family: str, tokenizer_files: tuple[str, ...] = ("vocab.json",), variant: str = ""
) -> tuple[Part, ...]:
    """Return the parts that every pipeline of a family has.

    Args:
        family: of the model.
        tokenizer_files: in each tokenizer's folder.
        variant: number type in the names of weight files, such as "fp16".
    """
    network, text = network_files(variant), _files(TEXT_MODEL, variant)
    encoders = ("", "_2") if family == "sdxl" else ("",)
    return (
        Part("unet", "unet", network),
        Part("vae", "vae", network),
        *(Part(f"text_encoder{n}", f"text_encoder{n}", text) for n in encoders),
        *(Part(f"tokenizer{n}", f"tokenizer{n}", tokenizer_files) for n in encoders),
        Part("scheduler", "scheduler", ("scheduler_config.json",)),
    )


def extra_parts(folder: Path, is_consistency_model: bool = False) -> tuple[Part, ...]:
    """Return the parts beyond the pipeline: set 4a always, other sets where they are present.

    Args:
        folder: of the model.
        is_consistency_model: its own U-Net is one, so no adapter makes it one.
    """
    adapters = [
        Part(f"icd_{direction}:{name}", f"icd/{file}", need=f"icd:{name}")
        for name in RELEASED
        for direction, file in adapter_files(name).items()
        if name == "4a" or (folder / "icd" / file).is_file()
    ]
    distilled = "unet_cfg_distilled"
    lcm = (
        Part("lcm", "unet", _present(folder / "unet", NETWORK), "lcm")
        if is_consistency_model
        else Part("lcm", ADAPTER_FILE, need="lcm")
    )
    distilled_files = _present(folder / distilled, NETWORK)
    base = Part("cfg_distilled", distilled, distilled_files, "icd")
    return base, *adapters, *_ablation_parts(folder), lcm


def adapter_files(timestep_set: str) -> dict[str, str]:
    """Return the released file names of a timestep set by direction."""
    jumps = RELEASED[timestep_set]
    return {"forward": jumps.forward_file, "reverse": jumps.reverse_file}


def network_files(variant: str = "") -> tuple[str, ...]:
    """Return the files of a diffusers network."""
    return _files(NETWORK, variant)


def _ablation_parts(folder: Path) -> list[Part]:
    """Return the adapters trained with other losses, each need one's own: ``icd_reverse:4a-plain``.

    They lie in ``icd/ablations/<losses>/`` under the released names.
    """
    ablations = folder / "icd" / "ablations"
    return [
        Part(
            f"icd_{direction}:{name}-{losses.name}",
            f"icd/ablations/{losses.name}/{file}",
            need=f"icd:{name}-{losses.name}",
        )
        for losses in sorted(ablations.glob("*"))
        for name in RELEASED
        for direction, file in adapter_files(name).items()
        if (losses / file).is_file()
    ]


def _found_parts(folder: Path, family: str) -> tuple[Part, ...]:
    """Return the pipeline's parts with the files as they are called in a folder."""
    parts = []
    for part in pipeline_parts(family):
        files = part.files
        if part.name.startswith("tokenizer"):
            files = tuple(sorted(p.name for p in (folder / part.path).glob("*.*"))) or files
        elif part.name != "scheduler":
            stem = TEXT_MODEL if part.name.startswith("text_encoder") else NETWORK
            files = _present(folder / part.path, stem)
        parts.append(Part(part.name, part.path, files))
    return tuple(parts)


def _is_consistency_model(index: dict[str, Any]) -> bool:
    scheduler = index.get("scheduler") or ()
    return "LCMScheduler" in scheduler or index["_class_name"] == "LatentConsistencyModelPipeline"


def _present(folder: Path, stem: str) -> tuple[str, ...]:
    """Return a network's files: those in half precision where there are no others."""
    whole, half = _files(stem), _files(stem, "fp16")
    only_half = not (folder / whole[-1]).is_file() and (folder / half[-1]).is_file()
    return half if only_half else whole


def _files(stem: str, variant: str = "") -> tuple[str, ...]:
    middle = f".{variant}" if variant else ""
    return "config.json", f"{stem}{middle}.safetensors"


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{file} is missing: {file.parent} is not a diffusers folder") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{file}: not a JSON object")
    return content
