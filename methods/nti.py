"""Null-text inversion (Mokady et al. 2023, arXiv 2211.09794), then Prompt-to-Prompt.

DDIM inversion is the pivot; per step the null text's embedding is optimised until the guided source
row arrives on it (algorithm 1). The edit guides away from these embeddings. They hold for one
guidance scale, which is therefore part of the inversion, and the edit's source row passes through
the latents of the optimisation: it is evaluated only for its attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from icd_bench.api import Batch, Edits, Inversion, MethodInfo, NoiseLatents, Preset, inversion_field
from icd_bench.diffusion.ddim import trace_by_ddim
from icd_bench.diffusion.p2p_edit import PIE_BENCH, P2PEdit, P2PSetting, p2p_default, p2p_edit

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone
    from icd_bench.diffusion.network import Network


class NTISetting(P2PSetting):
    """Parameters of NTI + P2P; defaults are those of PnP Inversion's evaluation."""

    steps: int = inversion_field(50, "DDIM steps, of inversion and edit each", ge=1, le=100)
    guidance_scale: float = inversion_field(
        7.5, "classical scale, of optimisation and edit; 1 is unguided", ge=1, le=100
    )
    inner_steps: int = inversion_field(10, "most updates of one embedding", ge=0, le=1000)
    learning_rate: float = inversion_field(
        0.01, "of Adam; falls by a hundredth each step", ge=0, le=1
    )
    early_stop: float = inversion_field(
        1e-5, "loss that ends the updates of the first step; grows by 2e-5 a step", ge=0
    )
    amplify: float = p2p_default("amplify", 2.0)


class NTI:
    """Invert in N unguided DDIM steps, optimise N null embeddings, edit in N guided steps."""

    info: ClassVar = MethodInfo(
        name="nti",
        version="1",
        title="Null-text inversion + Prompt-to-Prompt",
        paper="Mokady et al., CVPR 2023, arXiv:2211.09794",
        noise_latents=NoiseLatents("trajectory", 0),
        defaults={"scenes": {"guidance_scale": 2.5}},
        presets={
            "paper": Preset("examples", {"cross_replace": 0.8, "self_replace": 0.5}),
            "pie-bench": PIE_BENCH,
        },
        sweep={"cross_replace": (0.2, 0.4, 0.6, 0.8), "self_replace": (0.2, 0.4, 0.6, 0.8)},
    )
    Setting: ClassVar = NTISetting

    def invert(self, backbone: Backbone, batch: Batch, setting: NTISetting) -> Inversion:
        """Return each step's null embedding, and the source's latents under it.

        Rows of forward passes are counted; the backward pass that follows each optimised row costs
        about two more and is not.
        """
        import torch

        pivot = trace_by_ddim(backbone, batch, setting.steps)
        text = backbone.encode_prompts(batch.source_prompts)
        start = pivot.tensors["trajectory"][:, -1]
        with backbone.counting("inversion", len(batch)) as count:
            steps = list(optimised_steps(backbone, pivot.tensors["trajectory"], text, setting))
        tensors = {
            "null_embeddings": torch.stack([null_text for null_text, _ in steps], 1),
            "trajectory": torch.stack([start, *(latents for _, latents in steps)], 1),
        }
        rows = tuple(map(sum, zip(pivot.nfe, count.shared, strict=True)))
        return Inversion(tensors, rows, pivot.warnings)

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[NTISetting],
    ) -> Edits:
        """Sample from x_T: per sample one source row, and two rows for each setting."""
        edit = p2p_edit(backbone, batch, settings, settings[0].steps)
        with backbone.counting("edit", len(batch), len(settings)) as count:
            *_, latents = guided_steps(edit, inversion, settings)
        return edit.finish(latents, count)


def optimised_steps(
    backbone: Backbone, pivot: Tensor, text: Tensor, setting: NTISetting
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each step's null embeddings (B, L, D), and the latents (B, C, h, w) they lead to.

    Args:
        backbone: predicts with its network ``base``.
        pivot: DDIM inversion z* (B, N + 1, C, h, w), from the picture to x_T.
        text: (B, L, D) of the source prompts.
        setting: of NTI.
    """
    from icd_bench.diffusion.attention import Row

    network, schedule = backbone.network("base"), backbone.schedule
    everyone = list(range(len(pivot)))
    null_text = backbone.encode_prompts([""]).expand_as(text)
    latents = pivot[:, -1]
    for i, (t, s) in enumerate(schedule.ddim_jumps(setting.steps)):
        conditional = network(latents, t, text, [Row(sample) for sample in everyone])
        jump = partial(guided_jump, network, latents, conditional, setting.guidance_scale, t=t, s=s)
        null_text = optimised(
            null_text,
            jump,
            goal=pivot[:, setting.steps - 1 - i],
            updates=setting.inner_steps if setting.guidance_scale != 1 else 0,
            learning_rate=setting.learning_rate * (1 - i / 100),
            good_enough=setting.early_stop + 2e-5 * i,
        )
        latents = jump(everyone, null_text)
        yield null_text, latents


def optimised(
    null_text: Tensor,
    jump: Callable[[Sequence[int], Tensor], Tensor],
    goal: Tensor,
    updates: int,
    learning_rate: float,
    good_enough: float,
) -> Tensor:
    """Return the null embeddings (B, L, D) of one step after at most ``updates`` of Adam.

    A sample whose loss was good enough is left out after the update that the loss caused: its row
    is not evaluated again, and its embedding and moments stay as they are.

    Args:
        null_text: (B, L, D) to start from.
        jump: takes n samples with their null embeddings (n, L, D) to the next latents.
        goal: the latents (B, C, h, w) to arrive at.
        updates: most updates.
        learning_rate: of Adam.
        good_enough: mean squared error below which an update is a sample's last one.
    """
    import torch

    embeddings = [embedding.clone() for embedding in null_text]
    adam = torch.optim.Adam(embeddings, learning_rate)
    active = list(range(len(embeddings)))
    for _ in range(updates):
        tried = torch.stack([embeddings[b] for b in active]).requires_grad_()
        errors = (jump(active, tried) - goal[active]).square().flatten(1)
        # In half precision the gradient of a mean would vanish: the sum's is divided afterwards.
        gradients = torch.autograd.grad(errors.sum(), tried)[0] / errors.shape[1]
        adam.zero_grad()
        for b, gradient in zip(active, gradients, strict=True):
            embeddings[b].grad = gradient
        adam.step()
        losses = errors.detach().mean(dim=1).tolist()
        active = [b for b, loss in zip(active, losses, strict=True) if loss >= good_enough]
        if not active:
            break
    return torch.stack(embeddings)


def guided_jump(
    network: Network,
    latents: Tensor,
    conditional: Tensor,
    scale: float,
    samples: Sequence[int],
    null_text: Tensor,
    *,
    t: int,
    s: int,
) -> Tensor:
    """Return x_s (n, C, h, w) of n samples, guided away from their null embeddings (n, L, D).

    Args:
        network: predicts without the text.
        latents: x_t (B, C, h, w) of all samples.
        conditional: prediction (B, C, h, w) with the text for all samples.
        scale: of guidance.
        samples: n indices.
        null_text: (n, L, D).
        t: time of x_t.
        s: time to jump to.
    """
    from icd_bench.diffusion.attention import Row

    chosen = list(samples)
    x, prediction = latents[chosen], conditional[chosen]
    if scale != 1:
        null_rows = [Row(sample, conditional=False) for sample in chosen]
        unconditional = network(x, t, null_text, null_rows)
        prediction = unconditional + scale * (prediction - unconditional)
    return network.backbone.schedule.jump(x, prediction, t, s)


def guided_steps(
    edit: P2PEdit, inversion: Inversion, settings: Sequence[NTISetting]
) -> Iterator[Tensor]:
    """Yield latents of all rows (R, C, h, w) after each step, LocalBlend included.

    Args:
        edit: rows, text and attention control.
        inversion: of the samples.
        settings: K settings with one number of steps and one guidance scale.
    """
    backbone, schedule = edit.backbone, edit.backbone.schedule
    network = backbone.network("base")
    trajectory = inversion.tensors["trajectory"]
    null_texts = inversion.tensors["null_embeddings"]
    scale = edit.per_row(source=1.0, targets=[x.guidance_scale for x in settings])
    latents = edit.expand(trajectory[:, 0])
    with backbone.controlled(edit.control):
        for step, (t, s) in enumerate(schedule.ddim_jumps(settings[0].steps)):
            null_text = edit.expand(null_texts[:, step])
            prediction = network.guided(
                latents, t, edit.text, null_text, edit.rows, step=step, guidance_scale=scale
            )
            jumped = schedule.jump(latents, prediction, t, s)
            latents = edit.put_source(jumped, trajectory[:, step + 1])
            latents = edit.control.after_step(step, latents)
            yield latents
