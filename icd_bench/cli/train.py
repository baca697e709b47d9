"""``icd-bench train``: make models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from icd_bench.errors import UsageError

from . import train_options as options
from .output import check_choice, split_names

if TYPE_CHECKING:
    from icd_bench.training.icd import Schedule, Weights
    from icd_bench.training.pipelines import RunSettings

app = typer.Typer(help="Train models.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def _train(context: typer.Context) -> None:
    """Train models."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def scenes(
    stages: Annotated[
        list[str] | None,
        typer.Argument(metavar="STAGE", help="Stages to run, in order.  [default: all]"),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of caches, logs and checkpoints.")
    ] = Path("checkpoints/scenes"),
    steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Steps of a stage.  [default: recipe]")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of every stage.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier checkpoints.")] = False,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the model here.  [default: OUT/model after all stages, else nowhere]",
        ),
    ] = None,
) -> None:
    """Train the embedded model of the scenes world, from nothing to the shipped folder.

    The same command goes on from the last checkpoint.
    """
    from icd_bench.training.scenes import STAGES, export, train

    for stage in stages or ():
        check_choice(stage, tuple(STAGES), "stage")
    for stage in stages or STAGES:
        figures = train(stage, out, steps=steps, seed=seed, fresh=fresh)
        print(f"{stage}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    folder = model if stages else model or out / "model"
    if folder:
        print(f"{folder}: " + ", ".join(export(out, folder)))


@app.command("cfg-distill")
def cfg_distill(
    context: typer.Context,
    model: options.Model,
    data: options.Data,
    out: options.Out,
    steps: options.Steps = 6000,
    batch_size: options.BatchSize = None,
    micro_batch: options.MicroBatch = None,
    scales: options.Scales = "",
    lr: options.LearningRate = 8e-6,
    lr_schedule: options.LrSchedule = "constant",
    warmup: options.Warmup = 0,
    clip: options.Clip = 1.0,
    precision: options.Precision = "",
    gradient_checkpointing: options.Checkpointing = False,
    seed: options.Seed = 0,
    image_column: options.ImageColumn = "",
    caption_column: options.CaptionColumn = "",
    split: options.Split = "train",
    stream: options.Stream = False,
    fit: options.FitTo = "crop",
    workers: options.Workers = 4,
    log_every: options.LogEvery = 10,
    validate_every: options.ValidateEvery = 500,
    checkpoint_every: options.CheckpointEvery = 250,
    validation_data: options.ValidationData = "",
    validation_pictures: options.ValidationPictures = 8,
    cpu: options.Cpu = False,
    fresh: options.Fresh = False,
) -> None:
    """Distil a model's U-Net with guidance: the base that iCD's adapters are trained on.

    Several GPUs: accelerate launch -m icd_bench train cfg-distill ... The same command goes on
    from the last checkpoint. DIR/model is the result, for --model.
    """
    settings = _settings(context.params)
    from icd_bench.training.pipelines import train_cfg_distill

    train_cfg_distill(settings)


@app.command()
def icd(
    context: typer.Context,
    model: options.Model,
    data: options.Data,
    out: options.Out,
    timesteps: Annotated[
        str, typer.Option(metavar="NAME", help="Timestep set: 4a, 4b, 3 or 2.")
    ] = "4a",
    losses: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME..]",
            help="Of reverse, forward, forward-preserve, reverse-preserve.  [default: all]",
        ),
    ] = "",
    forward_preserve_weight: Annotated[
        float, typer.Option(metavar="X", min=0.0, help="lambda_f of the paper.")
    ] = 1.5,
    reverse_preserve_weight: Annotated[
        float, typer.Option(metavar="X", min=0.0, help="lambda_r of the paper.")
    ] = 1.5,
    schedule: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="official: an optimiser step a loss; paper: one on their sum.",
        ),
    ] = "official",
    rank: Annotated[int, typer.Option(metavar="N", min=1, help="Rank of the adapters.")] = 64,
    alpha: Annotated[int, typer.Option(metavar="N", min=1, help="Scale of the adapters.")] = 8,
    steps: options.Steps = 6000,
    batch_size: options.BatchSize = None,
    micro_batch: options.MicroBatch = None,
    scales: options.Scales = "",
    lr: options.LearningRate = 8e-6,
    lr_schedule: options.LrSchedule = "constant",
    warmup: options.Warmup = 0,
    clip: options.Clip = 1.0,
    precision: options.Precision = "",
    gradient_checkpointing: options.Checkpointing = False,
    seed: options.Seed = 0,
    image_column: options.ImageColumn = "",
    caption_column: options.CaptionColumn = "",
    split: options.Split = "train",
    stream: options.Stream = False,
    fit: options.FitTo = "crop",
    workers: options.Workers = 4,
    log_every: options.LogEvery = 10,
    validate_every: options.ValidateEvery = 500,
    checkpoint_every: options.CheckpointEvery = 250,
    validation_data: options.ValidationData = "",
    validation_pictures: options.ValidationPictures = 8,
    cpu: options.Cpu = False,
    fresh: options.Fresh = False,
) -> None:
    """Train iCD's forward and reverse adapters on a model's guidance-distilled U-Net.

    Several GPUs: accelerate launch -m icd_bench train icd ... The same command goes on from the
    last checkpoint. DIR/model is the result, for --model.
    """
    settings = _settings(context.params)
    weights = _weights(losses, forward_preserve_weight, reverse_preserve_weight)
    check_choice(schedule, ("official", "paper"), "schedule")
    from icd_bench.training.pipelines import IcdSettings, train_icd

    particular = IcdSettings(timesteps, weights, cast("Schedule", schedule), rank, alpha)
    train_icd(settings, particular)


def _settings(given: dict[str, Any]) -> RunSettings:
    """Return the settings that both trainings share, of a command's options.

    Raises:
        UsageError: one cannot be used.
    """
    from icd_bench.training.data.fit import FITS
    from icd_bench.training.loop import LEARNING_RATES
    from icd_bench.training.pipelines import DataSettings, RunSettings

    data = DataSettings(
        given["data"], given["image_column"], given["caption_column"], given["split"],
        given["stream"], given["fit"], given["workers"],
    )  # fmt: skip
    check_choice(data.fit, FITS, "fit")
    check_choice(given["lr_schedule"], LEARNING_RATES, "learning-rate schedule")
    same = (
        "model", "steps", "batch_size", "lr", "lr_schedule", "warmup", "clip", "precision",
        "gradient_checkpointing", "seed", "cpu", "log_every", "validate_every", "checkpoint_every",
        "fresh",
    )  # fmt: skip
    return RunSettings(
        data=data,
        out=Path(given["out"]),
        rows_at_once=given["micro_batch"],
        scales=_scales(given["scales"]),
        watched=given["validation_pictures"],
        watched_data=given["validation_data"],
        **{name: given[name] for name in same},
    )


def _scales(text: str) -> tuple[float, ...]:
    names = split_names([text])
    try:
        found = tuple(float(name) for name in names)
    except ValueError as error:
        raise UsageError(f'--scales "{text}": give numbers, such as 1,8,12,16,20') from error
    if any(not scale >= 1 for scale in found):
        raise UsageError(f'--scales "{text}": 1 is unguided, so none is below 1')
    return found


def _weights(losses: str, forward_preserve: float, reverse_preserve: float) -> Weights:
    from icd_bench.training.icd import LOSSES, Weights

    known = tuple(name.replace("_", "-") for name in LOSSES)
    chosen = [check_choice(name, known, "loss") for name in split_names([losses])] or known
    full = Weights(forward_preserve=forward_preserve, reverse_preserve=reverse_preserve)
    values = {name: getattr(full, name) for name in LOSSES}
    return Weights(**{n: v if n.replace("_", "-") in chosen else 0.0 for n, v in values.items()})
