"""Push: noise the picture, then denoise it towards the target prompt and away from the source.

SDEdit (arXiv:2108.01073) with the source prompt in the place of the empty one, so that guidance
points from what the picture shows to what it shall show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import Batch, Edits, Inversion, MethodInfo, Setting, edit_field, inversion_field

if TYPE_CHECKING:
    from icd_bench.diffusion.backbone import Backbone


class PushSetting(Setting):
    """Parameters of Push."""

    steps: int = inversion_field(20, "DDIM steps from pure noise", ge=2, le=1000)
    noised: int = inversion_field(12, "how many of them are run", ge=1, le=1000)
    guidance_scale: float = edit_field(4.0, "1 does not push", ge=1, le=30)


class Push:
    """Guidance from the source prompt to the target prompt."""

    info: ClassVar = MethodInfo(
        name="push",
        version="1",
        title="Push from source to target",
        paper="an example, after Meng et al., ICLR 2022, arXiv:2108.01073",
        sweep={"guidance_scale": (2.0, 4.0, 8.0)},
    )
    Setting: ClassVar = PushSetting

    def invert(self, backbone: Backbone, batch: Batch, setting: PushSetting) -> Inversion:
        """Noise the pictures to the first timestep that is run. No network is evaluated."""
        from icd_bench.diffusion.noise import randn

        start, _ = list(backbone.schedule.ddim_jumps(setting.steps))[-setting.noised]
        noise = randn(batch.seeds, backbone.latent_shape, "push").to(backbone.device)
        clean = backbone.encode_images(batch.images)
        return Inversion({"latents": backbone.schedule.add_noise(clean, noise, start)})

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[PushSetting],
    ) -> Edits:
        """Denoise B x K rows, each with its own scale; every row costs two evaluations a step."""
        import torch

        from icd_bench.diffusion.attention import Row

        rows = [Row(b, k) for b in range(len(batch)) for k in range(len(settings))]
        owners = [row.sample for row in rows]
        target = backbone.encode_prompts(batch.target_prompts)[owners]
        source = backbone.encode_prompts(batch.source_prompts)[owners]
        scale = torch.tensor([setting.guidance_scale for setting in settings] * len(batch))
        latents = inversion.tensors["latents"][owners]
        network, schedule = backbone.network("base"), backbone.schedule
        jumps = list(schedule.ddim_jumps(settings[0].steps))[-settings[0].noised :]
        with backbone.counting("edit", len(batch), len(settings)) as count:
            for step, (t, s) in enumerate(jumps):
                prediction = network.guided(
                    latents, t, target, source, rows, step=step, guidance_scale=scale
                )
                latents = schedule.jump(latents, prediction, t, s)
        images = backbone.decode_latents(latents).unflatten(0, (len(batch), len(settings)))
        return Edits(images, tuple(count.shared), tuple(map(tuple, count.own)))
