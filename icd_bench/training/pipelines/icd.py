"""Invertible consistency distillation of a pipeline: the adapters of one timestep set."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Final

import torch

from icd_bench.diffusion.timestep_sets import TimestepSet, timestep_set
from icd_bench.errors import MissingWeights, UsageError
from icd_bench.models import ModelSpec
from icd_bench.run.planning.sources import InstalledModels
from icd_bench.training.adapters import Adapters
from icd_bench.training.batch import uniform
from icd_bench.training.icd import ALL_LOSSES, FORWARD, REVERSE, IcdTask, Schedule, Weights
from icd_bench.training.losses import Boundaries

from .session import Session, trainable_model
from .settings import RunSettings
from .watching import reconstruct

RANK: Final = 64
ALPHA: Final = 8


@dataclass(frozen=True)
class IcdSettings:
    """What is particular to the adapters.

    Args:
        timesteps: name of the set.
        weights: of the losses; 0 switches one off.
        schedule: an optimiser step a loss ("official") or one on their sum ("paper").
        rank: of the adapters.
        alpha: an adapter's change is ``alpha / rank * B A``.
    """

    timesteps: str = "4a"
    weights: Weights = ALL_LOSSES
    schedule: Schedule = "official"
    rank: int = RANK
    alpha: int = ALPHA

    def __post_init__(self) -> None:
        """Refuse weights that train nothing.

        Raises:
            UsageError: every loss has weight 0.
        """
        if not any(astuple(self.weights)):
            raise UsageError("every loss of --losses has weight 0, so nothing would be trained")


def train_icd(settings: RunSettings, icd: IcdSettings) -> None:
    """Train both adapters on a pipeline's guidance-distilled U-Net, into ``out/model``.

    One U-Net is teacher and students: without an adapter, and with one or the other.

    Raises:
        MissingWeights: the model has no guidance-distilled U-Net.
        UsageError: the settings do not fit.
    """
    timesteps = timestep_set(icd.timesteps)
    check_distilled(trainable_model(settings.model), settings)
    session = Session(settings, asdict(icd))
    adapters = build_adapters(session, icd)
    task = build_task(session, adapters, icd, timesteps, session.folder)
    session.train(task, without=(f"icd:{icd.timesteps}",))


def check_distilled(spec: ModelSpec, settings: RunSettings) -> None:
    """Check that there is a U-Net to train on.

    Raises:
        MissingWeights: there is none; the message says what makes it, and all else that is missing.
    """
    if spec.has("cfg_distilled"):
        return
    try:
        InstalledModels().require(spec, ("icd",))
    except MissingWeights as error:
        raise MissingWeights(
            f"{error}; the guidance-distilled U-Net, on which the adapters are trained, can also "
            f"be made: icd-bench train cfg-distill --model {settings.model} "
            f"--data {settings.data.location} --out DIR, then --model DIR/model"
        ) from error


def build_adapters(session: Session, icd: IcdSettings) -> Adapters:
    """Return both adapters, the same in every process, on the U-Net."""
    torch.manual_seed(session.settings.seed)
    adapters = Adapters(session.unet("cfg_distilled"), (REVERSE, FORWARD), icd.rank, icd.alpha)
    session.processes.precision.freeze(adapters.unet)
    if session.settings.gradient_checkpointing:
        adapters.unet.enable_gradient_checkpointing()
    return adapters


def build_task(
    session: Session, adapters: Adapters, icd: IcdSettings, timesteps: TimestepSet, folder: Path
) -> IcdTask:
    """Return what is trained; every validation writes the adapters into the model's folder."""
    boundaries = Boundaries.of(timesteps)

    def validate(out: Path, step: int) -> dict[str, float]:
        save_adapters(adapters, timesteps, folder)
        return reconstruct(
            adapters, boundaries, session.watched, session.backbone, session.levels,
            session.predict, out / f"reconstructions-{step:06d}.png",
        )  # fmt: skip

    return IcdTask(
        [adapters], session.examples, session.levels, boundaries, validate, session.predict,
        icd.weights, icd.schedule, session.scales, session.share, uniform,
        session.settings.rows_at_once,
    )  # fmt: skip


def save_adapters(adapters: Adapters, timesteps: TimestepSet, folder: Path) -> None:
    """Write both adapters under their released names."""
    adapters.save(FORWARD, folder / "icd" / timesteps.forward_file)
    adapters.save(REVERSE, folder / "icd" / timesteps.reverse_file)
