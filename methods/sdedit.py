"""SDEdit (Meng et al. 2021, arXiv 2108.01073): noise the picture, denoise it with the target.

The strength says how far: 0 is the picture, 1 is generation from noise. The source prompt is not
used and nothing is inverted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from icd_bench.api import Batch, Edits, Inversion, MethodInfo, Setting, edit_field, inversion_field
from icd_bench.diffusion.p2p_edit import NO_STEP, target_warnings, to_edits
from icd_bench.diffusion.posterior import Posterior, encode, posterior_field

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone


class SDEditSetting(Setting):
    """Parameters of SDEdit."""

    steps: int = inversion_field(50, "steps from pure noise", ge=1, le=1000)
    sampler: Literal["ddim", "euler_ancestral"] = inversion_field(
        "ddim", "ddim: SD, SDXL; euler_ancestral: SDXL-Turbo"
    )
    posterior: Posterior = posterior_field()
    strength: float = edit_field(0.7, "share of the steps that are run", ge=0, le=1)
    guidance_scale: float = edit_field(7.5, "classical scale, 1 is unguided", ge=1, le=100)

    @property
    def run_steps(self) -> int:
        """Number of the last steps that are run."""
        return int(self.steps * self.strength)


class SDEdit:
    """Noise to the strength's timestep, then sample with the target prompt."""

    info: ClassVar = MethodInfo(
        name="sdedit",
        version="1",
        title="SDEdit",
        paper="Meng et al., ICLR 2022, arXiv:2108.01073",
        defaults={
            "scenes": {"strength": 0.8, "guidance_scale": 4.0},
            "sdxl-turbo": {
                "sampler": "euler_ancestral",
                "steps": 4,
                "strength": 0.5,
                "guidance_scale": 1.0,
            },
        },
        sweep={"strength": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)},
    )
    Setting: ClassVar = SDEditSetting

    def invert(self, backbone: Backbone, batch: Batch, setting: SDEditSetting) -> Inversion:
        """Encode the picture and draw all noise; no network is evaluated."""
        from icd_bench.diffusion.noise import randn

        shape = backbone.latent_shape
        tensors = {
            "latents": encode(backbone, batch, setting.posterior),
            "noise": randn(batch.seeds, shape, "sdedit"),
        }
        if setting.sampler == "euler_ancestral":
            tensors["step_noise"] = randn(batch.seeds, (setting.steps, *shape), "sdedit/steps")
        return Inversion(tensors, (0,) * len(batch))

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[SDEditSetting],
    ) -> Edits:
        """Sample B x K target rows, each from its own strength's noise."""
        with backbone.counting("edit", len(batch), len(settings)) as count:
            *_, latents = denoising_steps(backbone, batch, inversion, settings)
        own = [() if setting.run_steps else (NO_STEP,) for setting in settings]
        warnings = tuple(
            tuple((*of_sample, *of_setting) for of_setting in own)
            for of_sample in target_warnings(backbone, batch)
        )
        return to_edits(backbone, latents, count, warnings)


def denoising_steps(
    backbone: Backbone, batch: Batch, inversion: Inversion, settings: Sequence[SDEditSetting]
) -> Iterator[Tensor]:
    """Yield latents (B * K, C, h, w), sample-major, before the first and after each step.

    A row runs the last ``run_steps`` of the N steps; until then it is the clean picture.

    Args:
        backbone: predicts with its network ``base``.
        batch: B samples.
        inversion: ``latents`` and ``noise`` (B, C, h, w); ``step_noise`` (B, N, C, h, w), where
            the sampler draws any.
        settings: K settings with equal inversion fields.
    """
    import torch

    from icd_bench.diffusion.attention import Row
    from icd_bench.diffusion.samplers import make_sampler

    sampler = make_sampler(settings[0].sampler, backbone.schedule)
    network, schedule = backbone.network("base"), backbone.schedule
    rows = [Row(b, k) for b in range(len(batch)) for k in range(len(settings))]
    samples = [row.sample for row in rows]
    x0 = inversion.tensors["latents"].to(backbone.device)[samples]
    noise = inversion.tensors["noise"].to(backbone.device)[samples]
    # A deterministic sampler takes a noise, and leaves it alone.
    step_noise = inversion.tensors.get("step_noise", inversion.tensors["noise"][:, None])
    step_noise = step_noise.to(backbone.device).expand(-1, settings[0].steps, -1, -1, -1)
    text = backbone.encode_prompts([batch.target_prompts[b] for b in samples])
    null_text = backbone.encode_prompts([""]).expand_as(text)
    scale = torch.tensor([x.guidance_scale for x in settings] * len(batch))
    steps = settings[0].steps
    first = torch.tensor([steps - x.run_steps for x in settings] * len(batch))

    latents = x0
    yield latents
    for step, jump in enumerate(sampler.jumps(steps)):
        t = jump[0]
        run = (first <= step).nonzero().flatten()
        if not len(run):
            continue
        starts = (first == step).reshape(-1, 1, 1, 1).to(backbone.device)
        latents = torch.where(starts, schedule.add_noise(x0, noise, t), latents)
        prediction = network.guided(
            latents[run],
            t,
            text[run],
            null_text[run],
            [rows[i] for i in run],
            guidance_scale=scale[run],
        )
        eps = schedule.split(latents[run], prediction, t)[1]
        fresh = step_noise[[samples[i] for i in run], step]
        moved = sampler.step(latents[run], eps, jump, fresh)
        latents = latents.index_copy(0, run.to(backbone.device), moved)
        yield latents
