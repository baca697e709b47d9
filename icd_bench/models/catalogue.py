"""The models that are known by name, as data: hub repositories, files, sizes.

No commit is pinned: the authors publish none with their results. :mod:`icd_bench.models.pins` is
how a user pins one, and a run records the commits that lay in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Final

from icd_bench.models.folders import (
    adapter_files,
    extra_parts,
    local_model,
    network_files,
    pipeline_parts,
)
from icd_bench.models.parts import Part
from icd_bench.models.spec import ModelSpec

SD14: Final = "CompVis/stable-diffusion-v1-4"
SD15: Final = "stable-diffusion-v1-5/stable-diffusion-v1-5"
SDXL: Final = "stabilityai/stable-diffusion-xl-base-1.0"
SDXL_TURBO: Final = "stabilityai/sdxl-turbo"
LCM_SDXL: Final = "latent-consistency/lcm-sdxl"
LCM_DREAMSHAPER: Final = "SimianLuo/LCM_Dreamshaper_v7"
INSTRUCT_PIX2PIX: Final = "timbrooks/instruct-pix2pix"

RELEASED_SETS: Final = ("4a", "4b", "3")
"""Timestep sets that the authors of iCD published weights for."""

_TOKENIZER: Final = (
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
_SD_SIZES: Final = {"unet": "3.4 GB", "vae": "335 MB", "text_encoder": "492 MB"}
_SDXL_SIZES: Final = {
    "unet": "5.1 GB",
    "vae": "167 MB",
    "text_encoder": "246 MB",
    "text_encoder_2": "1.4 GB",
}


def models() -> dict[str, ModelSpec]:
    """Return the known models by name."""
    known = (
        _scenes(),
        _sd("sd14", SD14, "Stable Diffusion 1.4, 512x512"),
        _sd15(),
        _sdxl(),
        _sdxl_turbo(),
        _lcm_sdxl(),
        _lcm_dreamshaper(),
        _instruct_pix2pix(),
    )
    return {spec.name: spec for spec in known}


def _scenes() -> ModelSpec:
    folder = Path(str(files("icd_bench"))) / "weights" / "scenes"
    title = "Stable-Diffusion-shaped model of the embedded world, 64x64, shipped with the package"
    if (folder / "model_index.json").is_file():
        return local_model(folder, "scenes", title)
    parts = (*pipeline_parts("sd"), *extra_parts(folder))
    return ModelSpec("scenes", title, "sd", 64, parts, folder)


def _sd(name: str, repository: str, title: str, family: str = "sd") -> ModelSpec:
    parts = pipeline_parts(family, _TOKENIZER)
    return ModelSpec(name, title, family, 512, _on_hub(parts, repository, _SD_SIZES))


def _sd15() -> ModelSpec:
    pipeline = _sd("sd15", SD15, "Stable Diffusion 1.5 with the released iCD weights, 512x512")
    released = _released_icd("sd15", distilled_size="3.4 GB", adapter_size="about 270 MB")
    return replace(pipeline, parts=(*pipeline.parts, *released))


def _sdxl() -> ModelSpec:
    title = "Stable Diffusion XL base with the released iCD weights, 1024x1024"
    released = _released_icd("sdxl", distilled_size="about 10 GB", adapter_size="about 750 MB")
    return ModelSpec("sdxl", title, "sdxl", 1024, (*_sdxl_parts(SDXL), *released))


def _sdxl_turbo() -> ModelSpec:
    title = "Stable Diffusion XL distilled to 1 to 4 steps, 512x512"
    return ModelSpec("sdxl-turbo", title, "sdxl", 512, _sdxl_parts(SDXL_TURBO))


def _lcm_sdxl() -> ModelSpec:
    """SDXL whose U-Net is a consistency model; at the size that ReNoise was published with."""
    title = "Latent consistency model of Stable Diffusion XL, 768x768"
    unet = Part("unet", "", network_files("fp16"), "", _SDXL_SIZES["unet"], LCM_SDXL)
    others = (part for part in _sdxl_parts(SDXL) if part.name != "unet")
    return ModelSpec("lcm-sdxl", title, "sdxl", 768, (unet, *others, _as_lcm(unet)))


def _lcm_dreamshaper() -> ModelSpec:
    title = "Latent consistency model of Dreamshaper v7 (Stable Diffusion 1.5), 512x512"
    spec = _sd("lcm-dreamshaper", LCM_DREAMSHAPER, title)
    return replace(spec, parts=(*spec.parts, _as_lcm(spec.part("unet"))))


def _instruct_pix2pix() -> ModelSpec:
    title = "InstructPix2Pix, Stable Diffusion 1.5 trained to follow instructions, 512x512"
    return _sd("instruct-pix2pix", INSTRUCT_PIX2PIX, title, "instruct-pix2pix")


def _as_lcm(unet: Part) -> Part:
    """Return the part of a pipeline whose own U-Net is the consistency model."""
    return replace(unet, name="lcm", need="lcm")


def _released_icd(name: str, distilled_size: str, adapter_size: str) -> tuple[Part, ...]:
    """Return the guidance-distilled U-Net and the adapters of the authors of iCD."""
    distilled = Part(
        "cfg_distilled",
        "",
        network_files(),
        "icd",
        distilled_size,
        f"dbaranchuk/{name}-cfg-distill-unet",
    )
    adapters = (
        Part(
            f"icd_{direction}:{jumps}",
            file,
            (),
            f"icd:{jumps}",
            adapter_size,
            f"dbaranchuk/icd-lora-{name}",
        )
        for jumps in RELEASED_SETS
        for direction, file in adapter_files(jumps).items()
    )
    return distilled, *adapters


def _sdxl_parts(repository: str) -> tuple[Part, ...]:
    parts = pipeline_parts("sdxl", _TOKENIZER, variant="fp16")
    return _on_hub(parts, repository, _SDXL_SIZES)


def _on_hub(parts: tuple[Part, ...], repository: str, sizes: Mapping[str, str]) -> tuple[Part, ...]:
    def size(part: Part) -> str:
        return "1.6 MB" if part.name.startswith("tokenizer") else sizes.get(part.name, "1 KB")

    return tuple(replace(part, size=size(part), repository=repository) for part in parts)
