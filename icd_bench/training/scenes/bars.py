"""The bars of the embedded model, measured on its shipped files with the test scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor

from icd_bench.diffusion.attention import Row
from icd_bench.diffusion.backbone import Backbone
from icd_bench.diffusion.timestep_sets import START, Jump, timestep_set
from icd_bench.models import find_model
from icd_bench.training.machine import part_threads
from icd_bench.training.pictures import psnr, write_sheet

from .clip import attribute_hits, choose_captions
from .data import World, to_images
from .tokenizer import load_tokenizer

SCENES = 512
CHUNK = 32
GUIDANCE = 4.0
DRAWN_STEPS, INVERTED_STEPS = 20, 50
BARRED = ("kind", "colour", "background")
"""Attributes that generated pictures have to show."""


@dataclass(frozen=True)
class Bar:
    """A figure and what it has to reach."""

    name: str
    value: float
    least: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the figure reaches the bar."""
        return self.value >= self.least


@dataclass(frozen=True)
class Measurement:
    """Everything measured on one model folder."""

    scenes: int
    figures: dict[str, float]

    @property
    def bars(self) -> list[Bar]:
        """The bars in their order."""
        f = self.figures
        return [
            Bar("autoencoder_psnr", f["autoencoder_psnr"], 30.0, "dB"),
            Bar("clip_choice_of_32", f["clip_choice_of_32"], 0.95, "share"),
            *(Bar(f"generated_{n}", f[f"generated_{n}"], 0.85, "share") for n in BARRED),
            Bar("ddim50_psnr", f["ddim50_psnr"], f["autoencoder_psnr"] - 2, "dB"),
            Bar("icd_4a_psnr", f["icd_4a_psnr"], f["ddim50_psnr"] - 3, "dB"),
        ]

    def record(self) -> dict[str, Any]:
        """JSON value."""
        bars = {b.name: {"value": b.value, "least": b.least, "met": b.met} for b in self.bars}
        return {"scenes": self.scenes, "split": "test", "bars": bars, "figures": self.figures}


def measure(
    folder: Path, world: World, count: int = SCENES, sheets: Path | None = None
) -> Measurement:
    """Measure a model folder on the first ``count`` test scenes.

    Args:
        folder: in the shipped layout.
        world: the scenes, with their grammar.
        count: number of scenes.
        sheets: where validation pictures go; None writes none.
    """
    spec = find_model(str(folder))
    backbone = Backbone.load(spec)
    judge, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder / 'clip'}")
    judge.eval().float()
    tokenizer = load_tokenizer(folder / "tokenizer")
    pairs = list(world.pairs("test", 0, count))
    images = torch.cat([to_images(image[None]) for image, _ in pairs])
    captions = [caption for _, caption in pairs]

    text, null = backbone.encode_prompts(captions), backbone.encode_prompts([""])
    latents = in_parts(lambda rows: backbone.encode_images(images[rows]), count)
    made = {"autoencoder": in_parts(lambda rows: backbone.decode_latents(latents[rows]), count)}
    backbone.network("base")  # loaded before threads ask for it
    made["ddim50"] = in_parts(lambda rows: by_ddim(backbone, latents[rows], text[rows]), count)

    def icd(name: str) -> Callable[[slice], Tensor]:
        for direction in ("forward", "reverse"):
            backbone.network(f"icd_{direction}:{name}")
        return lambda rows: by_icd(backbone, latents[rows], text[rows], name)

    for name in ("4a", "4b", "3"):
        if spec.has(f"icd_forward:{name}"):
            made[f"icd_{name}"] = in_parts(icd(name), count)
    drawn = in_parts(lambda rows: generated(backbone, text[rows], null, rows.start), count)

    figures = {f"{name}_psnr": float(psnr(images, y).mean()) for name, y in made.items()}
    choices = choose_captions(judge, tokenizer, world, images, captions)
    figures["clip_choice_of_32"] = float(choices.mean())
    for prefix, pictures in (("true", images), ("generated", drawn)):
        hits = attribute_hits(judge, tokenizer, world, pictures, captions)
        figures |= {f"{prefix}_{name}": float(found.mean()) for name, found in hits.items()}
    if sheets is not None:
        rows = [images[:12], *(y[:12] for y in made.values()), drawn[:12]]
        write_sheet(sheets / "bars.png", rows)
    return Measurement(count, figures)


def in_parts(work: Callable[[slice], Tensor], count: int) -> Tensor:
    """``work`` on slices of ``count`` rows, side by side, put together again."""
    rows = [slice(at, min(at + CHUNK, count)) for at in range(0, count, CHUNK)]
    with torch.no_grad(), part_threads(2) as threads:
        return torch.cat(list(threads.map(torch.no_grad()(work), rows)))


def by_ddim(backbone: Backbone, latents: Tensor, text: Tensor) -> Tensor:
    """Pictures after unguided DDIM inversion in 50 steps and back."""
    jumps = backbone.schedule.ddim_jumps(INVERTED_STEPS)
    upwards = [(s, t, t) for t, s in reversed(jumps)]
    noisy = follow(backbone, "base", latents, text, upwards)
    back = follow(backbone, "base", noisy, text, asked(jumps))
    return backbone.decode_latents(back)


def by_icd(backbone: Backbone, latents: Tensor, text: Tensor, name: str) -> Tensor:
    """Pictures after unguided iCD inversion and back; one fixed noise at the start."""
    noise = torch.randn(1, *latents.shape[1:], generator=torch.Generator().manual_seed(0))
    start = backbone.schedule.add_noise(latents, noise.expand_as(latents), START)
    timesteps = timestep_set(name)
    noisy = follow(backbone, f"icd_forward:{name}", start, text, asked(timesteps.forward))
    back = follow(backbone, f"icd_reverse:{name}", noisy, text, asked(timesteps.reverse))
    return backbone.decode_latents(back)


def asked(jumps: Sequence[Jump]) -> list[tuple[int, int, int]]:
    """Jumps (t, s) with the timestep that the network is told: t."""
    return [(t, s, t) for t, s in jumps]


def follow(
    backbone: Backbone, name: str, latents: Tensor, text: Tensor,
    jumps: Sequence[tuple[int, int, int]],
) -> Tensor:  # fmt: skip
    """Jump from t to s, unguided, with the prediction that the network makes at a timestep."""
    network = backbone.network(name)
    rows = [Row(sample) for sample in range(len(latents))]
    scale = 1.0 if name.startswith("icd") else None
    for t, s, told in jumps:
        eps = network(latents, told, text, rows, guidance_scale=scale)
        latents = backbone.schedule.jump(latents, eps, t, s)
    return latents


def generated(backbone: Backbone, text: Tensor, null: Tensor, first: int) -> Tensor:
    """Pictures of captions at guidance 4 in 20 DDIM steps; scene n starts from noise of seed n."""
    shape = backbone.latent_shape
    latents = torch.stack(
        [
            torch.randn(shape, generator=torch.Generator().manual_seed(first + i))
            for i in range(len(text))
        ]
    )
    network, null = backbone.network("base"), null.expand_as(text)
    rows = [Row(sample) for sample in range(len(latents))]
    scale = torch.full((len(latents),), GUIDANCE)
    for t, s in backbone.schedule.ddim_jumps(DRAWN_STEPS):
        eps = network.guided(latents, t, text, null, rows, guidance_scale=scale)
        latents = backbone.schedule.jump(latents, eps, t, s)
    return backbone.decode_latents(latents)
