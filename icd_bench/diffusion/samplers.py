"""Samplers whose steps can be inverted: given the noise of a step, x_t follows from x_s.

Latents keep the schedule's scale throughout (variance preserving), also where a sampler is usually
written in another one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from icd_bench.diffusion.schedule import Schedule
from icd_bench.diffusion.timestep_sets import CLEAN, Jump

SamplerName = Literal["ddim", "lcm", "euler_ancestral"]


@dataclass(frozen=True)
class Sampler(ABC):
    """One way to go from x_t to x_s with predicted noise eps, and back."""

    schedule: Schedule

    @abstractmethod
    def jumps(self, steps: int) -> list[Jump]:
        """Return the N jumps (t, s), from the most noise to the least."""

    @abstractmethod
    def step(self, x: Tensor, eps: Tensor, jump: Jump, noise: Tensor) -> Tensor:
        """Return x_s.

        Args:
            x: x_t (R, C, h, w).
            eps: predicted noise of x_t.
            jump: t and s.
            noise: fresh noise of this step, like x.
        """

    @abstractmethod
    def invert_step(self, x: Tensor, eps: Tensor, jump: Jump, noise: Tensor) -> Tensor:
        """Return the x_t from which :meth:`step` with this eps and this noise leads to x = x_s."""

    def relabel(self, x: Tensor, jump: Jump) -> Tensor:
        """Return x_s taken for x_t: the same numbers in the units of the sampler."""
        return x


class DDIMSampler(Sampler):
    """Deterministic DDIM (arXiv 2010.02502, eq. 12 with eta 0)."""

    def jumps(self, steps: int) -> list[Jump]:
        """Return the jumps as diffusers spaces them."""
        return self.schedule.ddim_jumps(steps)

    def step(self, x: Tensor, eps: Tensor, jump: Jump, noise: Tensor) -> Tensor:
        """Return x_s; no noise enters."""
        return self._move(x, eps, *jump)

    def invert_step(self, x: Tensor, eps: Tensor, jump: Jump, noise: Tensor) -> Tensor:
        """Return x_t: the same jump, backwards."""
        t, s = jump
        return self._move(x, eps, s, t)

    def _move(self, x: Tensor, eps: Tensor, t: int, s: int) -> Tensor:
        alpha, sigma = self.schedule.level(t, x)
        return self.schedule.add_noise((x - sigma * eps) / alpha, eps, s)


class LCMSampler(Sampler):
    """Multistep sampling of a latent consistency model (arXiv 2310.04378, algorithm 3).

    Every step predicts clean latents c_out x0_hat + c_skip x_t and noises them anew.
    """

    def jumps(self, steps: int) -> list[Jump]:
        """Return jumps on the grid that such models are trained on."""
        return self.schedule.lcm_jumps(steps)

    def step(self, x: Tensor, eps: Tensor, jump: Jump, noise: Tensor) -> Tensor:
        """Return x_s."""
        t, s = jump
        alpha, sigma = self.schedule.level(t, x)
        c_skip, c_out = boundary_scalings(t)
        clean = c_out * (x - sigma * eps) / alpha + c_skip * x
        return self.schedule.add_noise(clean, noise, s)

    def invert_step(self, x: Tensor, eps: Tensor, jump: Jump, noise: Tensor) -> Tensor:
        """Return x_t."""
        t, s = jump
        (alpha_t, sigma_t), (alpha_s, sigma_s) = (self.schedule.level(time, x) for time in (t, s))
        c_skip, c_out = boundary_scalings(t)
        clean = (x - sigma_s * noise) / alpha_s
        return (clean + c_out * sigma_t * eps / alpha_t) / (c_out / alpha_t + c_skip)


class EulerAncestralSampler(Sampler):
    """Ancestral sampling with Euler steps (Karras et al. 2022, arXiv 2206.00364; k-diffusion).

    In units of sigma_t / alpha_t = r: a step goes down to r_down without noise, then adds noise of
    r_up, where r_up^2 = r_s^2 (r_t^2 - r_s^2) / r_t^2 and r_down^2 = r_s^2 - r_up^2.
    """

    def jumps(self, steps: int) -> list[Jump]:
        """Return the jumps as diffusers spaces them; the last ends clean."""
        timesteps = self.schedule.ddim_timesteps(steps)
        return list(zip(timesteps, [*timesteps[1:], CLEAN], strict=True))

    def step(self, x: Tensor, eps: Tensor, jump: Jump, noise: Tensor) -> Tensor:
        """Return x_s."""
        alpha_t, alpha_s, fall, rise = self._units(x, jump)
        return alpha_s * (x / alpha_t + fall * eps + rise * noise)

    def invert_step(self, x: Tensor, eps: Tensor, jump: Jump, noise: Tensor) -> Tensor:
        """Return x_t."""
        alpha_t, alpha_s, fall, rise = self._units(x, jump)
        return alpha_t * (x / alpha_s - fall * eps - rise * noise)

    def relabel(self, x: Tensor, jump: Jump) -> Tensor:
        """Return x_s taken for x_t: rescaled, for units of r are not the schedule's."""
        alpha_t, alpha_s, _, _ = self._units(x, jump)
        return alpha_t * x / alpha_s

    def needed_noise(self, x: Tensor, eps: Tensor, jump: Jump, goal: Tensor) -> Tensor:
        """Return the noise with which :meth:`step` leads to ``goal``; not for the last step."""
        alpha_t, alpha_s, fall, rise = self._units(x, jump)
        return (goal / alpha_s - (x / alpha_t + fall * eps)) / rise

    def _units(self, x: Tensor, jump: Jump) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return alpha_t, alpha_s, r_down - r_t and r_up of a jump."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = (
            self.schedule.level(time, x.double()) for time in jump
        )
        r_t, r_s = sigma_t / alpha_t, sigma_s / alpha_s
        rise = (r_s**2 * (r_t**2 - r_s**2) / r_t**2).sqrt()
        fall = (r_s**2 - rise**2).sqrt() - r_t
        return alpha_t.to(x), alpha_s.to(x), fall.to(x), rise.to(x)


def boundary_scalings(t: int) -> tuple[float, float]:
    """Return c_skip and c_out of a latent consistency model at timestep t."""
    data, time = 0.5**2, (10.0 * t) ** 2
    return data / (time + data), (time / (time + data)) ** 0.5


def make_sampler(name: SamplerName, schedule: Schedule) -> Sampler:
    """Return a sampler by name."""
    samplers: dict[SamplerName, type[Sampler]] = {
        "ddim": DDIMSampler,
        "lcm": LCMSampler,
        "euler_ancestral": EulerAncestralSampler,
    }
    return samplers[name](schedule)
