"""Options that mean the same in several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from icd_bench.errors import UsageError

from .output import check_choice

Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        "-m",
        metavar="NAME[,NAME...]",
        help="Methods, or ./file.py:Class; see: icd-bench list methods.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR", help="Model, its folder or hub id.  [default: the benchmark's own]"
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[METHOD.]FIELD=VALUE",
        help="Set a field of the methods' settings; see: icd-bench list methods --json.",
    ),
]
Preset = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help='Settings of a publication: "paper" (the method\'s own) or "pie-bench"; --set goes '
        "on top.  [default: the model's]",
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME[,NAME...]", help="Metrics.  [default: the benchmark's own]"),
]
Protocol = Annotated[str, typer.Option(metavar="NAME", help="native, icd-2024 or pie-bench-2023.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of all noise.")]
Runs = Annotated[
    list[Path] | None,
    typer.Argument(metavar="DIR", help="Run folders.  [default: newest]"),
]
FiguresOut = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where to write.  [default: figures in the run folder]"),
]
Device = Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1 or auto.")]
Dtype = Annotated[str, typer.Option(metavar="NAME", help="float32, float16, bfloat16 or auto.")]

DTYPES = ("auto", "float32", "float16", "bfloat16")


def check_place(device: str, dtype: str) -> None:
    """Check where and how precisely to compute, before any work is done.

    Raises:
        UnknownName: there is no such number type.
        UsageError: this machine has no such device.
    """
    check_choice(dtype, DTYPES, "dtype")
    if device in ("auto", "cpu"):
        return
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"--device {device}: not on this machine: {reason}") from error
