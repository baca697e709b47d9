"""Edit-friendly DDPM inversion (Huberman-Spiegelglas et al. 2024, arXiv 2304.06140).

Every x_t is the picture with noise of its own, statistically independent of the others' (eq. 6);
the noise z_t that takes a DDPM sampler from one to the next (eq. 5) is then strongly tied to the
picture. Sampling with the target prompt and the same z edits it, alone or with Prompt-to-Prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from icd_bench.api import (
    Batch,
    Edits,
    Inversion,
    MethodInfo,
    Preset,
    edit_field,
    inversion_field,
)
from icd_bench.diffusion.p2p_edit import (
    PIE_BENCH,
    P2PEdit,
    P2PSetting,
    edit_in_groups,
    p2p_default,
    p2p_edit,
    sizes_of,
    target_warnings,
    to_edits,
)

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.attention import AttentionControl, Row
    from icd_bench.diffusion.backbone import Backbone
    from icd_bench.diffusion.schedule import Schedule
    from icd_bench.diffusion.timestep_sets import Jump

_TIMESTEPS_AT_ONCE = 8
"""Timesteps of an inversion that are evaluated together: as many rows as an edit of 8 settings."""


class EditFriendlySetting(P2PSetting):
    """Parameters of edit-friendly inversion; defaults are those of PnP Inversion's evaluation."""

    steps: int = inversion_field(50, "DDPM steps N", ge=1, le=1000)
    skip: int = inversion_field(12, "first steps that are left out; fewer edit more", ge=0, le=999)
    eta: float = inversion_field(
        1.0, "share of the DDPM variance that is noise; 1 is DDPM", gt=0, le=1
    )
    source_guidance_scale: float = inversion_field(
        1.0, "classical scale with the source prompt, 1 is unguided", ge=1, le=100
    )
    guidance_scale: float = edit_field(
        7.5, "classical scale with the target prompt, 1 is unguided", ge=1, le=100
    )
    p2p: bool = edit_field(True, "edit with Prompt-to-Prompt; its windows start after the skip")
    blend: bool = p2p_default("blend", False)

    @model_validator(mode="after")
    def _runs_a_step(self) -> Self:
        if self.skip >= self.steps:
            raise ValueError(f"skip={self.skip} leaves none of {self.steps} steps")
        return self


class EditFriendly:
    """Draw x_t, extract z_t, and sample N - skip steps with the same z and another prompt."""

    info: ClassVar = MethodInfo(
        name="edit_friendly",
        version="1",
        title="Edit-friendly DDPM inversion",
        paper="Huberman-Spiegelglas et al., CVPR 2024, arXiv:2304.06140",
        defaults={"scenes": {"guidance_scale": 2.5}},
        presets={
            "paper": Preset(
                "defaults of the official code",
                {
                    "steps": 100,
                    "skip": 36,
                    "source_guidance_scale": 3.5,
                    "guidance_scale": 15.0,
                    "p2p": False,
                },
            ),
            "paper-p2p": Preset(
                "the same with Prompt-to-Prompt",
                {
                    "steps": 100,
                    "skip": 12,
                    "source_guidance_scale": 3.5,
                    "guidance_scale": 9.0,
                    "cross_replace": 0.6,
                    "self_replace": 0.2,
                },
            ),
            "pie-bench": Preset(
                PIE_BENCH.source,
                {
                    "steps": 50,
                    "skip": 12,
                    "source_guidance_scale": 1.0,
                    "guidance_scale": 7.5,
                    "cross_replace": 0.4,
                    "self_replace": 0.6,
                    "mapper": "auto",
                },
            ),
        },
        sweep={"skip": (0, 6, 12, 18, 24), "guidance_scale": (5.0, 7.5, 10.0, 15.0)},
    )
    Setting: ClassVar = EditFriendlySetting

    def invert(self, backbone: Backbone, batch: Batch, setting: EditFriendlySetting) -> Inversion:
        """Return x_t and z_t of the steps that are run; each sample draws its own noise."""
        from icd_bench.diffusion.noise import randn

        x0 = backbone.encode_images(batch.images)
        steps = setting.steps - setting.skip
        noise = randn(batch.seeds, (steps, *backbone.latent_shape), "edit_friendly")
        with backbone.counting("inversion", len(batch)) as count:
            tensors = extract_noise(backbone, x0, noise, batch.source_prompts, setting)
        warnings = tuple(map(backbone.prompt_warnings, batch.source_prompts))
        return Inversion(tensors, tuple(count.shared), warnings)

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[EditFriendlySetting],
    ) -> Edits:
        """Sample B x K target rows, those with P2P beside one source row per sample."""

        def edit(group: Sequence[EditFriendlySetting]) -> Edits:
            sample = edit_with_p2p if group[0].p2p else edit_alone
            return sample(backbone, batch, inversion, group)

        return edit_in_groups(settings, lambda setting: setting.p2p, edit)


def edit_alone(
    backbone: Backbone, batch: Batch, inversion: Inversion, settings: Sequence[EditFriendlySetting]
) -> Edits:
    """Edit with the target prompt and the same z."""
    from icd_bench.diffusion.attention import AttentionControl, Row

    rows = [Row(b, k) for b in range(len(batch)) for k in range(len(settings))]
    text = backbone.encode_prompts([batch.target_prompts[row.sample] for row in rows])
    with backbone.counting("edit", len(batch), len(settings)) as count:
        *_, latents = sampled_steps(
            backbone, rows, text, AttentionControl(), inversion.tensors, settings
        )
    warnings = target_warnings(backbone, batch)
    return to_edits(backbone, latents, count, tuple((w,) * len(settings) for w in warnings))


def edit_with_p2p(
    backbone: Backbone, batch: Batch, inversion: Inversion, settings: Sequence[EditFriendlySetting]
) -> Edits:
    """Edit with attention of the source row as well."""
    edit = p2p_rows(backbone, batch, settings)
    with backbone.counting("edit", len(batch), len(settings)) as count:
        *_, latents = sampled_steps(
            backbone, edit.rows, edit.text, edit.control, inversion.tensors, settings
        )
    return edit.finish(latents, count)


def p2p_rows(backbone: Backbone, batch: Batch, settings: Sequence[EditFriendlySetting]) -> P2PEdit:
    """Return rows and control; self-attention is replaced up to a quarter of the latents' side."""
    return p2p_edit(backbone, batch, settings, settings[0].steps, sizes_of(backbone, 4))


def extract_noise(
    backbone: Backbone,
    x0: Tensor,
    noise: Tensor,
    prompts: Sequence[str],
    setting: EditFriendlySetting,
) -> dict[str, Tensor]:
    """Return ``latents`` x (B, n + 1, C, h, w) and ``noise`` z (B, n, C, h, w) of the n steps run.

    z[:, k] takes x[:, k + 1] to x[:, k]. The last one, z[:, 0], is zero, and x[:, 0] is not the
    picture but what the sampler then makes of x[:, 1]. Given the x, no evaluation needs another.

    Args:
        backbone: predicts with its network ``base``.
        x0: (B, C, h, w).
        noise: (B, n, C, h, w) of the x_t, the least noisy first.
        prompts: B source prompts; where one is empty, guidance would change nothing.
        setting: of edit-friendly inversion.
    """
    import torch

    from icd_bench.diffusion.attention import Row

    network, schedule = backbone.network("base"), backbone.schedule
    jumps = run_jumps(schedule, setting)[::-1]
    noisy = [schedule.add_noise(x0, noise[:, k], t) for k, (t, _) in enumerate(jumps)]
    x = torch.stack([x0, *noisy], 1)
    mean, z = torch.empty_like(x[:, 1:]), torch.empty_like(x[:, 1:])
    text, null_text = backbone.encode_prompts(prompts), backbone.encode_prompts([""])
    scale = torch.tensor([setting.source_guidance_scale if prompt else 1.0 for prompt in prompts])
    for steps in torch.arange(len(jumps)).split(_TIMESTEPS_AT_ONCE):
        b, k = (i.flatten() for i in torch.meshgrid(torch.arange(len(x)), steps, indexing="ij"))
        t, s = torch.tensor(jumps)[k].unbind(1)
        prediction = network.guided(
            x[b, k + 1],
            t,
            text[b],
            null_text.expand_as(text)[b],
            [Row(sample) for sample in b.tolist()],
            guidance_scale=scale[b],
        )
        mean[b, k], deviation = schedule.noisy_jump(x[b, k + 1], prediction, t, s, setting.eta)
        z[b, k] = (x[b, k] - mean[b, k]) / deviation
    z[:, 0], x[:, 0] = 0, mean[:, 0]
    return {"latents": x, "noise": z}


def sampled_steps(
    backbone: Backbone,
    rows: Sequence[Row],
    text: Tensor,
    control: AttentionControl,
    inversion: Mapping[str, Tensor],
    settings: Sequence[EditFriendlySetting],
) -> Iterator[Tensor]:
    """Yield latents (R, C, h, w) after each step that is run, counted from the skip on.

    A source row stays on the inversion, where its own z would keep it: it needs no guidance.

    Args:
        backbone: predicts with its network ``base``.
        rows: R rows, with or without source rows.
        text: (R, L, D).
        control: of attention.
        inversion: what :func:`extract_noise` returned.
        settings: K settings with the same inversion.
    """
    import torch

    network, schedule = backbone.network("base"), backbone.schedule
    x, z = (inversion[name].to(text) for name in ("latents", "noise"))
    null_text = backbone.encode_prompts([""]).expand_as(text)
    samples = [row.sample for row in rows]
    is_source = torch.tensor([row.setting is None for row in rows])
    scale = torch.tensor(
        [1.0 if row.setting is None else settings[row.setting].guidance_scale for row in rows]
    )
    latents = x[samples, -1]
    with backbone.controlled(control):
        for step, (t, s) in enumerate(run_jumps(schedule, settings[0])):
            k = z.shape[1] - 1 - step
            prediction = network.guided(
                latents, t, text, null_text, rows, step=step, guidance_scale=scale
            )
            mean, deviation = schedule.noisy_jump(latents, prediction, t, s, settings[0].eta)
            sampled = mean + deviation * z[samples, k]
            sampled[is_source] = x[samples, k][is_source]
            latents = control.after_step(step, sampled)
            yield latents


def run_jumps(schedule: Schedule, setting: EditFriendlySetting) -> list[Jump]:
    """Return the jumps (t, s) that the skip leaves, the noisiest first."""
    return schedule.ddim_jumps(setting.steps)[setting.skip :]
