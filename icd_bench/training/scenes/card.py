"""The model card: how the shipped weights were made and what they reach."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from icd_bench.training.loop import CHECKPOINT

from .ablations import FURTHER_RANK
from .bars import Measurement

_TITLES = {
    "autoencoder_psnr": "autoencoder, PSNR",
    "clip_choice_of_32": "CLIP of the world picks the caption among 32 one attribute apart",
    "generated_kind": "generated at guidance 4: kinds right",
    "generated_colour": "generated at guidance 4: colours right",
    "generated_background": "generated at guidance 4: background right",
    "ddim50_psnr": "DDIM-50 inversion and reconstruction, unguided, PSNR",
    "icd_4a_psnr": "iCD 4 + 4 inversion and reconstruction, unguided, PSNR",
}


@dataclass(frozen=True)
class StageRecord:
    """How one stage was trained."""

    name: str
    steps: int
    batch_size: int
    seed: int
    minutes: float

    @classmethod
    def read(cls, out: Path, name: str) -> StageRecord:
        """The record of a stage's checkpoint in the training folder ``out``."""
        with safe_open(out / name / CHECKPOINT, framework="pt") as file:
            training = json.loads(file.metadata()["training"])
        minutes = training["seconds"] / 60
        return cls(name, training["step"], training["batch_size"], training["seed"], minutes)


def write_card(
    folder: Path, stages: Sequence[StageRecord], measured: Measurement, notes: str = ""
) -> None:
    """Write ``bars.json`` and ``README.md`` into a model folder.

    Args:
        folder: of the model.
        stages: how it was trained.
        measured: what it reaches.
        notes: what else to know about the training, a paragraph of Markdown.
    """
    record = measured.record() | {
        "stages": [vars(stage) for stage in stages],
        "made_with": {"torch": torch.__version__, "machine": platform.machine()},
    }
    (folder / "bars.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(stages, measured, notes), encoding="utf-8")


def card(stages: Sequence[StageRecord], measured: Measurement, notes: str = "") -> str:
    """The card as Markdown."""
    commands = "\n".join(
        f"icd-bench train scenes {s.name} --out DIR --steps {s.steps} --seed {s.seed}"
        for s in stages
    )
    trained = "\n".join(
        f"| {s.name} | {s.steps:,} | {s.batch_size} | {s.seed} | {s.minutes:.0f} |" for s in stages
    )
    bars = "\n".join(
        f"| {_TITLES[b.name]} | {_value(b.value, b.unit)} | {_value(b.least, b.unit)} "
        f"| {'yes' if b.met else '**no**'} |"
        for b in measured.bars
    )
    missed = [_TITLES[b.name] for b in measured.bars if not b.met]
    missing = (
        "Every bar is met."
        if not missed
        else "Not reached yet: " + "; ".join(missed) + ". Longer training of the stages continues "
        "from the same commands with a larger `--steps`."
    )
    others = "\n".join(
        f"| {name} | {value:.3f} |"
        for name, value in sorted(measured.figures.items())
        if name not in _TITLES
    )
    return f"""# The embedded `scenes` model

A small Stable-Diffusion-shaped pipeline for the 64x64 pictures of the `scenes` benchmark:
AutoencoderKL (f = 4, 4 channels), CLIP text encoder with one token a word, U-Net with
cross-attention at 16x16, 8x8 and 4x4, noise prediction on Stable Diffusion's schedule. With it a
guidance-distilled U-Net, iCD adapters, an LCM adapter and a CLIP of the world. All fp16
safetensors, trained from nothing on procedurally drawn pictures of the train split.

`icd/ablations/` holds the adapters that the paper's tables compare: `plain` without preservation
losses for 2, 3 and 4 jumps, and for 4 jumps `forward` (the forward preservation loss as well) and
`encoder` (that loss alone), whose reverse adapter is that of `plain`. They and the sets 3 and 4b
are cut to rank {FURTHER_RANK}. `icd-bench paper` measures them.

Licence: Apache-2.0, like the code. Intended for tests, demonstrations and studies of editing
methods; it knows nothing but its world.

## Bars

Measured on the first {measured.scenes} scenes of the test split, which training never saw.

| what | measured | bar | met |
|---|---|---|---|
{bars}

{missing}

## Training

| stage | steps | batch | seed | minutes |
|---|---|---|---|---|
{trained}

On two cores of a shared CPU; minutes are wall clock.

```
{commands}
python -m icd_bench.training.scenes export --out DIR --folder MODEL
python -m icd_bench.training.scenes bars --out DIR --folder MODEL
```

A killed stage continues with the same command, to the same weights. {notes.strip()}

## All figures

| figure | value |
|---|---|
{others}
"""


def _value(value: float, unit: str) -> str:
    return f"{value:.2f} dB" if unit == "dB" else f"{value:.1%}"
