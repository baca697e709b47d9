"""Noise levels, timesteps, and what the network predicts.

Only this module knows that a network predicts eps (or v): methods hand its prediction to
:meth:`Schedule.jump`, so a family with another parametrisation changes nothing but the schedule.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor

from icd_bench.diffusion.timestep_sets import CLEAN, Jump
from icd_bench.errors import UsageError

Time: TypeAlias = int | Tensor
"""A timestep for all rows, or (R,) timesteps; ``CLEAN`` (-1) is clean data."""

Prediction = Literal["epsilon", "v_prediction"]
Spacing = Literal["leading", "trailing"]

LCM_GRID: Final = 50
"""Timesteps that latent consistency models are trained on."""

_BETAS: Mapping[str, float] = {"linear": 1.0, "scaled_linear": 0.5}
"""Beta schedules: the power of beta that is linear in time."""


@dataclass(frozen=True)
class Schedule:
    """The variance-preserving diffusion x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) noise.

    Args:
        alphas_cumprod: (T,) float64 on the CPU, abar.
        prediction: what the network predicts.
        spacing: where N of the T timesteps lie.
        steps_offset: added to evenly spaced ("leading") timesteps.
        ends_clean: whether a sampler's last step goes to clean data or to abar_0.
    """

    alphas_cumprod: Tensor
    prediction: Prediction = "epsilon"
    spacing: Spacing = "leading"
    steps_offset: int = 1
    ends_clean: bool = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any], where: str = "the scheduler") -> Schedule:
        """Read the config of a diffusers scheduler (``scheduler_config.json``).

        Args:
            config: its content.
            where: file it comes from, for messages.

        Raises:
            UsageError: the noise schedule is of a kind that is not known here.
        """
        kind = config.get("beta_schedule", "linear")
        if config.get("trained_betas") is not None or kind not in _BETAS:
            raise UsageError(f'{where}: beta_schedule "{kind}" is not one of {", ".join(_BETAS)}')
        prediction = config.get("prediction_type", "epsilon")
        if prediction not in ("epsilon", "v_prediction"):
            raise UsageError(
                f'{where}: prediction_type "{prediction}" is not epsilon or v_prediction'
            )
        spacing = config.get("timestep_spacing", "leading")
        if spacing not in ("leading", "trailing"):
            raise UsageError(f'{where}: timestep_spacing "{spacing}" is not leading or trailing')

        power = _BETAS[kind]
        betas = torch.linspace(
            config["beta_start"] ** power,
            config["beta_end"] ** power,
            config.get("num_train_timesteps", 1000),
            dtype=torch.float64,
        ) ** (1 / power)
        return cls(
            alphas_cumprod=(1 - betas).cumprod(0),
            prediction=cast(Prediction, prediction),
            spacing=cast(Spacing, spacing),
            # diffusers' pipelines set an offset of 0 to 1; so do published results.
            steps_offset=config.get("steps_offset", 1) or 1,
            ends_clean=config.get("set_alpha_to_one", False),
        )

    @classmethod
    def from_folder(cls, folder: Path) -> Schedule:
        """Read ``scheduler_config.json`` of a diffusers scheduler folder."""
        file = folder / "scheduler_config.json"
        return cls.from_config(json.loads(file.read_text(encoding="utf-8")), str(file))

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def level(self, t: Time, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha_t = sqrt(abar_t), sigma_t = sqrt(1 - abar_t), shaped to scale ``like``."""
        time = torch.as_tensor(t).to("cpu", torch.long)
        abar = torch.where(time == CLEAN, 1.0, self.alphas_cumprod[time.clamp(min=0)])
        shape = (-1, *(1,) * (like.ndim - 1)) if abar.ndim else ()
        alpha, sigma = abar.sqrt().reshape(shape), (1 - abar).sqrt().reshape(shape)
        return alpha.to(like), sigma.to(like)

    def add_noise(self, x0: Tensor, noise: Tensor, t: Time) -> Tensor:
        """Return x_t of clean latents x0 (R, C, h, w), where x0 is."""
        alpha, sigma = self.level(t, x0)
        return alpha * x0 + sigma * noise.to(x0)

    def split(self, x: Tensor, prediction: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Return (x0, eps) that the network's prediction at time t takes x (R, C, h, w) to be."""
        alpha, sigma = self.level(t, x)
        if self.prediction == "v_prediction":
            return alpha * x - sigma * prediction, alpha * prediction + sigma * x
        return (x - sigma * prediction) / alpha, prediction

    def jump(self, x: Tensor, prediction: Tensor, t: Time, s: Time) -> Tensor:
        """Return x_s by one deterministic DDIM jump from x_t, to less or to more noise.

        x_s = alpha_s (x_t - sigma_t eps) / alpha_t + sigma_s eps: eq. 12 of DDIM (arXiv
        2010.02502) with eta 0, eq. 3 of iCD (arXiv 2406.14539).

        Args:
            x: (R, C, h, w) at time t.
            prediction: of the network, like x.
            t: time of x.
            s: time to jump to.
        """
        x0, eps = self.split(x, prediction, t)
        return self.add_noise(x0, eps, s)

    def noisy_jump(
        self, x: Tensor, prediction: Tensor, t: Time, s: Time, eta: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Return mean (R, C, h, w) and standard deviation of x_s by one DDPM jump from x_t.

        With the posterior's variance v = (1 - abar_s) / (1 - abar_t) (1 - abar_t / abar_s), eq. 7
        of DDPM (arXiv 2006.11239), the mean is alpha_s x0 + sqrt(sigma_s^2 - eta v) eps and the
        deviation eta sqrt(v), as edit-friendly inversion (arXiv 2304.06140) has them; DDIM has
        eta^2 in the mean, which is the same at 1.

        Args:
            x: (R, C, h, w) at time t.
            prediction: of the network, like x.
            t: time of x.
            s: time to jump to, less noisy.
            eta: share of DDPM's noise.
        """
        x0, eps = self.split(x, prediction, t)
        scalar = torch.ones((1,) * x.ndim, dtype=torch.float64)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.level(t, scalar), self.level(s, scalar)
        variance = (sigma_s / sigma_t) ** 2 * (1 - (alpha_t / alpha_s) ** 2)
        direction = (sigma_s**2 - eta * variance).clamp(min=0).sqrt()
        mean = alpha_s.to(x) * x0 + direction.to(x) * eps
        return mean, (eta * variance.sqrt()).to(x)

    def ddim_timesteps(self, steps: int) -> list[int]:
        """Return N timesteps for a DDIM sampler, descending, as diffusers spaces them.

        Raises:
            UsageError: there are fewer timesteps than steps.
        """
        if not 1 <= steps <= len(self):
            raise UsageError(
                f"steps={steps}: a schedule of {len(self)} timesteps has 1 to {len(self)}"
            )
        if self.spacing == "trailing":
            # Rounded as in diffusers, whose arange is sometimes one timestep too long: -1.
            ends = np.round(np.arange(len(self), 0, -len(self) / steps))[:steps]
            return [int(end) - 1 for end in ends]
        spaced = [i * (len(self) // steps) + self.steps_offset for i in range(steps)]
        return [min(t, len(self) - 1) for t in reversed(spaced)]

    def ddim_jumps(self, steps: int) -> list[Jump]:
        """Return the N jumps (t, s) of a DDIM sampler, from the most noise to the least."""
        timesteps = self.ddim_timesteps(steps)
        return list(zip(timesteps, [*timesteps[1:], CLEAN if self.ends_clean else 0], strict=True))

    def lcm_timesteps(self, steps: int) -> list[int]:
        """Return N of the timesteps that a latent consistency model is trained on, descending.

        The grid has 50 (19, 39 .. 999); entries floor(50 i / N) of it, from the noisiest.

        Raises:
            UsageError: there are fewer than N.
        """
        if not 1 <= steps <= LCM_GRID:
            raise UsageError(f"steps={steps}: a latent consistency model has 1 to {LCM_GRID}")
        stride = len(self) // LCM_GRID
        return [len(self) - 1 - stride * (i * LCM_GRID // steps) for i in range(steps)]

    def lcm_jumps(self, steps: int) -> list[Jump]:
        """Return the N jumps (t, s) of a latent consistency model; the last ends clean."""
        timesteps = self.lcm_timesteps(steps)
        return list(zip(timesteps, [*timesteps[1:], CLEAN], strict=True))
