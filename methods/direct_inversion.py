"""Direct inversion, or PnP inversion (Ju et al. 2024, arXiv 2310.01506), then Prompt-to-Prompt.

Nothing is optimised: guidance may drive the source row off its inversion, because after every step
the row is put back on it (algorithm 1), and the target row is left alone. What the source row would
have become is thus never needed; it is evaluated once a step, for its attention.
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
    edit_field,
    inversion_field,
)
from icd_bench.diffusion.ddim import DDIM_INVERSION, trace_by_ddim
from icd_bench.diffusion.p2p_edit import (
    PIE_BENCH,
    PIE_BENCH_MASACTRL,
    P2PEdit,
    SourcePromptSetting,
    p2p_default,
    p2p_edit,
)

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone


class DirectInversionSetting(SourcePromptSetting):
    """Parameters of direct inversion + P2P; defaults are those of PnP Inversion's evaluation."""

    steps: int = inversion_field(50, "DDIM steps, of inversion and edit each", ge=1, le=1000)
    guidance_scale: float = edit_field(7.5, "classical scale, 1 is unguided", ge=1, le=100)
    amplify: float = p2p_default("amplify", 2.0)


class DirectInversion:
    """Invert in N unguided DDIM steps, edit in N guided ones beside the inversion."""

    info: ClassVar = MethodInfo(
        name="direct_inversion",
        version="1",
        title="Direct inversion + Prompt-to-Prompt",
        paper="Ju et al., ICLR 2024, arXiv:2310.01506",
        inversion=DDIM_INVERSION,
        noise_latents=NoiseLatents("trajectory", -1),
        defaults={"scenes": {"guidance_scale": 2.5}},
        presets={
            "paper": PIE_BENCH,
            "pie-bench": PIE_BENCH,
            "pie-bench-masactrl": PIE_BENCH_MASACTRL,
        },
        sweep={"guidance_scale": (2.5, 5.0, 7.5), "cross_replace": (0.2, 0.4, 0.6, 0.8)},
    )
    Setting: ClassVar = DirectInversionSetting

    def invert(
        self, backbone: Backbone, batch: Batch, setting: DirectInversionSetting
    ) -> Inversion:
        """Return z*_0 .. z*_T of unguided DDIM inversion."""
        return trace_by_ddim(backbone, setting.seen_by_source(batch), setting.steps)

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[DirectInversionSetting],
    ) -> Edits:
        """Sample from z*_T: per sample one source row, and two rows for each setting."""
        seen = settings[0].seen_by_source(batch)
        edit = p2p_edit(backbone, seen, settings, settings[0].steps)
        with backbone.counting("edit", len(batch), len(settings)) as count:
            *_, latents = guided_steps(edit, inversion.tensors["trajectory"], settings)
        return edit.finish(latents, count)


def guided_steps(
    edit: P2PEdit, trajectory: Tensor, settings: Sequence[DirectInversionSetting]
) -> Iterator[Tensor]:
    """Yield latents of all rows (R, C, h, w) after each step, LocalBlend included.

    Args:
        edit: rows, text and attention control.
        trajectory: z* (B, N + 1, C, h, w), from the picture to x_T.
        settings: K settings with one number of steps N.
    """
    backbone, schedule = edit.backbone, edit.backbone.schedule
    network, steps = backbone.network("base"), settings[0].steps
    null_text = backbone.encode_prompts([""]).expand_as(edit.text)
    scale = edit.per_row(source=1.0, targets=[x.guidance_scale for x in settings])
    latents = edit.expand(trajectory[:, steps])
    with backbone.controlled(edit.control):
        for step, (t, s) in enumerate(schedule.ddim_jumps(steps)):
            prediction = network.guided(
                latents, t, edit.text, null_text, edit.rows, step=step, guidance_scale=scale
            )
            jumped = schedule.jump(latents, prediction, t, s)
            rectified = edit.put_source(jumped, trajectory[:, steps - step - 1])
            latents = edit.control.after_step(step, rectified)
            yield latents
