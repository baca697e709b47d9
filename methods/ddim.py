"""DDIM inversion, then Prompt-to-Prompt (Song et al. 2020, arXiv 2010.02502; Hertz et al. 2022).

The plain baseline: the picture is inverted unguided with its prompt, then both prompts are sampled
from the same noise. Guidance drives the source row off its inversion, which is what null-text
inversion and its successors repair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import (
    Batch,
    Edits,
    Inversion,
    MethodInfo,
    NoiseLatents,
    Preset,
    edit_field,
    inversion_field,
)
from icd_bench.diffusion.ddim import DDIM_INVERSION, trace_by_ddim
from icd_bench.diffusion.p2p_edit import (
    PIE_BENCH,
    PIE_BENCH_MASACTRL,
    P2PEdit,
    SourcePromptSetting,
    edit_in_groups,
    p2p_default,
    p2p_edit,
    sizes_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone


class DDIMSetting(SourcePromptSetting):
    """Parameters of DDIM + P2P; defaults are those of PnP Inversion's evaluation."""

    steps: int = inversion_field(50, "DDIM steps, of inversion and edit each", ge=1, le=1000)
    guidance_scale: float = edit_field(7.5, "classical scale, 1 is unguided", ge=1, le=100)
    guide_source: bool = edit_field(
        True, "guide the source row as the target row (official code), or leave it unguided"
    )
    amplify: float = p2p_default("amplify", 2.0)
    self_downscale: int = edit_field(
        2,
        "self-attention is replaced in layers at least so many times smaller than the latents; "
        "4: as in Prompt-to-Prompt's own code (16x16 of 64x64)",
        ge=1,
        le=8,
    )

    @property
    def source_scale(self) -> float:
        """Guidance scale of the source row, which has none where its prompt is the null text."""
        guided = self.guide_source and self.source_prompt == "given"
        return self.guidance_scale if guided else 1.0


class DDIM:
    """Invert in N unguided DDIM steps, edit in N guided ones."""

    info: ClassVar = MethodInfo(
        name="ddim",
        version="1",
        title="DDIM inversion + Prompt-to-Prompt",
        paper="Song et al., ICLR 2021, arXiv:2010.02502; Hertz et al., arXiv:2208.01626",
        inversion=DDIM_INVERSION,
        noise_latents=NoiseLatents("trajectory", -1),
        defaults={"scenes": {"guidance_scale": 2.5}},
        presets={
            "paper": Preset(
                "Prompt-to-Prompt's examples",
                {
                    "cross_replace": 0.8,
                    "self_replace": 0.4,
                    "self_downscale": 4,
                    "amplify": 1.0,
                    "blend_start": 0.0,
                },
            ),
            "pie-bench": PIE_BENCH,
            "pie-bench-masactrl": PIE_BENCH_MASACTRL,
        },
        sweep={"guidance_scale": (1.0, 2.5, 5.0, 7.5), "cross_replace": (0.2, 0.4, 0.6, 0.8)},
    )
    Setting: ClassVar = DDIMSetting

    def invert(self, backbone: Backbone, batch: Batch, setting: DDIMSetting) -> Inversion:
        """Return x_0 .. x_T of unguided DDIM inversion."""
        return trace_by_ddim(backbone, setting.seen_by_source(batch), setting.steps)

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[DDIMSetting],
    ) -> Edits:
        """Sample source and target rows from x_T; settings of one source scale share a source."""
        seen = settings[0].seen_by_source(batch)

        def edit(group: Sequence[DDIMSetting]) -> Edits:
            sizes = sizes_of(backbone, group[0].self_downscale)
            edit = p2p_edit(backbone, seen, group, group[0].steps, sizes)
            with backbone.counting("edit", len(batch), len(group)) as count:
                *_, latents = guided_steps(edit, inversion.tensors["trajectory"][:, -1], group)
            return edit.finish(latents, count)

        return edit_in_groups(settings, lambda x: (x.source_scale, x.self_downscale), edit)


def guided_steps(
    edit: P2PEdit, latents: Tensor, settings: Sequence[DDIMSetting]
) -> Iterator[Tensor]:
    """Yield latents of all rows (R, C, h, w) after each step, LocalBlend included.

    Args:
        edit: rows, text and attention control.
        latents: x_T (B, C, h, w).
        settings: K settings with one number of steps and one source scale.
    """
    backbone, schedule = edit.backbone, edit.backbone.schedule
    network = backbone.network("base")
    null_text = backbone.encode_prompts([""]).expand_as(edit.text)
    scale = edit.per_row(settings[0].source_scale, [x.guidance_scale for x in settings])
    latents = edit.expand(latents)
    with backbone.controlled(edit.control):
        for step, (t, s) in enumerate(schedule.ddim_jumps(settings[0].steps)):
            prediction = network.guided(
                latents, t, edit.text, null_text, edit.rows, step=step, guidance_scale=scale
            )
            jumped = schedule.jump(latents, prediction, t, s)
            latents = edit.control.after_step(step, jumped)
            yield latents
