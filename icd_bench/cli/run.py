"""``icd-bench run``: edit a benchmark with some methods and score the edits."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from icd_bench import registry

from . import options
from .output import check_choice, say, split_names
from .table import print_table

SOME_CELLS_FAILED = 1
ANCHORS = ("identity", "jpeg", "vae-roundtrip")


def run(
    methods: options.Methods,
    bench: Annotated[
        str,
        typer.Option(
            "--bench",
            "-b",
            metavar="NAME[:SPLIT][=DIR]|DIR",
            help="Benchmark (=DIR: its data), or a folder with pictures and prompts.csv.",
        ),
    ],
    model: options.Model = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="Only the first N samples.")
    ] = None,
    subset: Annotated[
        str,
        typer.Option(
            metavar="NAME", help='Only a fixed small part of the benchmark: "ci" has 50 samples.'
        ),
    ] = "",
    seed: options.Seed = 0,
    sets: options.Sets = None,
    sweeps: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="[METHOD.]FIELD=V1,V2",
            help="Run every value (several: every combination); "
            '"default" runs the sweep that each method proposes.',
        ),
    ] = None,
    metrics: options.Metrics = None,
    protocol: options.Protocol = "native",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Run folder.  [default: runs/ and a name made from the run]"
        ),
    ] = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Samples at once.  [default: by device]")
    ] = None,
    anchors: Annotated[
        bool,
        typer.Option(
            "--anchors/--no-anchors",
            help=f"Add the reference lines {', '.join(ANCHORS)}, which show what copying scores.",
        ),
    ] = True,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Give up an inversion or an edit that takes longer."),
    ] = None,
) -> int:
    """Edit a benchmark, score the edits and print the table.

    The same command goes on where it was interrupted; what is done is not done again.
    """
    from icd_bench.run import RunRequest, execute

    options.check_place(device, dtype)
    names = split_names(metrics or [])
    for name in names:
        if ".py:" not in name:
            check_choice(name, registry.metrics.names(), "metric")
    request = RunRequest(
        methods=split_names([*methods, *(ANCHORS if anchors else ())]),
        benchmark=bench,
        model=model,
        limit=limit,
        subset=subset,
        seed=seed,
        sets=tuple(sets or ()),
        sweeps=tuple(sweeps or ()),
        metrics=names or None,
        protocol=protocol,
        out=out,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        timeout=timeout,
        command=shlex.join(["icd-bench", *sys.argv[1:]]),
    )
    summary = execute(request)
    print_table([summary.path], "rich")
    print(f"\nresults  {summary.path / 'results.parquet'}")
    print(f"pictures {summary.path / 'images'}")
    if summary.failed:
        say(f"{summary.failed} edits failed; the same command tries them again")
        return SOME_CELLS_FAILED
    return 0
