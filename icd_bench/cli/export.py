"""``icd-bench export`` and ``import``: a run as one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write.  [default: DIR.zip]")
    ] = None,
) -> None:
    """Write a run as one zip file that another machine can report on."""
    from icd_bench.gate.archive import export_run

    archive = out or run.resolve().with_name(f"{run.resolve().name}.zip")
    entries = export_run(run, archive)
    print(f"{archive}: {entries} files, {archive.stat().st_size / 2**20:.1f} MiB")


def import_archive(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="Made by icd-bench export.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of runs.")] = Path("runs"),
) -> None:
    """Unpack an exported run, safely."""
    from icd_bench.gate.archive import import_run

    print(import_run(archive, out))
