"""``icd-bench noise``: how large a difference must be before it means something."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icd_bench.errors import UsageError

from .output import align, print_json, say

if TYPE_CHECKING:
    from icd_bench.gate.noise import Noise


def noise(
    runs: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run folders.")],
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="Only these; repeat.")
    ] = None,
    differences: Annotated[
        list[str] | None,
        typer.Option(
            "--difference",
            metavar="METRIC=VALUE",
            help="Say how many samples or seeds a difference needs; repeat.",
        ),
    ] = None,
    checks: Annotated[
        int, typer.Option(metavar="N", help="Checks that are made together (Holm).")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Say how results vary over samples, seeds and repeated measurement, and what they can show."""
    from icd_bench.gate.margins import parse_margins
    from icd_bench.gate.measure import measure
    from icd_bench.gate.noise import noise_of

    if checks < 1:
        raise UsageError(f"--checks {checks}: it must be at least 1")
    wanted = parse_margins(differences or [], "--difference")
    names = list(dict.fromkeys([*(metrics or []), *wanted])) or None
    found = noise_of([measure(run, names) for run in runs], names)
    if as_json:
        print_json([_facts(one, wanted, checks) for one in found])
        return
    print(align([TITLES, *(_line(one, wanted, checks) for one in found)]))
    if any(one.difference_sd is None for one in found):
        say(
            "one seed does not show how much seeds matter: run the same command again "
            "with --seed 1 and another --out, and name both runs"
        )


TITLES = (
    "method",
    "metric",
    "sd samples",
    "sd seeds",
    "sd repeats",
    "sources x seeds",
    "smallest difference",
    "wanted",
    "needs sources",
    "or seeds",
)


def _facts(noise: Noise, wanted: dict[str, float], checks: int) -> dict[str, Any]:
    difference = wanted.get(noise.metric)
    return {
        **asdict(noise),
        "smallest_difference": noise.smallest_difference(checks),
        "wanted": difference,
        "samples_needed": noise.samples_needed(difference, checks) if difference else None,
        "seeds_needed": noise.seeds_needed(difference, checks) if difference else None,
    }


def _line(noise: Noise, wanted: dict[str, float], checks: int) -> list[str]:
    facts = _facts(noise, wanted, checks)
    parts = noise.components
    return [
        noise.method,
        noise.metric,
        *(_sd(variance) for variance in (parts.samples, parts.seeds, parts.repeats)),
        f"{noise.sources} x {noise.seeds}",
        *(
            "" if facts[name] is None else f"{facts[name]:.3g}"
            for name in ("smallest_difference", "wanted")
        ),
        *("" if facts[n] is None else str(facts[n]) for n in ("samples_needed", "seeds_needed")),
    ]


def _sd(variance: float | None) -> str:
    return "unknown" if variance is None else f"{variance**0.5:.3g}"
