"""``icd-bench edit``: one picture, at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from icd_bench.errors import UsageError

from . import options
from .output import say


def edit(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The picture to edit.")],
    source: Annotated[str, typer.Option(metavar="TEXT", help="What the picture shows.")],
    target: Annotated[str, typer.Option(metavar="TEXT", help="What it shall show.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the edit (PNG).")],
    method: Annotated[
        str, typer.Option("--method", "-m", metavar="NAME", help="Method, or ./file.py:Class.")
    ] = "icd",
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|DIR", help="Model, its folder or hub id; see: icd-bench list models."
        ),
    ] = "sd15",
    preset: options.Preset = "",
    sets: options.Sets = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
) -> None:
    """Edit one picture; what is written is square and as large as the model's pictures."""
    _check_writable(out)
    options.check_place(device, dtype)
    from icd_bench.run import edit_one

    edited = edit_one(
        image,
        source,
        target,
        method,
        model,
        tuple(sets or ()),
        seed,
        device,
        dtype,
        preset=preset,
    )
    edited.image.save(out)
    for warning in edited.warnings:
        say(warning)
    evaluations = edited.nfe_invert + edited.nfe_edit
    print(f"{out}  ({method}, {model}: {edited.seconds:.1f} s, {evaluations} U-Net evaluations)")


def _check_writable(out: Path) -> None:
    """Raise UsageError now rather than after the edit if ``out`` cannot become a PNG file."""
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: only PNG keeps every pixel; name it {out.stem}.png")
    if not os.access(out.parent, os.W_OK):
        raise UsageError(f"--out {out}: there is no writable folder {out.parent}")
