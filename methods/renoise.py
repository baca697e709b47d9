"""ReNoise inversion (Garibi et al. 2024, arXiv 2403.14602), also of few-step models.

A step from z_(t-1) to z_t needs the noise predicted at z_t, which is not known yet. ReNoise (sec.
3.2) starts from z_(t-1) and repeats

    z_t <- inverse step of z_(t-1) with eps(z_t, t)

K times, averages the predictions of the last rounds, regularises them so that they look like noise
(sec. 3.4), and corrects the sampler's own noise so that the step leads back (sec. 3.5). Editing is
sampling with the target prompt, guided away from the source's.

Inversion may be guided, too. The official code pairs its rows wrongly where it also regularises:
in the first round of a step it mixes the null prediction of the noised picture with the prompt's
prediction of z_t, for estimate and reference alike. Here each is guided by its own two predictions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from icd_bench.diffusion.p2p_edit import target_warnings, to_edits
from icd_bench.diffusion.posterior import Posterior, encode, posterior_field

if TYPE_CHECKING:
    from torch import Tensor

    from icd_bench.diffusion.backbone import Backbone
    from icd_bench.diffusion.network import Network
    from icd_bench.diffusion.samplers import Sampler
    from icd_bench.diffusion.timestep_sets import Jump

EARLY = 250
"""Below this timestep the early rounds and range hold: there few rounds do."""
CORRECTIONS, CORRECTION = 10, 1.8
"""Steps of the noise correction, and the length of each."""


class ReNoiseSetting(Setting):
    """Parameters of ReNoise; defaults are those of the official code with few-step models."""

    sampler: Literal["ddim", "lcm", "euler_ancestral"] = inversion_field(
        "lcm", "ddim: SD, SDXL; lcm: the model's consistency network; euler_ancestral: SDXL-Turbo"
    )
    posterior: Posterior = posterior_field()
    steps: int = inversion_field(4, "steps, of inversion and edit each", ge=1, le=1000)
    strength: float = inversion_field(
        1.0, "share of the steps that are inverted; SDXL: of the timesteps", gt=0, le=1
    )
    rounds: int = inversion_field(9, "renoising rounds K of a step", ge=0, le=100)
    early_rounds: int = inversion_field(5, "at most so many rounds below t = 250", ge=0, le=100)
    average: bool = inversion_field(True, "average the predictions of several rounds")
    average_range: tuple[int, int] = inversion_field(
        (8, 10), "first round that is averaged, and the first that is not any more"
    )
    early_average_range: tuple[int, int] = inversion_field((0, 5), "the same below t = 250")
    lambda_kl: float = inversion_field(0.065, "step size towards noise's patches", ge=0, le=100)
    lambda_ac: float = inversion_field(20.0, "step size against autocorrelation", ge=0, le=1000)
    regularisation_steps: int = inversion_field(4, "of each regularisation; 0: none", ge=0, le=100)
    autocorrelation_steps: int = inversion_field(5, "in each of those", ge=0, le=100)
    reference: Literal["noised", "clean"] = inversion_field(
        "noised", "patches are compared with a prediction on noised latents; clean: SD as released"
    )
    noise_correction: bool = inversion_field(
        True, "correct the sampler's noise, where it is ancestral"
    )
    inversion_guidance_scale: float = inversion_field(
        1.0, "classical scale of every prediction of the inversion, 1 is unguided", ge=1, le=100
    )
    guidance_scale: float = edit_field(1.0, "classical scale, 1 is unguided", ge=1, le=100)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for first, end in (self.average_range, self.early_average_range):
            if not 0 <= first < end:
                raise ValueError(f"average range ({first}, {end}) is empty")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The model's consistency network, for its own sampler."""
        return ("lcm",) if self.sampler == "lcm" else ()

    def rounds_at(self, t: int) -> int:
        """Return K at timestep t."""
        return min(self.early_rounds, self.rounds) if t < EARLY else self.rounds

    def averaged_at(self, t: int) -> range:
        """Return the rounds 0 .. K whose predictions are averaged at timestep t, if any."""
        first, end = self.early_average_range if t < EARLY else self.average_range
        return range(first, min(end, self.rounds_at(t) + 1)) if self.average else range(0)

    def regularises(self, t: int, round_: int) -> bool:
        """Return whether the prediction of a round is regularised by itself."""
        first, _ = self.early_average_range if t < EARLY else self.average_range
        wanted = round_ >= first or (not self.average and round_ > 0)
        return wanted and self.regularisation_steps > 0


FEW_STEPS: Final = {"sampler": "lcm", "steps": 4, "rounds": 9, "guidance_scale": 1.0}
TURBO: Final = {**FEW_STEPS, "sampler": "euler_ancestral"}
MANY_STEPS: Final = {"sampler": "ddim", "steps": 50, "rounds": 1, "guidance_scale": 1.0}
BY_MODEL: Final = {
    "sd": {**MANY_STEPS, "guidance_scale": 3.5},
    "sdxl": MANY_STEPS,
    "sdxl-turbo": TURBO,
    "lcm-sdxl": FEW_STEPS,
    "lcm-dreamshaper": FEW_STEPS,
}


class ReNoise:
    """Renoise every inversion step; sample the edit with the corrected noise."""

    info: ClassVar = MethodInfo(
        name="renoise",
        version="2",
        title="ReNoise inversion",
        paper="Garibi et al., ECCV 2024, arXiv:2403.14602",
        noise_latents=NoiseLatents(),
        defaults={**BY_MODEL, "scenes": FEW_STEPS},
        presets={
            "paper": Preset(
                "examples of the official code",
                {"posterior": "sample"},
                by_model={**BY_MODEL, "sd": {**BY_MODEL["sd"], "reference": "clean"}},
            ),
        },
        sweep={"guidance_scale": (1.0, 1.5, 2.0, 2.5, 3.0, 3.5)},
    )
    Setting: ClassVar = ReNoiseSetting

    def invert(self, backbone: Backbone, batch: Batch, setting: ReNoiseSetting) -> Inversion:
        """Return z_T (``latents``) and the noise (``noise``, (B, N, C, h, w)) of every step."""
        draws = draw(backbone, batch.seeds, setting)
        latents = encode(backbone, batch, setting.posterior)
        text = backbone.encode_prompts(batch.source_prompts)
        with backbone.counting("inversion", len(batch)) as count:
            *_, latents = renoised_steps(backbone, latents, text, draws, setting)
        warnings = tuple(map(backbone.prompt_warnings, batch.source_prompts))
        tensors = {"latents": latents, "noise": draws.step_noise}
        return Inversion(tensors, tuple(count.shared), warnings)

    def edit(
        self,
        backbone: Backbone,
        batch: Batch,
        inversion: Inversion,
        settings: Sequence[ReNoiseSetting],
    ) -> Edits:
        """Sample B x K target rows from z_T."""
        with backbone.counting("edit", len(batch), len(settings)) as count:
            *_, latents = sampling_steps(backbone, batch, inversion, settings)
        warnings = target_warnings(backbone, batch)
        return to_edits(backbone, latents, count, tuple((w,) * len(settings) for w in warnings))


@dataclass
class Draws:
    """All that is random in one inversion of B samples."""

    forward_noise: Tensor
    """(B, C, h, w): noises the picture for the reference of the regularisation."""
    step_noise: Tensor
    """(B, N, C, h, w): the sampler's noise, the noisiest step first; corrected in place."""
    rolls: Tensor
    """(B, N, K + 2, ...): of the regularisation of rounds 0 .. K and of their average, each as
    :func:`~icd_bench.diffusion.regularise.regularise` takes them."""


def draw(backbone: Backbone, seeds: Sequence[int], setting: ReNoiseSetting) -> Draws:
    """Draw each sample's random numbers from its own generators."""
    import torch

    from icd_bench.diffusion.noise import generator, randn
    from icd_bench.diffusion.regularise import draw_rolls

    channels, _, side = shape = backbone.latent_shape
    each = (setting.regularisation_steps, setting.autocorrelation_steps, channels)
    rolls = [
        draw_rolls(generator(s, "renoise/rolls"), (setting.steps, setting.rounds + 2, *each), side)
        for s in seeds
    ]
    return Draws(
        randn(seeds, shape, "renoise/forward").to(backbone.device),
        randn(seeds, (setting.steps, *shape), "renoise/steps").to(backbone.device),
        torch.stack(rolls),
    )


def renoised_steps(
    backbone: Backbone, latents: Tensor, text: Tensor, draws: Draws, setting: ReNoiseSetting
) -> Iterator[Tensor]:
    """Yield z (B, C, h, w) after each inversion step, from the least noise to the most.

    Args:
        backbone: with the sampler's network.
        latents: clean latents (B, C, h, w).
        text: (B, L, D) of the source prompts.
        draws: random numbers; the steps' noise is corrected in place.
        setting: inversion fields.
    """
    renoiser = Renoiser(backbone, latents, text, draws, setting)
    for index, jump in reversed(run_jumps(backbone, renoiser.sampler, setting)):
        previous, latents = latents, renoiser.invert_step(latents, index, jump)
        if setting.noise_correction:
            renoiser.correct_noise(latents, previous, index, jump)
        yield latents


class Renoiser:
    """Inversion steps of B samples; arguments as of :func:`renoised_steps`."""

    def __init__(
        self,
        backbone: Backbone,
        clean: Tensor,
        text: Tensor,
        draws: Draws,
        setting: ReNoiseSetting,
    ) -> None:
        from icd_bench.diffusion.samplers import make_sampler

        self.sampler = make_sampler(setting.sampler, backbone.schedule)
        self.network = _network(backbone, setting)
        self.schedule, self.setting, self.draws = backbone.schedule, setting, draws
        self.clean, self.text = clean, text
        guided = setting.inversion_guidance_scale != 1
        self.null_text = backbone.encode_prompts([""]).expand_as(text) if guided else text

    def invert_step(self, previous: Tensor, index: int, jump: Jump) -> Tensor:
        """Return z_t of z_s = ``previous``, all (B, C, h, w).

        Args:
            previous: less noisy latents.
            index: number of the step among all N, the noisiest first.
            jump: t and s.
        """
        setting, t = self.setting, jump[0]
        averaged = setting.averaged_at(t)
        last = averaged[-1] if averaged else setting.rounds_at(t)
        latents, total, reference = self.sampler.relabel(previous, jump), self.clean * 0, None
        for i in range(last + 1):
            if i == 0 and self._needs_reference(t, last):
                reference, eps = self._predict([self._noised(t), latents], t)
            else:
                (eps,) = self._predict([latents], t)
            if i in averaged:
                total = total + eps
            if averaged and i == last:
                eps = self._regularise(total / len(averaged), reference, index, round_=-1)
            elif setting.regularises(t, i):
                eps = self._regularise(eps, reference, index, i)
            noise = self.draws.step_noise[:, index]
            latents = self.sampler.invert_step(previous, eps, jump, noise)
        return latents

    def correct_noise(self, latents: Tensor, previous: Tensor, index: int, jump: Jump) -> None:
        """Move the noise of an ancestral step towards that which leads back to z_s.

        Args:
            latents: z_t (B, C, h, w) as just inverted.
            previous: z_s.
            index: number of the step.
            jump: t and s; the step to clean latents has no noise.
        """
        from icd_bench.diffusion.samplers import EulerAncestralSampler
        from icd_bench.diffusion.timestep_sets import CLEAN

        if not isinstance(self.sampler, EulerAncestralSampler) or jump[1] == CLEAN:
            return
        (eps,) = self._predict([latents], jump[0])
        needed = self.sampler.needed_noise(latents, eps, jump, previous)
        for _ in range(CORRECTIONS):
            error = self.draws.step_noise[:, index] - needed
            distance = error.flatten(1).norm(dim=1).clamp(min=1e-12).reshape(-1, 1, 1, 1)
            self.draws.step_noise[:, index] -= CORRECTION * error / distance

    def _predict(self, groups: Sequence[Tensor], t: int) -> Sequence[Tensor]:
        """Return the noise predicted in each group of B latents, in one U-Net call.

        Under guidance every latent has a null-text row of its own.
        """
        import torch

        from icd_bench.diffusion.attention import Row

        latents = torch.cat(list(groups))
        rows = [Row(sample) for sample in range(len(self.clean))] * len(groups)
        text, null_text = (torch.cat([x] * len(groups)) for x in (self.text, self.null_text))
        scale = torch.full((len(rows),), self.setting.inversion_guidance_scale)
        prediction = self.network.guided(latents, t, text, null_text, rows, guidance_scale=scale)
        return self.schedule.split(latents, prediction, t)[1].chunk(len(groups))

    def _noised(self, t: int) -> Tensor:
        """Return what the reference of the regularisation is predicted on."""
        if self.setting.reference == "clean":
            return self.clean
        return self.schedule.add_noise(self.clean, self.draws.forward_noise, t)

    def _needs_reference(self, t: int, last: int) -> bool:
        setting = self.setting
        return setting.lambda_kl > 0 and any(setting.regularises(t, i) for i in range(last + 1))

    def _regularise(self, eps: Tensor, reference: Tensor | None, index: int, round_: int) -> Tensor:
        from icd_bench.diffusion.regularise import regularise

        rolls = self.draws.rolls[:, index, round_]
        setting = self.setting
        return regularise(eps, reference, rolls, setting.lambda_kl, setting.lambda_ac)


def sampling_steps(
    backbone: Backbone, batch: Batch, inversion: Inversion, settings: Sequence[ReNoiseSetting]
) -> Iterator[Tensor]:
    """Yield latents (B * K, C, h, w), sample-major, after each step.

    Args:
        backbone: with the sampler's network.
        batch: B samples.
        inversion: ``latents`` (B, C, h, w) and ``noise`` (B, N, C, h, w).
        settings: K settings with equal inversion fields.
    """
    import torch

    from icd_bench.diffusion.attention import Row
    from icd_bench.diffusion.samplers import make_sampler

    sampler = make_sampler(settings[0].sampler, backbone.schedule)
    network = _network(backbone, settings[0])
    rows = [Row(b, k) for b in range(len(batch)) for k in range(len(settings))]
    samples = [row.sample for row in rows]
    text = backbone.encode_prompts([batch.target_prompts[b] for b in samples])
    source_text = backbone.encode_prompts([batch.source_prompts[b] for b in samples])
    scale = torch.tensor([x.guidance_scale for x in settings] * len(batch))

    latents = inversion.tensors["latents"].to(backbone.device)[samples]
    noise = inversion.tensors["noise"].to(backbone.device)[samples]
    for index, jump in run_jumps(backbone, sampler, settings[0]):
        prediction = network.guided(latents, jump[0], text, source_text, rows, guidance_scale=scale)
        eps = backbone.schedule.split(latents, prediction, jump[0])[1]
        latents = sampler.step(latents, eps, jump, noise[:, index])
        yield latents


def _network(backbone: Backbone, setting: ReNoiseSetting) -> Network:
    return backbone.network("lcm" if setting.sampler == "lcm" else "base")


def run_jumps(
    backbone: Backbone, sampler: Sampler, setting: ReNoiseSetting
) -> list[tuple[int, Jump]]:
    """Return the jumps that are run, the noisiest first, with their index among all N.

    As the two pipelines of the official code have it: SDXL's runs the timesteps t / T below the
    strength, Stable Diffusion's the last int(strength N).
    """
    jumps = list(enumerate(sampler.jumps(setting.steps)))
    if backbone.family == "sdxl":
        end = round(setting.strength * len(backbone.schedule))
        run = sum(t < end for _, (t, _) in jumps)
    else:
        run = int(setting.strength * setting.steps)
    return jumps[len(jumps) - max(1, run) :]
