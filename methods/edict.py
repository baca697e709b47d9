"""EDICT (Wallace et al. 2023, arXiv 2211.12446): exact inversion by two coupled latents.

Two copies of the latents are kept. Each is moved by a DDIM step whose noise is predicted at the
other one, an affine coupling that can be undone exactly; after each step the two are mixed, so that
they stay together. Inversion undoes the steps with the source prompt, the edit makes them with the
target prompt; both are guided with one scale. EDICT's own Prompt-to-Prompt runs the source prompt
on the latents that are edited: there is no source branch that settings share.
"""

from __future__ import annotations

import math
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
    NoiseLatents,
    Preset,
    Setting,
    edit_field,
    inversion_field,
)
from icd_bench.diffusion.p2p_edit import NO_STEP, edit_in_groups, same_prompts, to_edits
from icd_bench.diffusion.posterior import Posterior, encode, posterior_field

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.attention import AttentionControl, Row
    from icd_bench.diffusion.backbone import Backbone
    from icd_bench.diffusion.schedule import Schedule

Pair = tuple["Tensor", "Tensor"]
"""The two coupled latents, (R, C, h, w) each."""


class EDICTSetting(Setting):
    """Parameters of EDICT; defaults are those of the official code."""

    posterior: Posterior = posterior_field()
    steps: int = inversion_field(50, "DDIM steps from pure noise", ge=1, le=1000)
    strength: float = inversion_field(0.8, "share of the steps that are undone", gt=0, le=1)
    guidance_scale: float = inversion_field(
        3.0, "classical scale of inversion and edit, 1 is unguided", ge=1, le=100
    )
    mix_weight: float = inversion_field(0.93, "p of the mixing layers, 1 is unmixed", gt=0.5, le=1)
    leapfrog: bool = inversion_field(True, "let the latents take turns in being moved first")
    interpolation: Literal["linear", "exchanged"] = inversion_field(
        "linear", "of noise levels between timesteps; exchanged: with the official code's weights"
    )
    attention: Literal["none", "p2p"] = edit_field("none", "p2p: EDICT's Prompt-to-Prompt")
    cross_window: tuple[float, float] = edit_field(
        (0.0, 1.0), "p2p: first and last t / 1000 at which cross-attention is the source prompt's"
    )
    self_window: tuple[float, float] = edit_field(
        (0.0, 1.0), "p2p: first and last t / 1000 at which self-attention is the source prompt's"
    )
    amplify: float = edit_field(
        1.0, "p2p: factor on the attention to the target's blend words, at all steps", ge=0, le=100
    )

    @model_validator(mode="after")
    def _has_windows(self) -> Self:
        for name in ("cross_window", "self_window"):
            first, last = getattr(self, name)
            if not 0 <= first <= last <= 1:
                raise ValueError(f"{name}={first}, {last}: give 0 <= first <= last <= 1")
        return self


OFFICIAL: Final = Preset(
    "official code, also on PIE-Bench",
    {
        "posterior": "sample",
        "steps": 50,
        "strength": 0.8,
        "guidance_scale": 3.0,
        "mix_weight": 0.93,
    },
)


class EDICT:
    """Undo S guided coupled steps with the source prompt, make them with the target prompt."""

    info: ClassVar = MethodInfo(
        name="edict",
        version="1",
        title="EDICT",
        paper="Wallace et al., CVPR 2023, arXiv:2211.12446",
        noise_latents=NoiseLatents("pair"),
        defaults={"scenes": {"guidance_scale": 2.0}},
        presets={"paper": OFFICIAL, "pie-bench": OFFICIAL},
        sweep={"strength": (0.5, 0.6, 0.7, 0.8), "guidance_scale": (2.0, 3.0, 4.0)},
    )
    Setting: ClassVar = EDICTSetting

    def invert(self, backbone: Backbone, batch: Batch, setting: EDICTSetting) -> Inversion:
        """Return the pair (B, 2, C, h, w) at the strength's noise, both from the picture."""
        import torch

        latents = encode(backbone, batch, setting.posterior)
        with backbone.counting("inversion", len(batch)) as count:
            *_, pair = inversion_steps(backbone, latents, batch.source_prompts, setting)
        warnings = tuple(map(backbone.prompt_warnings, batch.source_prompts))
        return Inversion({"pair": torch.stack(pair, 1)}, tuple(count.shared), warnings)

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[EDICTSetting],
    ) -> Edits:
        """Denoise a pair for each sample and setting; the first of the two is the result."""
        from icd_bench.diffusion.cost import RowCount

        def edit(group: Sequence[EDICTSetting]) -> Edits:
            cells = Cells.of(backbone, batch, group)
            with backbone.counting("edit", len(cells.samples), 1) as count:
                *_, (latents, _) = edit_steps(cells, inversion.tensors["pair"], group[0])
            # Every cell was counted as a sample of its own: nothing is shared.
            rows = [shared + own for shared, (own,) in zip(count.shared, count.own, strict=True)]
            of_cells = RowCount.zero("edit", len(batch), len(group))
            of_cells.own = [rows[i : i + len(group)] for i in range(0, len(rows), len(group))]
            return to_edits(backbone, latents, of_cells, cells.warnings)

        return edit_in_groups(settings, lambda setting: setting.attention, edit)


@dataclass(frozen=True)
class CoupledStep:
    """One denoising step of the pair."""

    index: int
    t: int
    abar_t: float
    abar_s: float
    """Of the time that it goes to, which need not be whole."""
    first: int
    """Which latent is moved first, 0 or 1."""

    @property
    def order(self) -> tuple[int, int]:
        """The latents in the order in which they are moved."""
        return self.first, 1 - self.first

    @property
    def moves(self) -> bool:
        """False for the last step, at t = 0, which only mixes."""
        return self.abar_t != self.abar_s

    @property
    def coefficients(self) -> tuple[float, float]:
        """a and b of the DDIM step x_s = a x_t + b eps."""
        a = math.sqrt(self.abar_s / self.abar_t)
        return a, math.sqrt(1 - self.abar_s) - a * math.sqrt(1 - self.abar_t)


def coupled_steps(schedule: Schedule, setting: EDICTSetting) -> list[CoupledStep]:
    """Return the steps that a setting runs, from the most noise to the least.

    Timesteps have no offset and end at 0; where N does not divide T there are more than N of them.
    """
    total, abar = len(schedule), schedule.alphas_cumprod.tolist()

    def level(time: float) -> float:
        if time <= 0:
            return float(abar[0])
        below, share = int(time), time - int(time)
        if share and setting.interpolation == "exchanged":
            share = 1 - share
        above = min(below + 1, total - 1)
        return float(abar[below] + share * (abar[above] - abar[below]))

    spaced = list(range(0, total, total // setting.steps))[::-1]
    timesteps = spaced[setting.steps - int(setting.steps * setting.strength) :]
    return [
        CoupledStep(
            index, t, abar[t], level(t - total / setting.steps), index % 2 * setting.leapfrog
        )
        for index, t in enumerate(timesteps)
    ]


def inversion_steps(
    backbone: Backbone, latents: Tensor, prompts: Sequence[str], setting: EDICTSetting
) -> Iterator[Pair]:
    """Yield the pair before the first and after each undone step.

    Args:
        backbone: predicts with its network ``base``.
        latents: x0 (B, C, h, w).
        prompts: B source prompts.
        setting: its inversion fields.
    """
    from icd_bench.diffusion.attention import Row

    rows = [Row(sample) for sample in range(len(latents))]
    predict = Predictor(backbone, rows, list(prompts), [setting.guidance_scale] * len(rows))
    pair, p = [latents, latents], setting.mix_weight
    yield pair[0], pair[1]
    for step in reversed(coupled_steps(backbone.schedule, setting)):
        pair[1] = (pair[1] - (1 - p) * pair[0]) / p
        pair[0] = (pair[0] - (1 - p) * pair[1]) / p
        if step.moves:
            a, b = step.coefficients
            for k in reversed(step.order):
                pair[k] = (pair[k] - b * predict(pair[1 - k], step)) / a
        yield pair[0], pair[1]


def edit_steps(cells: Cells, pair_at_noise: Tensor, setting: EDICTSetting) -> Iterator[Pair]:
    """Yield the pair before the first and after each step.

    Args:
        cells: B x K cells.
        pair_at_noise: of the inversion, (B, 2, C, h, w).
        setting: its inversion fields.
    """
    start = pair_at_noise.to(cells.predict.backbone.device)[cells.samples]
    pair, p = [start[:, 0], start[:, 1]], setting.mix_weight
    yield pair[0], pair[1]
    for step in coupled_steps(cells.predict.backbone.schedule, setting):
        if step.moves:
            a, b = step.coefficients
            for k in step.order:
                pair[k] = a * pair[k] + b * cells.predict(pair[1 - k], step)
        pair[0] = p * pair[0] + (1 - p) * pair[1]
        pair[1] = (1 - p) * pair[0] + p * pair[1]
        yield pair[0], pair[1]


@dataclass(frozen=True)
class Predictor:
    """Predicts guided noise for latents of R rows, each with a prompt and a scale of its own."""

    backbone: Backbone
    rows: Sequence[Row]
    prompts: Sequence[str]
    guidance_scale: Sequence[float]
    control: AttentionControl | None = None
    """Takes attention from the source prompts, which are run on the same latents,"""
    source_prompts: Sequence[str] = ()
    """R of them; none without a control."""

    def __call__(self, latents: Tensor, step: CoupledStep) -> Tensor:
        """Return eps (R, C, h, w) at the step's timestep."""
        import torch

        from icd_bench.diffusion.attention import Row

        sources = [Row(row.sample) for row in self.rows[: len(self.source_prompts)]]
        text = self.backbone.encode_prompts([*self.source_prompts, *self.prompts])
        with nullcontext() if self.control is None else self.backbone.controlled(self.control):
            prediction = self.backbone.network("base").guided(
                torch.cat([latents[: len(sources)], latents]),
                step.t,
                text,
                self.backbone.encode_prompts([""]).expand_as(text),
                [*sources, *self.rows],
                step=step.index,
                guidance_scale=torch.tensor([1.0] * len(sources) + [*self.guidance_scale]),
            )
        return self.backbone.schedule.split(latents, prediction[len(sources) :], step.t)[1]


@dataclass(frozen=True)
class Cells:
    """B x K edits as that many samples of one setting each, sample-major."""

    samples: list[int]
    """Which of the B each cell edits."""
    predict: Predictor
    warnings: tuple[tuple[tuple[str, ...], ...], ...]
    """B x K."""

    @classmethod
    def of(cls, backbone: Backbone, batch: Batch, settings: Sequence[EDICTSetting]) -> Cells:
        """Make the cells of settings that all have Prompt-to-Prompt, or all have not."""
        from icd_bench.diffusion.attention import Row

        size = len(settings)
        samples = [b for b in range(len(batch)) for _ in settings]
        sources = [batch.source_prompts[b] for b in samples]
        targets = [batch.target_prompts[b] for b in samples]
        if settings[0].attention == "p2p":
            control = _prompt_to_prompt(backbone, batch, settings)
            notes = [of_cell for (of_cell,) in control.warnings]
        else:
            control, notes = None, list(map(backbone.prompt_warnings, targets))
        predict = Predictor(
            backbone,
            [Row(cell, 0) for cell in range(len(samples))],
            targets,
            [setting.guidance_scale for setting in settings] * len(batch),
            control,
            sources if control else (),
        )
        moves = any(step.moves for step in coupled_steps(backbone.schedule, settings[0]))
        still = () if moves else (NO_STEP,)
        warnings = [
            (*same_prompts(source, target), *note, *still)
            for source, target, note in zip(sources, targets, notes, strict=True)
        ]
        of_sample = tuple(tuple(warnings[i : i + size]) for i in range(0, len(warnings), size))
        return cls(samples, predict, of_sample)


def _prompt_to_prompt(
    backbone: Backbone, batch: Batch, settings: Sequence[EDICTSetting]
) -> AttentionControl:
    """Return EDICT's Prompt-to-Prompt: in all layers, with windows in noise time."""
    from icd_bench.diffusion.attention import AttentionSizes, PromptEdit, PromptToPrompt
    from icd_bench.diffusion.attention.noise_time import NoiseTimePlanner

    tokenizer = backbone.text_encoder.tokenizer
    schedule = backbone.schedule
    times = [step.t / len(schedule) for step in coupled_steps(schedule, settings[0])]
    edits = [
        [
            PromptEdit(
                target,
                cross_window=setting.cross_window,
                self_window=setting.self_window,
                weights=dict.fromkeys(words.target, setting.amplify)
                if setting.amplify != 1
                else {},
            )
        ]
        for target, words in zip(batch.target_prompts, batch.blend_words, strict=True)
        for setting in settings
    ]
    return PromptToPrompt(
        tokenizer,
        [source for source in batch.source_prompts for _ in settings],
        edits,
        num_steps=len(times),
        sizes=AttentionSizes(self_tokens=backbone.latent_shape[-1] * backbone.latent_shape[-2]),
        planner=NoiseTimePlanner(tokenizer, times, tokenizer.model_max_length),
    )
