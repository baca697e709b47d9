"""Proximal negative-prompt inversion (Han et al. 2023, arXiv 2306.05414), then Prompt-to-Prompt.

Negative-prompt inversion whose guidance keeps only large differences: a proximal operator shrinks
conditional minus negative prediction. Where nothing is left the picture shall stay, and two further
guidances draw it back there: to its DDIM inversion after the step, or to itself within it.
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
from icd_bench.diffusion.ddim import DDIM_INVERSION, trace_by_ddim
from icd_bench.diffusion.p2p_edit import (
    NPI_EXAMPLE,
    PIE_BENCH,
    P2PEdit,
    P2PSetting,
    edit_in_groups,
    p2p_default,
    p2p_edit,
)

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone
    from icd_bench.diffusion.schedule import Schedule

Proximal = Literal["soft", "hard", "twice", "none"]


class ProxNPISetting(P2PSetting):
    """Parameters of ProxNPI + P2P; defaults are those of PnP Inversion's evaluation."""

    steps: int = inversion_field(50, "DDIM steps, of inversion and edit each", ge=1, le=1000)
    guidance_scale: float = edit_field(7.5, "classical scale, 1 is unguided", ge=1, le=100)
    proximal: Proximal = edit_field(
        "soft", "soft: l0 of the official code; hard: l0 of the paper; twice: the code's l1"
    )
    quantile: float = edit_field(
        0.75, "share of source's and target's differences below the threshold", ge=0, le=1
    )
    threshold: float | None = edit_field(None, "fixed threshold instead of a quantile", ge=0)
    inversion_guidance: bool = edit_field(
        False, "draw the latents outside the edit to the inversion (not in PnP Inversion's runs)"
    )
    reconstruction_guidance: bool = edit_field(
        False, "draw the predicted x0 outside the edit to the picture"
    )
    recon_lr: float = edit_field(1.0, "how far these guidances draw, 1 is all the way", ge=0, le=1)
    recon_t: int = edit_field(
        400, "they act at timesteps below; if negative, at those above -recon_t", ge=-1000, le=1000
    )
    dilate: int = edit_field(1, "latent pixels by which the edit's place grows", ge=0, le=64)
    amplify: float = p2p_default("amplify", 2.0)

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if self.proximal == "none" and self._draws:
            raise ValueError(
                "proximal=none finds no place of the edit, outside which inversion_guidance and "
                "reconstruction_guidance would act: choose soft or hard, or switch them off"
            )
        return self

    @property
    def _draws(self) -> bool:
        return self.inversion_guidance or self.reconstruction_guidance

    def draws_at(self, t: int) -> bool:
        """Tell whether a guidance draws the picture back at timestep t."""
        return self._draws and (t > -self.recon_t if self.recon_t < 0 else t < self.recon_t)

    @property
    def source_key(self) -> tuple[bool, bool, float, int] | None:
        """Equal for settings whose source rows are the same."""
        if not self._draws:
            return None
        return (self.inversion_guidance, self.reconstruction_guidance, self.recon_lr, self.recon_t)


NOTHING_LEFT: Final = (
    "the threshold leaves nothing of the guidance in any step: the edit is a reconstruction"
)
"""Warning of a row whose differences were all shrunk to zero."""


class ProxNPI:
    """Invert in N unguided DDIM steps, edit in N steps of thresholded guidance."""

    info: ClassVar = MethodInfo(
        name="proxnpi",
        version="1",
        title="Proximal negative-prompt inversion + Prompt-to-Prompt",
        paper="Han et al., WACV 2024, arXiv:2306.05414",
        inversion=DDIM_INVERSION,
        noise_latents=NoiseLatents("trajectory", -1),
        defaults={"scenes": {"guidance_scale": 2.5}},
        presets={
            "paper": Preset(
                "the paper's hard threshold in the example of its official code",
                {
                    **NPI_EXAMPLE.settings,
                    "proximal": "hard",
                    "quantile": 0.7,
                    "inversion_guidance": True,
                    "recon_lr": 1.0,
                    "recon_t": 400,
                    "dilate": 1,
                },
            ),
            "pie-bench": Preset(
                PIE_BENCH.source, {**PIE_BENCH.settings, "proximal": "soft", "quantile": 0.75}
            ),
        },
        sweep={"quantile": (0.6, 0.7, 0.75, 0.8, 0.9), "cross_replace": (0.2, 0.4, 0.6, 0.8)},
    )
    Setting: ClassVar = ProxNPISetting

    def invert(self, backbone: Backbone, batch: Batch, setting: ProxNPISetting) -> Inversion:
        """Return x*_0 .. x*_T of unguided DDIM inversion."""
        return trace_by_ddim(backbone, batch, setting.steps)

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[ProxNPISetting],
    ) -> Edits:
        """Sample from x*_T: per sample one source row, and two rows for each setting."""
        import torch

        def edit(group: Sequence[ProxNPISetting]) -> Edits:
            edit = p2p_edit(backbone, batch, group, group[0].steps)
            # Without a threshold nothing is shrunk.
            guided = torch.tensor([x.proximal == "none" for x in (group[0], *group)] * len(batch))
            with backbone.counting("edit", len(batch), len(group)) as count:
                for state in guided_steps(edit, inversion.tensors["trajectory"], group):
                    latents, kept = state
                    guided |= kept.flatten(1).any(dim=1).cpu()
            return edit.finish(latents, count, [() if x else (NOTHING_LEFT,) for x in guided])

        return edit_in_groups(settings, lambda setting: setting.source_key, edit)


def guided_steps(
    edit: P2PEdit, trajectory: Tensor, settings: Sequence[ProxNPISetting]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield latents of all rows after each step, LocalBlend included, and what guided them there.

    That is what the proximal operator left of the differences. Both are (R, C, h, w).

    Args:
        edit: rows, text and attention control.
        trajectory: x* (B, N + 1, C, h, w), from the picture to x_T.
        settings: K settings with one number of steps N and one source row.
    """
    import torch

    backbone, schedule = edit.backbone, edit.backbone.schedule
    network, steps = backbone.network("base"), settings[0].steps
    targets = [i for i, row in enumerate(edit.rows) if row.setting is not None]
    # A group's source rows are the same under any of its settings: their difference is zero.
    of_row = (settings[0], *settings)
    trajectory = trajectory.to(backbone.device)
    picture = trajectory[:, 0]
    latents = edit.expand(trajectory[:, steps])
    with backbone.controlled(edit.control):
        for step, (t, s) in enumerate(schedule.ddim_jumps(steps)):
            conditional, negative = network.both(
                latents, t, edit.text, edit.source_text, edit.rows, step=step, twice=targets
            )
            difference = conditional - negative
            source_difference = difference[:: len(of_row)]
            jumped, kept = torch.empty_like(latents), torch.empty_like(latents)
            for k, setting in enumerate(of_row):
                rows = slice(k, None, len(of_row))
                threshold = pair_threshold(source_difference, difference[rows], setting)
                kept[rows] = shrink(difference[rows], threshold, setting.proximal)
                jumped[rows] = proximal_jump(
                    schedule,
                    latents[rows],
                    negative[rows],
                    kept[rows],
                    threshold,
                    setting,
                    (t, s),
                    (picture, trajectory[:, steps - step - 1]),
                )
            latents = edit.control.after_step(step, jumped)
            yield latents, kept


def proximal_jump(
    schedule: Schedule,
    x: Tensor,
    negative: Tensor,
    kept: Tensor,
    threshold: Tensor,
    setting: ProxNPISetting,
    jump: tuple[int, int],
    inverted: tuple[Tensor, Tensor],
) -> Tensor:
    """Return x_s (n, C, h, w) of rows that share a setting.

    Args:
        schedule: noise levels.
        x: x_t (n, C, h, w).
        negative: prediction (n, C, h, w) with the source prompt.
        kept: what :func:`shrink` left of the prediction with the row's own prompt minus
            ``negative``.
        threshold: (n, 1, 1, 1).
        setting: of ProxNPI.
        jump: times t and s.
        inverted: the inversion's x*_0 and x*_s, (n, C, h, w) each.
    """
    t, s = jump
    picture, goal = inverted
    x0, eps = schedule.split(x, negative + setting.guidance_scale * kept, t)
    if not setting.draws_at(t):
        return schedule.add_noise(x0, eps, s)

    pull = setting.recon_lr * (1 - edit_mask(kept, threshold, setting.dilate))
    if setting.reconstruction_guidance:
        x0 = x0 + pull * (picture - x0)
    x = schedule.add_noise(x0, eps, s)
    if setting.inversion_guidance:
        x = x + pull * (goal - x)
    return x


def pair_threshold(source: Tensor, target: Tensor, setting: ProxNPISetting) -> Tensor:
    """Return the threshold (n, 1, 1, 1) of n pairs of differences (n, C, h, w).

    The quantile is that of both together, as in the official code. The source's are zero, so that
    a quantile of .75 is about the median of the target's.
    """
    import torch

    if setting.threshold is not None:
        return target.new_full((len(target), 1, 1, 1), setting.threshold)
    pairs = torch.stack([source, target], 1).abs().flatten(1)
    return pairs.quantile(setting.quantile, dim=1).reshape(-1, 1, 1, 1)


def shrink(difference: Tensor, threshold: Tensor, proximal: Proximal) -> Tensor:
    """Return what a proximal operator leaves of differences (n, C, h, w).

    Args:
        difference: conditional minus negative prediction.
        threshold: (n, 1, 1, 1).
        proximal: name of the operator. ``twice`` is the official code's "l1": after the soft
            threshold it subtracts from what is positive, then adds to what is negative by now.
    """
    import torch

    if proximal == "none":
        return difference
    if proximal == "hard":
        return torch.where(difference.abs() > threshold, difference, 0)
    shrunk = difference - torch.clamp(difference, -threshold, threshold)
    if proximal == "twice":
        shrunk = torch.where(shrunk > 0, shrunk - threshold, shrunk)
        shrunk = torch.where(shrunk < 0, shrunk + threshold, shrunk)
    return shrunk


def edit_mask(kept: Tensor, threshold: Tensor, dilate: int) -> Tensor:
    """Return where an edit takes place, (n, C, h, w) in {0, 1}: what is left exceeds the threshold.

    Args:
        kept: differences after the proximal operator.
        threshold: (n, 1, 1, 1).
        dilate: latent pixels by which the places grow on all sides.
    """
    from torch.nn import functional

    mask = (kept.abs() > threshold).to(kept)
    return functional.max_pool2d(mask, 2 * dilate + 1, stride=1, padding=dilate)
