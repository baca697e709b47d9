"""Negative-prompt inversion (Miyake et al. 2023, arXiv 2305.16807), then Prompt-to-Prompt.

The embedding that null-text inversion would optimise is approximated by the source prompt's own:
guidance leads away from the source prompt. The source row's two predictions are then one and the
same, so it needs a single evaluation a step and retraces its DDIM inversion.
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
    NPI_EXAMPLE,
    PIE_BENCH,
    P2PEdit,
    P2PSetting,
    p2p_default,
    p2p_edit,
)

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone


class NPISetting(P2PSetting):
    """Parameters of NPI + P2P; defaults are those of PnP Inversion's evaluation."""

    steps: int = inversion_field(50, "DDIM steps, of inversion and edit each", ge=1, le=1000)
    guidance_scale: float = edit_field(7.5, "classical scale, 1 is unguided", ge=1, le=100)
    amplify: float = p2p_default("amplify", 2.0)


class NPI:
    """Invert in N unguided DDIM steps, edit in N steps guided away from the source prompt."""

    info: ClassVar = MethodInfo(
        name="npi",
        version="1",
        title="Negative-prompt inversion + Prompt-to-Prompt",
        paper="Miyake et al., 2023, arXiv:2305.16807",
        inversion=DDIM_INVERSION,
        noise_latents=NoiseLatents("trajectory", -1),
        defaults={"scenes": {"guidance_scale": 2.5}},
        presets={
            "paper": NPI_EXAMPLE,
            "pie-bench": PIE_BENCH,
        },
        sweep={"guidance_scale": (2.5, 5.0, 7.5), "cross_replace": (0.2, 0.4, 0.6, 0.8)},
    )
    Setting: ClassVar = NPISetting

    def invert(self, backbone: Backbone, batch: Batch, setting: NPISetting) -> Inversion:
        """Return x_0 .. x_T of unguided DDIM inversion."""
        return trace_by_ddim(backbone, batch, setting.steps)

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[NPISetting],
    ) -> Edits:
        """Sample from x_T: per sample one source row, and two rows for each setting."""
        edit = p2p_edit(backbone, batch, settings, settings[0].steps)
        with backbone.counting("edit", len(batch), len(settings)) as count:
            *_, latents = guided_steps(edit, inversion.tensors["trajectory"][:, -1], settings)
        return edit.finish(latents, count)


def guided_steps(
    edit: P2PEdit, latents: Tensor, settings: Sequence[NPISetting]
) -> Iterator[Tensor]:
    """Yield latents of all rows (R, C, h, w) after each step, LocalBlend included.

    Args:
        edit: rows, text and attention control.
        latents: x_T (B, C, h, w).
        settings: K settings with one number of steps.
    """
    backbone, schedule = edit.backbone, edit.backbone.schedule
    network = backbone.network("base")
    scale = edit.per_row(source=1.0, targets=[x.guidance_scale for x in settings])
    latents = edit.expand(latents)
    with backbone.controlled(edit.control):
        for step, (t, s) in enumerate(schedule.ddim_jumps(settings[0].steps)):
            prediction = network.guided(
                latents, t, edit.text, edit.source_text, edit.rows, step=step, guidance_scale=scale
            )
            jumped = schedule.jump(latents, prediction, t, s)
            latents = edit.control.after_step(step, jumped)
            yield latents
