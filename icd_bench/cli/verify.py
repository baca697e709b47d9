"""``icd-bench verify``: is a run still what was stored?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .output import align, print_json

CHANGED = 1


def verify(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> int:
    """Hash a run's files, weights and data again; name what changed, with exit code 1."""
    from icd_bench.gate.verify import verify as hash_again

    found = hash_again(run)
    if as_json:
        print_json(asdict(found))
    else:
        if found.findings:
            print(align([(one.problem, one.path, one.detail) for one in found.findings]))
        print(f"{found.files} files hashed, {len(found.findings)} not as they were stored")
        for line in found.unchecked:
            print(f"not checked: {line}")
        if found.unfinished:
            print("the last command did not end: the same command goes on from there")
    return CHANGED if any(one.problem != "unknown" for one in found.findings) else 0
