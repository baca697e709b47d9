"""Guidance distillation of a pipeline's U-Net."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from icd_bench.errors import UsageError
from icd_bench.training.batch import uniform
from icd_bench.training.cfg_distill import CfgDistillTask
from icd_bench.training.networks import embed_guidance

from .model_folder import DISTILLED
from .session import Session
from .settings import RunSettings
from .watching import agree


def train_cfg_distill(settings: RunSettings) -> None:
    """Train a U-Net that takes guidance as an embedding, into ``out/model``.

    Raises:
        UsageError: the model's U-Net takes one already, or the settings do not fit.
    """
    session = Session(settings)
    # Adapters of another guidance-distilled U-Net do not fit the new one.
    session.train(build_task(session, session.folder), without=("icd",))


def build_task(session: Session, folder: Path) -> CfgDistillTask:
    """Return what is trained; every validation writes the student into the model's folder."""
    teacher = session.unet("base")
    if teacher.config.time_cond_proj_dim is not None:
        raise UsageError(f'model "{session.spec.name}": its U-Net is distilled already')
    torch.manual_seed(session.settings.seed)
    student = embed_guidance(teacher).to(session.processes.device).requires_grad_(True)
    session.processes.precision.freeze(teacher)
    if session.settings.gradient_checkpointing:
        student.enable_gradient_checkpointing()

    def compare(student: UNet2DConditionModel, out: Path, step: int) -> dict[str, float]:
        student.save_pretrained(folder / DISTILLED, max_shard_size="100GB")
        return agree(
            student, teacher, session.null_text(), session.watched, session.backbone,
            session.levels, session.predict, out / f"samples-{step:06d}.png",
        )  # fmt: skip

    return CfgDistillTask(
        student, teacher, session.examples, session.null_text, session.levels, compare,
        session.predict, session.scales, False, session.share, uniform,
        session.settings.rows_at_once,
    )  # fmt: skip
