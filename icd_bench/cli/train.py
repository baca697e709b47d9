"""``icd-bench train``: make models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import check_choice

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
