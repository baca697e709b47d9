"""Golden cases and the tiny models they were computed with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import parity_table
import torch
from safetensors.torch import load_file
from torch import Tensor

from icd_bench.api import Batch, BlendWords
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.text_conditions import pack_text
from icd_bench.models import ModelSpec, Part, local_model

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Case:
    """One golden case: ``case.json`` and its tensors.

    Encoded pictures that several cases start from are kept once, in ``golden/x0.safetensors``;
    noise that a seed gives is drawn anew.
    """

    info: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def settings(self) -> dict[str, Any]:
        return self.info["settings"]

    @property
    def source_prompt(self) -> str:
        return self.info["source_prompt"]

    @property
    def target_prompt(self) -> str:
        return self.info.get("target_prompt", self.source_prompt)

    def batch(self, blend_words: BlendWords) -> Batch:
        """The case's prompts as a batch of one; its picture is given as latents."""
        return Batch(
            ids=(self.info["case"],),
            images=torch.zeros(1, 3, 512, 512),
            source_prompts=(self.source_prompt,),
            target_prompts=(self.target_prompt,),
            blend_words=(blend_words,),
            seeds=(0,),
        )


def read_case(name: str) -> Case:
    folder = GOLDEN / name
    info = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "tensors.safetensors")
    if "x0" in info:
        tensors["x0"] = load_file(GOLDEN / "x0.safetensors")[info["x0"]]
    if "noise_draws" in info:
        tensors["noise"] = drawn(**info["noise_draws"])
    return Case(info, tensors)


def drawn(seed: int, shape: list[int]) -> Tensor:
    """The noise (N, C, h, w) of N draws in a row."""
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([torch.randn(1, *shape[1:], generator=generator) for _ in range(shape[0])])


def thinned(state: Tensor) -> Tensor:
    """Every fourth row and column, which is what is kept of most intermediate states."""
    return state[..., ::4, ::4]


def tiny_sd_spec() -> ModelSpec:
    return local_model(GOLDEN / "tiny-sd")


def tiny_sd_icd_spec() -> ModelSpec:
    """The tiny guidance-distilled model; all timestep sets share one pair of adapters."""
    shared = [
        p for p in tiny_sd_spec().parts if p.name in ("text_encoder", "tokenizer", "scheduler")
    ]
    files = ("config.json", "diffusion_pytorch_model.safetensors")
    adapters = [
        Part(f"icd_{direction}:{name}", f"tiny-sd-icd-lora/{direction}.safetensors", need="icd")
        for name in ("4a", "4b", "3")
        for direction in ("forward", "reverse")
    ]
    parts = (
        Part("unet", "tiny-sd-icd/unet", files),
        Part("vae", "tiny-sd-icd/vae", files),
        *(Part(p.name, f"tiny-sd/{p.path}", p.files) for p in shared),
        Part("cfg_distilled", "tiny-sd-icd/unet", files, need="icd"),
        *adapters,
    )
    return ModelSpec("tiny-sd-icd", "golden", "sd", 512, parts, GOLDEN)


def is_own(name: str, part: Part) -> bool:
    return (GOLDEN / name / part.path).is_dir()


def tiny_sd_with_unet(name: str) -> ModelSpec:
    """The plain tiny model with what is kept of another; the U-Net is its consistency network."""
    kept = [
        Part(p.name, f"{name if is_own(name, p) else 'tiny-sd'}/{p.path}", p.files)
        for p in tiny_sd_spec().parts
        if not p.need
    ]
    files = ("config.json", "diffusion_pytorch_model.safetensors")
    own = (Part("unet", f"{name}/unet", files), Part("lcm", f"{name}/unet", files, need="lcm"))
    others = (part for part in kept if part.name != "unet")
    return ModelSpec(name, "golden", "sd", 512, (*own, *others), GOLDEN)


class StoredText:
    """A text encoder that knows the embeddings of a golden case.

    The tiny iCD model's own text encoder is not stored; that of ``tiny-sd`` is tested instead.
    """

    def __init__(self, backbone: Backbone, case: Case) -> None:
        self.tokenizer = backbone.text_encoder.tokenizer
        self.embeddings = {case.source_prompt: stored_text(case, "source")}
        if "target_embedding" in case.tensors:
            self.embeddings[case.target_prompt] = stored_text(case, "target")

    def __call__(self, prompts: list[str]) -> Tensor:
        return torch.stack([self.embeddings[prompt] for prompt in prompts])

    def warnings(self, prompt: str) -> tuple[str, ...]:
        return ()


def stored_text(case: Case, name: str) -> Tensor:
    """A text (L, D), with its pooled vector behind where there is one."""
    states, pooled = case.tensors[f"{name}_embedding"], case.tensors.get(f"{name}_pooled")
    return states if pooled is None else pack_text(states[None], pooled[None])[0]


def assert_close(actual: Tensor, expected: Tensor, atol: float) -> None:
    if actual.shape == expected.shape and actual.numel():
        parity_table.note(float((actual - expected).detach().abs().max()), atol)
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)
