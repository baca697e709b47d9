"""Accelerated iterative diffusion inversion (AIDI, Pan et al. 2023, arXiv 2309.04907), then P2P.

A DDIM step is undone exactly by the z_t that solves z_t = f(z_t), where f(z) takes z_{t-1} to t by
the noise predicted at z itself. Plain DDIM inversion is one iteration of f from z_{t-1}; here the
iteration goes on, accelerated by Anderson's method (AIDI_A) or by the mean of the last two values
of f (AIDI_E), and ends for each picture when it stands still. Without acceleration this is
fixed-point inversion (Meiri et al. 2023, arXiv 2312.12540). In the edit, blended guidance is strong
where the words that change are attended to, and weak elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from icd_bench.api import (
    Batch,
    Edits,
    Inversion,
    MethodInfo,
    NoiseLatents,
    edit_field,
    inversion_field,
)
from icd_bench.diffusion.p2p_edit import P2PEdit, P2PSetting, p2p_default, p2p_edit

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone

FixedPointMap = Callable[["Tensor", Sequence[int]], "Tensor"]
"""f(z (n, C, h, w), which n of the pictures they are), like z."""


class AIDISetting(P2PSetting):
    """Parameters of AIDI + P2P."""

    steps: int = inversion_field(50, "DDIM steps, of inversion and edit each", ge=1, le=1000)
    iterations: int = inversion_field(5, "most evaluations of f in an inversion step", ge=1, le=100)
    acceleration: Literal["anderson", "empirical", "none"] = inversion_field(
        "anderson", "anderson: AIDI_A; empirical: AIDI_E, the mean of the last two f; none: FPI"
    )
    window: int = inversion_field(
        3, "anderson: differences of iterates that are mixed", ge=1, le=10
    )
    tolerance: float = inversion_field(
        1e-4,
        "root mean square of f(z) - z at which a picture is done; 0 makes all iterations",
        ge=0,
    )
    inversion_guidance_scale: float = inversion_field(
        1.0, "classical scale of the inversion and of the source row, 1 is unguided", ge=1, le=100
    )
    guidance_scale: float = edit_field(7.5, "classical scale of the edit", ge=1, le=100)
    background_guidance_scale: float | None = edit_field(
        None, "blended guidance: scale outside LocalBlend's mask; default as inside", ge=1, le=100
    )
    amplify: float = p2p_default("amplify", 2.0)


class AIDI:
    """Invert in N solved DDIM steps, edit in N guided ones."""

    info: ClassVar = MethodInfo(
        name="aidi",
        version="1",
        title="Accelerated iterative diffusion inversion + Prompt-to-Prompt",
        paper="Pan et al., ICCV 2023, arXiv:2309.04907",
        noise_latents=NoiseLatents(),
        defaults={"scenes": {"guidance_scale": 2.5}},
        sweep={"guidance_scale": (2.5, 5.0, 7.5), "cross_replace": (0.2, 0.4, 0.6, 0.8)},
    )
    Setting: ClassVar = AIDISetting

    def invert(self, backbone: Backbone, batch: Batch, setting: AIDISetting) -> Inversion:
        """Return x_T."""
        latents = backbone.encode_images(batch.images)
        text = backbone.encode_prompts(batch.source_prompts)
        with backbone.counting("inversion", len(batch)) as count:
            for iterates in inversion_steps(backbone, latents, text, setting):
                *_, latents = iterates
        warnings = tuple(map(backbone.prompt_warnings, batch.source_prompts))
        return Inversion({"latents": latents}, tuple(count.shared), warnings)

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[AIDISetting],
    ) -> Edits:
        """Sample source and target rows from x_T."""
        edit = p2p_edit(backbone, batch, settings, settings[0].steps)
        with backbone.counting("edit", len(batch), len(settings)) as count:
            *_, latents = guided_steps(edit, inversion.tensors["latents"], settings)
        return edit.finish(latents, count)


def inversion_steps(
    backbone: Backbone, latents: Tensor, text: Tensor, setting: AIDISetting
) -> Iterator[list[Tensor]]:
    """Yield the iterates (B, C, h, w) of each inversion step; the last one begins the next step.

    Args:
        backbone: predicts with its network ``base``.
        latents: clean latents x0 (B, C, h, w).
        text: (B, L, D) of the source prompts.
        setting: its inversion fields.
    """
    import torch

    from icd_bench.diffusion.attention import Row

    network, schedule = backbone.network("base"), backbone.schedule
    null_text = backbone.encode_prompts([""]).expand_as(text)
    for t, s in reversed(schedule.ddim_jumps(setting.steps)):

        def f(
            z: Tensor, rows: Sequence[int], x: Tensor = latents, t: int = t, s: int = s
        ) -> Tensor:
            prediction = network.guided(
                z,
                t,
                text[rows],
                null_text[rows],
                [Row(row) for row in rows],
                guidance_scale=torch.full((len(rows),), setting.inversion_guidance_scale),
            )
            _, eps = schedule.split(z, prediction, t)
            (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.level(t, z), schedule.level(s, z)
            return alpha_t / alpha_s * (x[rows] - sigma_s * eps) + sigma_t * eps

        iterates = list(solve(f, latents, setting))
        latents = iterates[-1]
        yield iterates


def solve(f: FixedPointMap, start: Tensor, setting: AIDISetting) -> Iterator[Tensor]:
    """Yield iterates of z = f(z), (B, C, h, w); f is evaluated for unfinished pictures only.

    Args:
        f: the map.
        start: first argument of f, (B, C, h, w).
        setting: acceleration and stopping rule.
    """
    accelerate = _ACCELERATIONS[setting.acceleration]
    arguments: list[Tensor] = []
    values: list[Tensor] = []
    latents, unfinished = start, list(range(len(start)))
    for _ in range(setting.iterations):
        value = latents.clone()
        value[unfinished] = f(latents[unfinished], unfinished)
        arguments, values = (
            [*kept[-setting.window :], new] for kept, new in ((arguments, latents), (values, value))
        )
        residual = (value - latents).flatten(1).square().mean(dim=1).sqrt().tolist()
        unfinished = [i for i in unfinished if residual[i] > setting.tolerance]
        latents = value.clone()
        latents[unfinished] = accelerate(
            [x[unfinished] for x in arguments], [x[unfinished] for x in values]
        )
        yield latents
        if not unfinished:
            return


def plain(arguments: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Return f(z_i)."""
    return values[-1]


def empirical(arguments: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Return (f(z_i) + f(z_{i-1})) / 2, or f(z_0) in the first iteration."""
    return (values[-1] + values[-2]) / 2 if len(values) > 1 else values[-1]


def anderson(arguments: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Return Anderson's next iterate, per picture.

    f(z_i) - sum_j gamma_j (f(z_{j+1}) - f(z_j)), with the gamma that minimises the same combination
    of residuals g = f(z) - z (Walker and Ni 2011, algorithm AA).

    Args:
        arguments: the latest z (n, C, h, w), oldest first.
        values: f of them.
    """
    import torch

    if len(values) == 1:
        return values[-1]
    # In float64 and, for devices without it, on the CPU.
    z, f = (
        torch.stack(list(x), 1).flatten(2).to("cpu", torch.float64) for x in (arguments, values)
    )
    g = f - z
    df, dg = f.diff(dim=1), g.diff(dim=1)
    normal = dg @ dg.mT
    size = normal.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None]
    # Differences of nearly converged iterates are parallel up to rounding.
    ridge = (_RIDGE * size + torch.finfo(f.dtype).tiny) * torch.eye(dg.shape[1]).to(f)
    gamma = torch.linalg.solve(normal + ridge, dg @ g[:, -1:].mT)
    mixed: Tensor = f[:, -1] - (gamma.mT @ df)[:, 0]
    return mixed.to(values[-1]).reshape(values[-1].shape)


_RIDGE = 1e-8
"""Added to the normal equations' diagonal, relative to their trace."""

_ACCELERATIONS = {"anderson": anderson, "empirical": empirical, "none": plain}


def guided_steps(
    edit: P2PEdit, latents: Tensor, settings: Sequence[AIDISetting]
) -> Iterator[Tensor]:
    """Yield latents of all rows (R, C, h, w) after each step, LocalBlend included.

    Args:
        edit: rows, text and attention control.
        latents: x_T (B, C, h, w).
        settings: K settings that share their inversion fields.
    """

    backbone, schedule = edit.backbone, edit.backbone.schedule
    network = backbone.network("base")
    null_text = backbone.encode_prompts([""]).expand_as(edit.text)
    source = settings[0].inversion_guidance_scale
    inside = edit.per_row(source, [x.guidance_scale for x in settings])
    outside = edit.per_row(
        source, [x.background_guidance_scale or x.guidance_scale for x in settings]
    )
    twice = ((inside != 1) | (outside != 1)).nonzero().flatten().tolist()
    latents = edit.expand(latents)
    inside, outside = (scale.reshape(-1, 1, 1, 1).to(latents) for scale in (inside, outside))
    with backbone.controlled(edit.control):
        for step, (t, s) in enumerate(schedule.ddim_jumps(settings[0].steps)):
            conditional, unconditional = network.both(
                latents, t, edit.text, null_text, edit.rows, step=step, twice=twice
            )
            place = edit.control.places(backbone.latent_shape[1:]).to(latents)
            scale = outside + place * (inside - outside)
            prediction = unconditional + scale * (conditional - unconditional)
            jumped = schedule.jump(latents, prediction, t, s)
            latents = edit.control.after_step(step, jumped)
            yield latents
