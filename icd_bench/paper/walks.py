"""From pictures to noise and back, along the jumps of DDIM or of a consistency model.

No torch is imported here: experiments are made of walks before any model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from icd_bench.diffusion.timestep_sets import START, TimestepSet, timestep_set

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone
    from icd_bench.diffusion.schedule import Schedule

ToldJump = tuple[int, int, int]
"""From timestep t to timestep s with the prediction at a third one, which the network is told."""


@dataclass(frozen=True)
class Guidance:
    """Classical guidance scale, applied up to the share tau of the noise time (sec. 3.3)."""

    scale: float = 1.0
    tau: float = 1.0

    def at(self, t: int) -> float:
        """Return the scale at timestep t: ``scale`` for t <= 1000 tau, else 1."""
        from icd_bench.diffusion.guidance import dynamic_guidance

        return dynamic_guidance(self.scale, t, self.tau, self.tau)


UNGUIDED: Final = Guidance()


@dataclass(frozen=True)
class Walk:
    """One network along its jumps, all the way up to noise or all the way down.

    Args:
        network: a backbone's network: ``base`` (guided by two evaluations), ``cfg_distilled`` or
            a consistency model, ``icd_forward:4a-plain`` ..
        steps: of DDIM; 0 for the jumps of a consistency model's timestep set.
        guidance: along the way.
    """

    network: str
    steps: int = 0
    guidance: Guidance = UNGUIDED

    @property
    def timesteps(self) -> TimestepSet:
        """The timestep set of a consistency model."""
        return timestep_set(self.network.partition(":")[2].partition("-")[0])

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of a model that the walk needs beside the pipeline."""
        if self.network == "base":
            return ("unet",)
        return tuple(dict.fromkeys(("unet", "cfg_distilled", self.network)))

    def up(self, schedule: Schedule) -> list[ToldJump]:
        """Return the jumps to noise."""
        if self.steps:
            return [(s, t, t) for t, s in reversed(schedule.ddim_jumps(self.steps))]
        return [(t, s, t) for t, s in self.timesteps.forward]

    def down(self, schedule: Schedule) -> list[ToldJump]:
        """Return the jumps to clean data."""
        jumps = schedule.ddim_jumps(self.steps) if self.steps else self.timesteps.reverse
        return [(t, s, t) for t, s in jumps]

    def rows(self, jumps: Sequence[ToldJump]) -> int:
        """Return the U-Net rows that one picture takes along ``jumps``."""
        twice = self.network == "base"
        return sum(1 + (twice and self.guidance.at(told) != 1) for *_, told in jumps)


@dataclass(frozen=True)
class Scenes:
    """B prompts, encoded, with the seeds of their noise."""

    text: Tensor
    """(B, L, D)."""
    null_text: Tensor
    """(B, L, D), the empty prompt."""
    seeds: Sequence[int]

    @classmethod
    def of(cls, backbone: Backbone, prompts: Sequence[str], seeds: Sequence[int]) -> Scenes:
        """Encode B prompts."""
        null = backbone.encode_prompts([""]).expand(len(prompts), -1, -1)
        return cls(backbone.encode_prompts(prompts), null, seeds)


def encode(backbone: Backbone, walk: Walk, clean: Tensor, scenes: Scenes) -> Tensor:
    """Return the noise (B, C, h, w) that clean latents are taken to.

    A consistency model starts from a little noise, t = 19, as the paper does.
    """
    from icd_bench.diffusion.noise import randn

    latents = clean
    if not walk.steps:
        noise = randn(scenes.seeds, backbone.latent_shape, "icd/start")
        latents = backbone.schedule.add_noise(clean, noise, START)
    for jump in walk.up(backbone.schedule):
        latents = take(backbone, walk, latents, jump, scenes)
    return latents


def draw(backbone: Backbone, scenes: Scenes) -> Tensor:
    """Return fresh noise (B, C, h, w), the same for a scene wherever it is drawn."""
    from icd_bench.diffusion.noise import randn

    return randn(scenes.seeds, backbone.latent_shape, "generation").to(backbone.device)


@dataclass
class Decoder:
    """Ways down from the same noise (B, C, h, w): what they have in common is walked once.

    Guidance is off at high noise, so walks of one network share their first jumps whatever they
    do later.
    """

    backbone: Backbone
    noise: Tensor
    scenes: Scenes
    _unguided: dict[Walk, list[Tensor]] = field(default_factory=dict)

    def __call__(self, walk: Walk) -> Tensor:
        """Return clean latents (B, C, h, w)."""
        jumps = walk.down(self.backbone.schedule)
        free = next(
            (i for i, (*_, told) in enumerate(jumps) if walk.guidance.at(told) != 1), len(jumps)
        )
        latents = self._after(Walk(walk.network, walk.steps), free)
        for jump in jumps[free:]:
            latents = take(self.backbone, walk, latents, jump, self.scenes)
        return latents

    def _after(self, walk: Walk, count: int) -> Tensor:
        """Return the latents after ``count`` unguided jumps."""
        known = self._unguided.setdefault(walk, [self.noise])
        for jump in walk.down(self.backbone.schedule)[len(known) - 1 : count]:
            known.append(take(self.backbone, walk, known[-1], jump, self.scenes))
        return known[count]


def take(backbone: Backbone, walk: Walk, latents: Tensor, jump: ToldJump, scenes: Scenes) -> Tensor:
    """Return the latents (B, C, h, w) after one jump."""
    import torch

    from icd_bench.diffusion.attention import Row

    t, s, told = jump
    network = backbone.network(walk.network)
    rows = [Row(sample) for sample in range(len(latents))]
    scale = walk.guidance.at(told)
    with torch.no_grad():
        if walk.network == "base":
            scales = torch.full((len(rows),), scale)
            prediction = network.guided(
                latents, told, scenes.text, scenes.null_text, rows, guidance_scale=scales
            )
        else:
            prediction = network(latents, told, scenes.text, rows, guidance_scale=scale)
    return backbone.schedule.jump(latents, prediction, t, s)
