"""``icd-bench doctor``: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

import icd_bench
from icd_bench import registry
from icd_bench.errors import IcdBenchError

from .output import align, print_json

PACKAGES = (
    "torch",
    "torchvision",
    "diffusers",
    "transformers",
    "peft",
    "accelerate",
    "open_clip_torch",
    "numpy",
    "pandas",
    "pyarrow",
    "pillow",
    "pydantic",
)
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that a command may need.

    Args:
        kind: "model", "metric", "benchmark" or "method".
        name: as in ``icd-bench list``.
        missing: what is absent, with its size and the way to get it; empty where all is there.
    """

    kind: str
    name: str
    missing: tuple[str, ...] = ()


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Say what this machine has, what is missing, and how to get it."""
    facts, findings = examine_machine(), examine_parts()
    if as_json:
        print_json({**facts, "parts": [asdict(finding) for finding in findings]})
        return
    for title, values in facts.items():
        print(title)
        print(align([(name, str(value)) for name, value in values.items()], indent="  "))
    for kind, group in groupby(findings, key=lambda finding: finding.kind):
        _print_findings(kind, list(group))


def examine_machine() -> dict[str, dict[str, Any]]:
    """Return versions, hardware and free space."""
    return {
        "versions": {
            "icd-bench": icd_bench.__version__,
            "python": platform.python_version(),
            **{package: _version(package) for package in PACKAGES},
        },
        "machine": {
            "system": platform.platform(),
            "processors": len(os.sched_getaffinity(0)),
            **_torch_facts(),
            "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / GIB:.1f} GiB",
            "free disk": f"{shutil.disk_usage(Path.cwd()).free / GIB:.1f} GiB in {Path.cwd()}",
        },
    }


def examine_parts() -> list[Finding]:
    """Return what is there and what is missing of models, metrics, benchmarks and methods."""
    return [
        *_models(),
        *_metrics(),
        *_plugins(registry.benchmarks),
        *_plugins(registry.methods),
    ]


def _models() -> list[Finding]:
    from icd_bench.models import models

    return [
        Finding(
            "model",
            spec.name,
            tuple(f"{p.part} ({p.size or 'size unknown'}): {p.command}" for p in spec.missing()),
        )
        for spec in models().values()
    ]


def _metrics() -> list[Finding]:
    from icd_bench.metrics.catalogue import catalogue

    return [
        Finding("metric", entry.name, _problems(partial(_load_metric, entry.name)))
        if "missing" in entry.signature or entry.problem
        else Finding("metric", entry.name)
        for entry in catalogue()
    ]


def _load_metric(name: str) -> None:
    _make(registry.metrics, name).load("cpu")


def _plugins(kind: registry.Registry[Any]) -> list[Finding]:
    return [
        Finding(kind.kind, name, _problems(partial(_make, kind, name))) for name in kind.names()
    ]


def _make(kind: registry.Registry[Any], name: str) -> Any:
    return kind.load(name)()


def _problems(attempt: Callable[[], object]) -> tuple[str, ...]:
    try:
        attempt()
    except IcdBenchError as error:
        return (str(error),)
    return ()


def _torch_facts() -> dict[str, Any]:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        accelerator = ", ".join(names)
    elif torch.backends.mps.is_available():
        accelerator = "Apple GPU (mps)"
    else:
        accelerator = "none: everything runs on the processor"
    return {"accelerator": accelerator, "torch threads": torch.get_num_threads()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _print_findings(kind: str, findings: Sequence[Finding]) -> None:
    ready = [finding.name for finding in findings if not finding.missing]
    print(f"{kind}s")
    print(f"  ready: {', '.join(ready) or 'none'}")
    for finding in findings:
        if finding.missing:
            print(f"  {finding.name} lacks:")
            print("\n".join(f"    {line}" for line in finding.missing))
