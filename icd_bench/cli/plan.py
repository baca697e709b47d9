"""``icd-bench plan``: what a run would take, before anything is spent."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from .output import align, print_json, say
from .request import takes_requests

if TYPE_CHECKING:
    from icd_bench.run import RunRequest
    from icd_bench.run.estimate import Estimate

HEAD = (
    "method",
    "settings",
    "cells",
    "done",
    "to edit",
    "to invert",
    "cached",
    "rows invert",
    "rows edit",
    "time",
)
UNKNOWN = "?"


@takes_requests
def plan(
    requests: tuple[RunRequest, ...],
    measured: Annotated[
        bool,
        typer.Option(
            "--measure/--no-measure",
            help="Edit a few samples to learn what was never run on this machine; without, "
            "no model is loaded.",
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what the same options of run would do and take; nothing is written but measurements."""
    from icd_bench.run import make_plan
    from icd_bench.run.estimate import estimate, measure
    from icd_bench.run.planning.sources import InstalledModels

    estimates = []
    for request in requests:
        made = make_plan(request)
        if measured:
            measure(made, request, InstalledModels(), say)
        estimates.append(estimate(made, request))
    if as_json:
        print_json([_plain(one) for one in estimates])
        return
    print("\n\n".join(_table(one) for one in estimates))


def _plain(found: Estimate) -> dict[str, object]:
    sums = {
        name: getattr(found, name)
        for name in (
            "cells",
            "done",
            "seconds",
            "bytes",
            "bytes_folder",
            "peak_memory",
            "unmeasured",
            "without_inversions",
        )
    }
    return asdict(found) | sums | {"folder": str(found.folder)}


def _table(found: Estimate) -> str:
    from icd_bench.run.caches.cache import show_size
    from icd_bench.run.progress import duration

    rows = [
        (
            one.method,
            *(str(n) for n in (one.settings, one.cells, one.done, one.cells - one.done)),
            str(one.inversions),
            str(one.cached),
            UNKNOWN if one.rows_invert is None else str(one.rows_invert),
            UNKNOWN if one.rows_edit is None else str(one.rows_edit),
            UNKNOWN if one.seconds is None else duration(one.seconds),
        )
        for one in found.methods
    ]
    without = f", without {', '.join(found.unmeasured)}" if found.unmeasured else ""
    seconds = f"{duration(found.seconds)}{without}"
    size = (
        f"{show_size(found.bytes)}, of it {show_size(found.bytes_folder)} the run folder{without}"
    )
    if len(found.unmeasured) == len(found.methods):
        seconds = size = UNKNOWN
    elif found.without_inversions:
        size = f"{size}, without inversions of {', '.join(found.without_inversions)}"
    memory = UNKNOWN if found.peak_memory is None else show_size(found.peak_memory)
    facts = [
        ("folder", str(found.folder)),
        ("samples", f"{found.samples} usable, {found.unusable} not"),
        ("model", f"{found.model} on {found.device}, {found.dtype}, {found.batch_size} at once"),
        ("cells", f"{found.cells}, {found.done} done"),
        ("editing", seconds),
        ("peak memory", memory),
        ("disk", size),
    ]
    return f"{align(facts)}\n\n{align([HEAD, *rows])}"
