"""``icd-bench check-method``: does a method keep the promises of the interface?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from . import options
from .output import print_json

PROMISE_BROKEN = 1


def check_method(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="Method, or ./file.py:Class.")],
    model: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="Model, folder or hub id.")
    ] = "scenes",
    sets: options.Sets = None,
    samples: Annotated[int, typer.Option(metavar="N", min=2, help="Samples to edit.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Check a method: determinism, batches, sizes, counted rows, what it declares.

    Every promise is tried on the first samples of the embedded benchmark, in float32 on the CPU.
    Exit code 1 if one is broken.
    """
    from icd_bench import contract

    subject = contract.Subject.load(method, model, tuple(sets or ()), samples)
    findings = []
    for finding in contract.check_method(subject):
        findings.append(finding)
        if not as_json:
            mark = "kept  " if finding.kept else "BROKEN"
            print(f"{mark}  {finding.name:<17}  {finding.detail}", flush=True)
    broken = sum(not finding.kept for finding in findings)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print(f"\n{method}: {len(findings) - broken} of {len(findings)} promises kept")
    return PROMISE_BROKEN if broken else 0
