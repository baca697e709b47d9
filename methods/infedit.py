"""Inversion-free editing (InfEdit; Xu et al. 2023, arXiv 2312.04965) with a consistency model.

Virtual inversion: in the denoising diffusion consistent model (DDCM, sec. 3) any x_t of the source
is drawn from x0, so nothing is inverted. Along the way the target is led by how its prediction
differs from the source's (eq. 9)

    x0_hat = x0 + ((x_t - x_t^src) - sigma_t (eps - eps^src)) / alpha_t
    x_s    = alpha_s x0_hat + sqrt(eta) sigma_s noise + sqrt(1 - eta) sigma_s eps_hat

with eta = 1, so that eps_hat drops out, and one noise for all branches. The result is the last
x0_hat. Unified attention control (sec. 4) ties source and target together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self

from pydantic import model_validator

from icd_bench.api import (
    Batch,
    Edits,
    Inversion,
    MethodInfo,
    Preset,
    Setting,
    edit_field,
    inversion_field,
)
from icd_bench.diffusion.p2p_edit import edit_in_groups, target_warnings, to_edits
from icd_bench.diffusion.posterior import Posterior, encode, posterior_field

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.attention import UnifiedAttention, UnifiedEdit
    from icd_bench.diffusion.backbone import Backbone


class InfEditSetting(Setting):
    """Parameters of InfEdit.

    Defaults are those of its PIE-Bench evaluation, but for ``posterior`` and ``similarity``: there
    it draws from the posterior and has the released code's slips, as the presets do.
    """

    steps: int = inversion_field(12, "steps of the consistency model", ge=1, le=50)
    posterior: Posterior = posterior_field()
    guidance_scale: float = edit_field(2.3, "classical scale of the target", ge=1, le=100)
    source_scale: float = edit_field(1.0, "classical scale of the source", ge=1, le=100)
    negative_prompt: str = edit_field("", "what guidance leads the target away from")
    source_negative_prompt: str = edit_field("", "what guidance leads the source away from")
    eta: float = edit_field(1.0, "share of the variance that is fresh noise", ge=0, le=1)
    attention: bool = edit_field(True, "unified attention control; else virtual inversion alone")
    cross_replace: float = edit_field(
        0.7, "share of the steps in which cross-attention is the mutual branch's", ge=0, le=1
    )
    self_replace: float = edit_field(
        0.7, "share of the steps in which the layout is the source's", ge=0, le=1
    )
    similarity: Literal["aligned", "released"] = edit_field(
        "aligned",
        "how new words find their counterpart, and blend words their tokens: rightly, or as in the "
        "released code",
    )
    blend: bool = edit_field(True, "LocalBlend, where the sample has blend words of its target")
    keep_words: str = edit_field("", "words of the target prompt whose place stays the source's")
    blend_threshold: float = edit_field(
        0.55, "LocalBlend: attention above this share of its maximum may change", ge=0, le=1
    )
    keep_threshold: float = edit_field(
        0.6, "LocalBlend: attention to kept words above this share is kept", ge=0, le=1
    )

    @model_validator(mode="after")
    def _guides_the_target(self) -> Self:
        if self.source_scale > 1 and self.guidance_scale == 1:
            raise ValueError("source_scale above 1 needs a guidance_scale above 1")
        return self


PIE_BENCH: Final = Preset(
    "PIE-Bench script of the official code",
    {
        "steps": 12,
        "posterior": "sample",
        "source_scale": 1.0,
        "guidance_scale": 2.3,
        "cross_replace": 0.7,
        "self_replace": 0.7,
        "similarity": "released",
        "blend_threshold": 0.55,
        "keep_threshold": 0.6,
    },
)


class InfEdit:
    """Draw the source's states instead of inverting; lead the target along them."""

    info: ClassVar = MethodInfo(
        name="infedit",
        version="2",
        title="Inversion-free editing (virtual inversion + unified attention control)",
        paper="Xu et al., CVPR 2024, arXiv:2312.04965",
        needs=("lcm",),
        defaults={"scenes": {"cross_replace": 0.4}},
        presets={"paper": PIE_BENCH, "pie-bench": PIE_BENCH},
        sweep={
            "guidance_scale": (1.5, 2.3, 3.5, 5.0),
            "cross_replace": (0.3, 0.5, 0.7, 0.9),
            "self_replace": (0.3, 0.5, 0.7, 0.9),
        },
    )
    Setting: ClassVar = InfEditSetting

    def invert(self, backbone: Backbone, batch: Batch, setting: InfEditSetting) -> Inversion:
        """Encode the picture and draw the noises (B, N + 1, C, h, w); no network is evaluated."""
        from icd_bench.diffusion.noise import randn

        shape = (setting.steps + 1, *backbone.latent_shape)
        noise = randn(batch.seeds, shape, "infedit")
        latents = encode(backbone, batch, setting.posterior)
        warnings = tuple(map(backbone.prompt_warnings, batch.source_prompts))
        return Inversion({"latents": latents, "noise": noise}, (0,) * len(batch), warnings)

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[InfEditSetting],
    ) -> Edits:
        """Sample per sample a source row, K target rows, and their mutual rows where needed."""

        def edit(group: Sequence[InfEditSetting]) -> Edits:
            branches = infedit_branches(backbone, batch, group)
            with backbone.counting("edit", len(batch), len(group)) as count:
                *_, (_, x0) = consistent_steps(branches, inversion, group)
            targets = [row in branches.control.plans for row in branches.control.rows]
            return to_edits(backbone, x0[targets], count, branches.warnings)

        def source(setting: InfEditSetting) -> tuple[object, ...]:
            """Settings that agree in this share a source branch."""
            alone = setting if setting.eta < 1 else None
            return setting.source_scale, setting.source_negative_prompt, setting.attention, alone

        return edit_in_groups(settings, source, edit)


@dataclass
class Branches:
    """Rows, texts and attention of one edit call."""

    backbone: Backbone
    control: UnifiedAttention
    text: Tensor
    """(R, L, D) of all R = B (2 K + 1) rows."""
    null_text: Tensor
    """(R, L, D)"""
    prompt_warnings: Sequence[tuple[str, ...]]
    """B"""

    @property
    def warnings(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """B x K tuples of one-line warnings."""
        return tuple(
            tuple((*of_sample, *of_setting) for of_setting in of_control)
            for of_sample, of_control in zip(
                self.prompt_warnings, self.control.warnings, strict=True
            )
        )


def infedit_branches(
    backbone: Backbone, batch: Batch, settings: Sequence[InfEditSetting]
) -> Branches:
    """Return the branches that edit B samples with K settings of one source branch."""
    from icd_bench.diffusion.attention import UnifiedAttention

    control = UnifiedAttention(
        backbone.text_encoder.tokenizer,
        batch.source_prompts,
        [[_edit(batch, sample, setting) for setting in settings] for sample in range(len(batch))],
        settings[0].steps,
        backbone.encode_prompts(batch.source_prompts),
        backbone.encode_prompts(batch.target_prompts),
        sizes=backbone.attention_sizes,
        deterministic=settings[0].eta < 1,
    )
    prompts, null_prompts = [], []
    for row in control.rows:
        is_target = row in control.plans
        prompts.append((batch.target_prompts if is_target else batch.source_prompts)[row.sample])
        setting = settings[row.setting or 0]
        null_prompts.append(
            setting.negative_prompt if is_target else setting.source_negative_prompt
        )
    warnings = target_warnings(backbone, batch)
    text, null_text = backbone.encode_prompts(prompts), backbone.encode_prompts(null_prompts)
    return Branches(backbone, control, text, null_text, warnings)


def _edit(batch: Batch, sample: int, setting: InfEditSetting) -> UnifiedEdit:
    from icd_bench.diffusion.attention import UnifiedEdit

    limited = setting.attention and setting.blend
    return UnifiedEdit(
        target_prompt=batch.target_prompts[sample],
        cross_window=setting.cross_replace if setting.attention else 0,
        self_window=setting.self_replace,
        edited_words=batch.blend_words[sample].target if limited else (),
        kept_words=tuple(setting.keep_words.split()) if limited else (),
        edited_threshold=setting.blend_threshold,
        kept_threshold=setting.keep_threshold,
        similarity=setting.similarity,
    )


def consistent_steps(
    branches: Branches, inversion: Inversion, settings: Sequence[InfEditSetting]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (latents, x0_hat) of all rows, (R, C, h, w) each, after each step.

    LocalBlend acts on the latents; those of mutual rows that no longer matter mean nothing.

    Args:
        branches: rows, texts and attention.
        inversion: ``latents`` (B, C, h, w) and ``noise`` (B, N + 1, C, h, w), the first of which
            is every branch's start.
        settings: K settings of one source branch.
    """
    import torch

    from icd_bench.diffusion.attention import Row

    backbone, control = branches.backbone, branches.control
    network, schedule = backbone.network("lcm"), backbone.schedule
    index = {row: position for position, row in enumerate(control.rows)}
    samples = [row.sample for row in control.rows]
    source = [index[Row(sample)] for sample in samples]
    x0 = inversion.tensors["latents"].to(backbone.device)[samples]
    noise = inversion.tensors["noise"].to(backbone.device)[samples]
    eta, has_attention = settings[0].eta, settings[0].attention
    scale = torch.tensor(
        [
            settings[row.setting].guidance_scale
            if row.setting is not None and not row.mutual
            else settings[0].source_scale
            for row in control.rows
        ]
    )

    latents = noise[:, 0]
    for step, (t, s) in enumerate(schedule.lcm_jumps(settings[0].steps)):
        run = [
            position
            for row, position in index.items()
            if not row.mutual
            or (has_attention and control.has_mutual(Row(row.sample, row.setting), step))
        ]
        with backbone.controlled(control) if has_attention else nullcontext():
            prediction = network.guided(
                latents[run],
                t,
                branches.text[run],
                branches.null_text[run],
                [control.rows[position] for position in run],
                step=step,
                guidance_scale=scale[run],
            )
        # A mutual branch without a row of its own is the source branch.
        place = {position: i for i, position in enumerate(run)}
        of_row = [place.get(i, place[source[i]]) for i in range(len(control.rows))]
        eps = schedule.split(latents, prediction[of_row], t)[1]

        alpha_t, sigma_t = schedule.level(t, latents)
        alpha_s, sigma_s = schedule.level(s, latents)
        x_source, difference = latents[source], eps - eps[source]
        x0_hat = x0 + ((latents - x_source) - sigma_t * difference) / alpha_t
        eps_hat = difference + (x_source - alpha_t * x0) / sigma_t
        if eta < 1:
            # As released: the source branch goes on with the mutual branch's prediction.
            mutual = [index.get(Row(b, 0, mutual=True), 0) for b in samples]
            is_source = torch.tensor([i == j for i, j in enumerate(source)])
            eps_hat = torch.where(
                is_source.reshape(-1, 1, 1, 1).to(eps.device), eps_hat[mutual], eps_hat
            )
        latents = (
            alpha_s * x0_hat
            + (1 - eta) ** 0.5 * sigma_s * eps_hat
            + eta**0.5 * sigma_s * noise[:, step + 1]
        )
        if has_attention and step < settings[0].steps - 1:
            latents = control.blend(step, latents, float(alpha_t))
        yield latents, x0_hat
