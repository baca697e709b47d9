"""Invertible consistency distillation (Starodubcev et al. 2024, arXiv 2406.14539).

Two consistency models with the same m boundaries: the forward one takes a picture to noise in m
jumps, the reverse one back in m jumps (eq. 3), so 4 + 4 evaluations edit a picture. Both are LoRAs
on a guidance-distilled U-Net. Dynamic guidance (sec. 3.3) keeps guidance off at high noise, where
it would destroy the inversion. Edits are made with Prompt-to-Prompt (sec. 4.2); with Stable
Diffusion XL the prompt is switched instead: the source's at high noise, then the target's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self

from pydantic import model_validator

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
from icd_bench.diffusion.p2p_edit import (
    AmplifyWords,
    AttentionSetting,
    P2PEdit,
    edit_in_groups,
    p2p_default,
    p2p_edit,
    target_warnings,
    to_edits,
)
from icd_bench.diffusion.posterior import Posterior, encode, posterior_field
from icd_bench.diffusion.timestep_sets import timestep_set
from icd_bench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone


class ICDSetting(AttentionSetting):
    """Parameters of iCD editing; defaults are those of the official SD1.5 script."""

    timestep_set: Literal["4a", "4b", "3", "2"] = inversion_field(
        "4a", "boundaries of the jumps, as released: 4a is 259 519 779 999"
    )
    posterior: Posterior = posterior_field()
    editing: Literal["attention", "prompt_switch"] = edit_field(
        "attention",
        "attention: Prompt-to-Prompt or MasaCtrl, not with SDXL; prompt_switch: the source prompt "
        "above tau1, then the target's",
    )
    guidance_scale: float = edit_field(20.0, "classical scale, 1 is unguided", ge=1, le=100)
    tau1: float = edit_field(0.8, "full guidance up to this share of the noise time", ge=0, le=1)
    tau2: float | None = edit_field(
        None, "no guidance from this share on, linear between; default tau1: a step", ge=0, le=1
    )
    guidance_interval: tuple[int, int] | None = edit_field(
        None, "instead of tau: full guidance from the first to the second timestep, none elsewhere"
    )
    cross_replace: float = p2p_default("cross_replace", 0.3)
    amplify: float = p2p_default("amplify", 4.0)
    amplify_words: AmplifyWords = p2p_default("amplify_words", "new")
    blend_start: float = p2p_default("blend_start", 0.0)
    mutual_steps: int | tuple[int, ...] = p2p_default("mutual_steps", 1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.tau2 is not None and self.tau2 < self.tau1:
            raise ValueError(f"tau2={self.tau2} lies below tau1={self.tau1}")
        if self.guidance_interval and self.guidance_interval[0] > self.guidance_interval[1]:
            raise ValueError(f"guidance_interval={self.guidance_interval} ends before it starts")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The adapters of the timestep set."""
        return (f"icd:{self.timestep_set}",)

    def check_family(self, family: str) -> None:
        """Refuse attention control in Stable Diffusion XL."""
        if family == "sdxl" and self.editing == "attention":
            raise UsageError(
                "icd: editing=attention is not for Stable Diffusion XL; give editing=prompt_switch"
            )

    def guidance_at(self, t: int) -> float:
        """Return the guidance scale of the target row at timestep t."""
        from icd_bench.diffusion.guidance import dynamic_guidance, interval_guidance

        if self.guidance_interval:
            return interval_guidance(self.guidance_scale, t, *self.guidance_interval)
        tau2 = self.tau1 if self.tau2 is None else self.tau2
        return dynamic_guidance(self.guidance_scale, t, self.tau1, tau2)

    def follows_target_at(self, t: int) -> bool:
        """Return whether a switched prompt is the target's at timestep t already."""
        return t <= 1000 * self.tau1


SDXL: Final = {
    "timestep_set": "4b",
    "posterior": "sample",
    "editing": "prompt_switch",
    "tau1": 0.7,
}
"""Where the official SDXL script differs."""


class ICD:
    """Invert in m forward jumps, edit in m reverse jumps."""

    info: ClassVar = MethodInfo(
        name="icd",
        version="1",
        title="Invertible consistency distillation",
        paper="Starodubcev et al., NeurIPS 2024, arXiv:2406.14539",
        noise_latents=NoiseLatents(),
        needs=("icd",),
        defaults={
            "sdxl": SDXL,
            "scenes": {"guidance_scale": 8.0, "cross_replace": 0.2, "amplify": 1.0},
        },
        presets={
            "paper": Preset(
                "editing scripts of the official code",
                {"guidance_scale": 20.0, "tau1": 0.8, "cross_replace": 0.3, "self_replace": 0.6},
                by_model={"sdxl": SDXL},
            ),
        },
        sweep={
            "cross_replace": (0.2, 0.4, 0.6, 0.8),
            "self_replace": (0.25, 0.5, 0.75, 1.0),
        },
    )
    Setting: ClassVar = ICDSetting

    def invert(self, backbone: Backbone, batch: Batch, setting: ICDSetting) -> Inversion:
        """Encode, add a little noise (t = 19), and jump to t = 999."""
        from icd_bench.diffusion.noise import randn

        clean = encode(backbone, batch, setting.posterior)
        noise = randn(batch.seeds, backbone.latent_shape, "icd/start")
        start, _ = timestep_set(setting.timestep_set).forward[0]
        latents = backbone.schedule.add_noise(clean, noise, start)
        text = backbone.encode_prompts(batch.source_prompts)
        with backbone.counting("inversion", len(batch)) as count:
            *_, latents = forward_jumps(backbone, latents, text, setting)
        warnings = tuple(map(backbone.prompt_warnings, batch.source_prompts))
        return Inversion({"latents": latents}, tuple(count.shared), warnings)

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[ICDSetting],
    ) -> Edits:
        """Jump back from t = 999 with K guided target rows per sample.

        Attention control has an unguided source row per sample besides.

        Raises:
            UsageError: attention shall be controlled in Stable Diffusion XL.
        """
        for setting in settings:
            setting.check_family(backbone.family)

        def edit(group: Sequence[ICDSetting]) -> Edits:
            by = _edit_by_attention if group[0].editing == "attention" else _edit_by_switching
            return by(backbone, batch, inversion.tensors["latents"], group)

        return edit_in_groups(settings, lambda setting: setting.editing, edit)


def _edit_by_attention(
    backbone: Backbone, batch: Batch, latents: Tensor, settings: Sequence[ICDSetting]
) -> Edits:
    steps = len(timestep_set(settings[0].timestep_set).reverse)
    edit = p2p_edit(backbone, batch, settings, steps)
    with backbone.counting("edit", len(batch), len(settings)) as count:
        *_, latents = reverse_jumps(edit, latents, settings)
    return edit.finish(latents, count)


def _edit_by_switching(
    backbone: Backbone, batch: Batch, latents: Tensor, settings: Sequence[ICDSetting]
) -> Edits:
    with backbone.counting("edit", len(batch), len(settings)) as count:
        *_, latents = switched_jumps(backbone, batch, latents, settings)
    warnings = target_warnings(backbone, batch)
    return to_edits(backbone, latents, count, tuple((w,) * len(settings) for w in warnings))


def forward_jumps(
    backbone: Backbone, latents: Tensor, text: Tensor, setting: ICDSetting
) -> Iterator[Tensor]:
    """Yield latents (B, C, h, w) after each forward jump, from those at t = 19; unguided.

    Args:
        backbone: with the forward model of the setting's timestep set.
        latents: (B, C, h, w) at t = 19.
        text: (B, L, D) of the source prompts.
        setting: names the timestep set.
    """
    from icd_bench.diffusion.attention import Row

    network = backbone.network(f"icd_forward:{setting.timestep_set}")
    rows = [Row(sample) for sample in range(len(latents))]
    for t, s in timestep_set(setting.timestep_set).forward:
        prediction = network(latents, t, text, rows, guidance_scale=1.0)
        latents = backbone.schedule.jump(latents, prediction, t, s)
        yield latents


def reverse_jumps(
    edit: P2PEdit, latents: Tensor, settings: Sequence[ICDSetting]
) -> Iterator[Tensor]:
    """Yield latents of all rows (R, C, h, w) after each reverse jump, LocalBlend included.

    Args:
        edit: rows, text and attention control.
        latents: (B, C, h, w) at t = 999.
        settings: K settings with one timestep set.
    """
    backbone, name = edit.backbone, settings[0].timestep_set
    network = backbone.network(f"icd_reverse:{name}")
    latents = edit.expand(latents)
    with backbone.controlled(edit.control):
        for step, (t, s) in enumerate(timestep_set(name).reverse):
            scale = edit.per_row(source=1.0, targets=[x.guidance_at(t) for x in settings])
            prediction = network(latents, t, edit.text, edit.rows, step=step, guidance_scale=scale)
            jumped = backbone.schedule.jump(latents, prediction, t, s)
            latents = edit.control.after_step(step, jumped)
            yield latents


def switched_jumps(
    backbone: Backbone, batch: Batch, latents: Tensor, settings: Sequence[ICDSetting]
) -> Iterator[Tensor]:
    """Yield latents of the target rows (B K, C, h, w), sample-major, after each reverse jump.

    While t > 1000 tau1 the rows are told the words of the source prompt, then the target's. What
    is pooled from a text, where the network takes that, is the target's throughout.

    Args:
        backbone: with the reverse model of the settings' timestep set.
        batch: B samples.
        latents: (B, C, h, w) at t = 999.
        settings: K settings with one timestep set.
    """
    import torch

    from icd_bench.diffusion.attention import Row

    name, words = settings[0].timestep_set, backbone.text_encoder.length
    network = backbone.network(f"icd_reverse:{name}")
    rows = [Row(b, k) for b in range(len(batch)) for k in range(len(settings))]
    samples = [row.sample for row in rows]
    target = backbone.encode_prompts([batch.target_prompts[b] for b in samples])
    source = backbone.encode_prompts([batch.source_prompts[b] for b in samples])
    # A pooled text lies behind the words.
    source = torch.cat([source[:, :words], target[:, words:]], dim=1)

    latents = latents.to(backbone.device)[samples]
    for t, s in timestep_set(name).reverse:
        scale = torch.tensor([x.guidance_at(t) for x in settings] * len(batch))
        switched = torch.tensor([x.follows_target_at(t) for x in settings] * len(batch))
        text = torch.where(switched.to(target.device).reshape(-1, 1, 1), target, source)
        prediction = network(latents, t, text, rows, guidance_scale=scale)
        latents = backbone.schedule.jump(latents, prediction, t, s)
        yield latents
