"""``icd-bench paper``: the tables and figures of the iCD paper, measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Final

import typer

from icd_bench import registry

from . import options
from .output import check_choice, split_names

ALL: Final = "all"
TRAINING: Final = "training"
"""Not an experiment: the curves of the stages that made the adapters."""


def paper(
    experiments: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="table1, table2, table4, fig4, fig5 or all; training."
        ),
    ],
    model: options.Model = "scenes",
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=2, help="Only the first N pictures.")
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL[,LABEL...]",
            help="Compute only these rows; others are as an earlier run left them.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Results.  [default: runs/paper/MODEL]")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="COCO's files [default: as for icd-bench data]; for training: the stages' folder.",
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also put the tables here, between <!-- NAME --> and <!-- /NAME -->.",
        ),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Pictures at once.  [default: by model]")
    ] = None,
) -> None:
    """Measure what the iCD paper's tables and figures compare (arXiv 2406.14539).

    Results go to DIR as JSON, CSV and figures; scores of single pictures are kept there
    too, so the same command goes on where it was killed, and a larger --limit adds to them.
    """
    from icd_bench.models import find_model
    from icd_bench.paper.run import require_weights, run_experiment

    names = _named(experiments)
    measured = [name for name in names if name != TRAINING]
    options.check_place(device, dtype)
    model = model or "scenes"
    spec = find_model(model)
    if measured:
        require_weights(measured, spec)
    folder = out or Path("runs/paper") / Path(spec.name).name
    report = registry.reports.load("paper")
    if TRAINING in names:
        for path in report.draw_training(data or Path("checkpoints/scenes"), folder):
            print(path)
    for name in measured:
        result = run_experiment(
            name,
            model,
            folder,
            limit=limit,
            only=split_names(rows or ()),
            data=data,
            seed=seed,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
        )
        print(report.summary(result))
        for path in report.write(result, folder):
            print(path)
        if page:
            report.insert(result, page, folder)


def _named(experiments: Sequence[str]) -> list[str]:
    """Return the experiments that are asked for, each once; "all" stands for every one."""
    from icd_bench.paper.experiments import EXPERIMENTS

    for name in experiments:
        check_choice(name, (*EXPERIMENTS, TRAINING, ALL), "experiment")
    each = (EXPERIMENTS if name == ALL else (name,) for name in experiments)
    return list(dict.fromkeys(chain.from_iterable(each)))
