"""What a run is told, and the paper's values (arXiv 2406.14539, sec. 4.1 and app. A)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from icd_bench.errors import UsageError
from icd_bench.training.data.fit import Fit
from icd_bench.training.loop import LearningRates, Plan

SETTINGS: Final = "settings.json"


@dataclass(frozen=True)
class Family:
    """How the paper trains the models of a family.

    Args:
        scales: guidance scales, 1 is unguided.
        batch_size: of all processes together.
    """

    scales: tuple[float, ...]
    batch_size: int


FAMILIES: Final = {
    "sd": Family((1, 8, 12, 16, 20), 512),
    "sdxl": Family((1, 4, 6, 9, 10, 12, 13, 16, 18, 20), 128),
}
STEPS: Final = 6000
LR: Final = 8e-6


@dataclass(frozen=True)
class DataSettings:
    """Captioned pictures: see :mod:`icd_bench.training.data`."""

    location: str
    image_column: str = ""
    caption_column: str = ""
    split: str = "train"
    stream: bool = False
    fit: Fit = "crop"
    workers: int = 4


@dataclass(frozen=True)
class RunSettings:
    """What every training of a pipeline is told.

    Args:
        model: name, folder or hub id.
        out: folder of log, checkpoint, pictures and the model.
        steps: in all.
        batch_size: of all processes together; None takes the paper's.
        rows_at_once: of a micro-batch on one device; None computes a process's rows at once.
        scales: guidance scales, 1 is unguided; empty takes the paper's.
        precision: "no", "bf16" or "fp16"; empty takes what ``accelerate launch`` was told.
        watched: number of pictures that progress is shown on.
        watched_data: location of these; empty takes the first of the training data.
        fresh: forget what an earlier run left in ``out``, its model included.
    """

    model: str
    data: DataSettings
    out: Path
    steps: int = STEPS
    batch_size: int | None = None
    rows_at_once: int | None = None
    scales: tuple[float, ...] = ()
    lr: float = LR
    lr_schedule: LearningRates = "constant"
    warmup: int = 0
    clip: float = 1.0
    precision: str = ""
    gradient_checkpointing: bool = False
    seed: int = 0
    cpu: bool = False
    log_every: int = 10
    validate_every: int = 500
    checkpoint_every: int = 250
    watched: int = 8
    watched_data: str = ""
    fresh: bool = False

    def __post_init__(self) -> None:
        """Refuse values that train nothing.

        Raises:
            UsageError: there is one.
        """
        if not self.lr > 0:
            raise UsageError(f"--lr {self.lr:g} trains nothing; give more than 0")
        if not self.clip > 0:
            raise UsageError(
                f"--clip {self.clip:g} leaves no gradient; give more than 0, or inf not to clip"
            )

    def plan(self, batch_size: int) -> Plan:
        """Return what the loop is told."""
        return Plan(
            self.steps, batch_size, self.lr, self.seed, self.warmup, self.lr_schedule,
            final_lr=0.0, clip=self.clip, threads=1, log_every=self.log_every,
            validate_every=self.validate_every, checkpoint_every=self.checkpoint_every,
        )  # fmt: skip

    def fixed(self) -> dict[str, Any]:
        """Return the settings that a run cannot change when it goes on, for JSON."""
        kept: dict[str, Any] = {k: v for k, v in asdict(self).items() if k not in _FREE}
        del kept["data"]["workers"]
        if self.lr_schedule != "constant":
            kept["steps"] = self.steps
        return kept


_FREE: Final = (
    "out", "steps", "rows_at_once", "gradient_checkpointing", "cpu", "log_every",
    "validate_every", "checkpoint_every", "watched", "watched_data", "fresh",
)  # fmt: skip
"""Settings that change no weight but by rounding."""


def check_unchanged(file: Path, settings: dict[str, Any]) -> None:
    """Compare settings with those that a run was begun with.

    Raises:
        UsageError: one differs, or the file is missing.
    """
    if not file.exists():
        raise UsageError(f"{file} is missing; give another --out, or --fresh to begin anew")
    begun = json.loads(file.read_text(encoding="utf-8"))
    now = json.loads(json.dumps(settings))
    for name in sorted({*begun, *now}):
        if begun.get(name) != now.get(name):
            raise UsageError(
                f"{file.parent}: begun with {name} {begun.get(name)!r}, not {now.get(name)!r}; "
                "give the same, another --out, or --fresh to begin anew"
            )
