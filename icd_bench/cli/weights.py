"""``icd-bench weights``: the networks that metrics need and the package does not ship."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from icd_bench.metrics.networks import NETWORKS

from .output import align, check_choice

app = typer.Typer(help="Networks of metrics: where they are, how to get them.")

NetworkName = Annotated[str, typer.Argument(metavar="NAME", help="As in: icd-bench weights list.")]


@app.command("list")
def list_weights() -> None:
    """List the networks that metrics need, and the command for each that is not here."""
    rows = [("name", "size", "where, or how to get it")]
    for network in NETWORKS.values():
        rows.append((network.name, network.size, str(network.folder() or network.command())))
    print(align(rows))


@app.command("path")
def path(name: NetworkName) -> None:
    """Print the folder in which a network's files are looked for first."""
    check_choice(name, tuple(NETWORKS), "network")
    print(NETWORKS[name].home)


@app.command("convert")
def convert(
    name: NetworkName,
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="Published checkpoint.")],
) -> None:
    """Write a pickled checkpoint as safetensors; none of its code is run."""
    from icd_bench.metrics.convert import convert as convert_checkpoint

    check_choice(name, tuple(NETWORKS), "network")
    print(convert_checkpoint(NETWORKS[name], checkpoint))
