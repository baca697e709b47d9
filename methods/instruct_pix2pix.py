"""InstructPix2Pix (Brooks et al. 2023, arXiv 2211.09800): a network that was trained to edit.

It reads an instruction ("make it snow") and the picture's latents beside the noisy ones, so nothing
is inverted. Two scales guide it (eq. 3): away from no text, and away from no picture. Sampling is
that of its pipeline in diffusers, with the authors' ancestral Euler sampler.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from icd_bench.api import Batch, Edits, Inversion, MethodInfo, Preset, Setting, edit_field
from icd_bench.diffusion.p2p_edit import to_edits
from icd_bench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.attention import Row
    from icd_bench.diffusion.backbone import Backbone
    from icd_bench.diffusion.schedule import Schedule


class InstructPix2PixSetting(Setting):
    """Parameters of InstructPix2Pix; defaults are those of the official code."""

    steps: int = edit_field(100, "steps of the ancestral Euler sampler", ge=1, le=1000)
    guidance_scale: float = edit_field(7.5, "guidance by the instruction", gt=1, le=100)
    image_guidance_scale: float = edit_field(1.5, "guidance by the picture", ge=1, le=100)


class InstructPix2Pix:
    """Sample with the instruction and the picture as conditions."""

    info: ClassVar = MethodInfo(
        name="instruct_pix2pix",
        version="1",
        title="InstructPix2Pix",
        paper="Brooks et al., CVPR 2023, arXiv:2211.09800",
        presets={
            "paper": Preset(
                "defaults of the official code",
                {"steps": 100, "guidance_scale": 7.5, "image_guidance_scale": 1.5},
            ),
        },
        sweep={"image_guidance_scale": (1.0, 1.2, 1.5, 1.8, 2.2), "guidance_scale": (5.0, 7.5)},
    )
    Setting: ClassVar = InstructPix2PixSetting

    def invert(
        self, backbone: Backbone, batch: Batch, setting: InstructPix2PixSetting
    ) -> Inversion:
        """Encode the picture; no network is evaluated."""
        return Inversion({"latents": backbone.encode_images(batch.images)}, (0,) * len(batch))

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[InstructPix2PixSetting],
    ) -> Edits:
        """Sample each setting apart, in batches of samples: three rows a step for each edit."""
        import torch

        given = batch.instructions or ("",) * len(batch)
        derived = [f"turn it into {target}" for target in batch.target_prompts]
        prompts = [a or b for a, b in zip(given, derived, strict=True)]
        warnings = tuple(
            (() if a else (f'the sample has no instruction, this one was made up: "{b}"',))
            + backbone.prompt_warnings(b)
            for a, b in zip(given, prompts, strict=True)
        )
        pipeline = make_pipeline(backbone)
        picture = inversion.tensors["latents"] / backbone.vae.config.scaling_factor
        at_once = max(1, (backbone.max_rows or 3 * len(batch)) // 3)
        parts = [range(len(batch))[i : i + at_once] for i in range(0, len(batch), at_once)]
        with backbone.counting("edit", len(batch), len(settings)) as count:
            edited = [
                torch.cat(
                    [
                        sample(backbone, pipeline, batch, prompts, picture, setting, k, part)
                        for part in parts
                    ]
                )
                for k, setting in enumerate(settings)
            ]
        latents = torch.stack(edited, dim=1).flatten(0, 1)
        return to_edits(backbone, latents, count, tuple((w,) * len(settings) for w in warnings))


def sample(
    backbone: Backbone,
    pipeline: Any,
    batch: Batch,
    instructions: Sequence[str],
    picture: Tensor,
    setting: InstructPix2PixSetting,
    index: int,
    members: Sequence[int],
) -> Tensor:
    """Return the edited latents (n, C, h, w) of n samples with one setting.

    Args:
        backbone: whose network the pipeline has.
        pipeline: of :func:`make_pipeline`.
        batch: B samples.
        instructions: B.
        picture: unscaled latents of the pictures (B, C, h, w).
        setting: what to sample with.
        index: of the setting, to count its rows.
        members: which n of the samples.
    """
    from icd_bench.diffusion.attention import Row
    from icd_bench.diffusion.noise import generator, randn

    seeds = [batch.seeds[b] for b in members]
    text = backbone.encode_prompts([instructions[b] for b in members])
    dtype = pipeline.unet.dtype
    noise = randn(seeds, backbone.latent_shape, "instruct_pix2pix/start").to(backbone.device, dtype)
    rows = [Row(b, index) for b in members]
    unconditional = [Row(b, index, conditional=False) for b in members]
    with _counted(backbone, pipeline.unet, [*rows, *unconditional, *unconditional]):
        output = pipeline(
            prompt_embeds=text,
            negative_prompt_embeds=backbone.encode_prompts([""]).expand_as(text),
            image=picture.to(backbone.device, dtype)[list(members)],
            latents=noise,
            generator=[generator(seed, "instruct_pix2pix/steps") for seed in seeds],
            num_inference_steps=setting.steps,
            guidance_scale=setting.guidance_scale,
            image_guidance_scale=setting.image_guidance_scale,
            output_type="latent",
        )
    latents: Tensor = output.images
    return latents.float()


def make_pipeline(backbone: Backbone) -> Any:
    """Return diffusers' pipeline around the backbone's networks.

    Raises:
        UsageError: the model's network does not read a picture beside the latents.
    """
    import diffusers

    unet = backbone.networks("base")
    channels = backbone.latent_shape[0]
    if unet.config.in_channels != 2 * channels:
        raise UsageError(
            f'instruct_pix2pix: the network of model "{backbone.name}" reads '
            f"{unet.config.in_channels} channels, not {2 * channels}; "
            "give --model instruct-pix2pix or a folder of such a pipeline"
        )
    pipeline = diffusers.StableDiffusionInstructPix2PixPipeline(
        vae=backbone.vae,
        text_encoder=None,
        tokenizer=None,
        unet=unet,
        scheduler=ancestral_euler(backbone.schedule),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ancestral_euler(schedule: Schedule) -> Any:
    """Return diffusers' ancestral Euler sampler over a schedule."""
    import diffusers
    import torch

    abar = schedule.alphas_cumprod
    betas = 1 - abar / torch.cat([torch.ones(1).to(abar), abar[:-1]])
    return diffusers.EulerAncestralDiscreteScheduler(
        num_train_timesteps=len(schedule),
        trained_betas=betas.tolist(),
        prediction_type=schedule.prediction,
        timestep_spacing=schedule.spacing,
        steps_offset=schedule.steps_offset,
    )


@contextmanager
def _counted(backbone: Backbone, unet: Any, rows: Sequence[Row]) -> Iterator[None]:
    """Count ``rows`` at each of the pipeline's calls of its network."""
    hook = unet.register_forward_pre_hook(lambda module, inputs: backbone.spend(rows))
    try:
        yield
    finally:
        hook.remove()
