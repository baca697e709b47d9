"""``run.json``: what a run is made of, and the history of the commands that made it."""

from __future__ import annotations

from typing import Any

from icd_bench.api import MethodInfo
from icd_bench.errors import UsageError
from icd_bench.protocols import NATIVE
from icd_bench.run.planning.plan import Plan, PlannedMethod
from icd_bench.run.planning.request import RunRequest
from icd_bench.run.storage.provenance import command_line, now, peak_memory, provenance


def new_manifest(name: str) -> dict[str, Any]:
    """Return the description of a run in which nothing has happened."""
    return {
        "name": name,
        "created": now(),
        "updated": now(),
        "protocol": None,
        "methods": {},
        "models": {},
        "benchmarks": {},
        "metrics": {},
        "commands": [],
    }


def begin_command(
    manifest: dict[str, Any],
    plan: Plan,
    request: RunRequest,
    device: str,
    dtype: str,
    batch_size: int,
) -> None:
    """Enter a command that begins, and what it adds to the run.

    Raises:
        UsageError: the run has another protocol.
    """
    set_protocol(manifest, plan.protocol)
    for planned in plan.methods:
        manifest["methods"][planned.info.name] = _method_card(planned)
    manifest["models"].setdefault(plan.model.name, {}).update(
        {
            planned.info.name: plan.model_digest(planned.method, planned.settings[0])
            for planned in plan.methods
        }
    )
    bench = plan.benchmark
    manifest["benchmarks"][bench.name + (f":{plan.split}" if plan.split else "")] = {
        "title": bench.title,
        "licence": bench.licence,
        "source": bench.source,
    }
    manifest["updated"] = now()
    manifest["commands"].append(
        {
            "command": request.command or command_line(),
            "started": now(),
            "ended": None,
            "methods": {
                planned.info.name: [s.model_dump(mode="json") for s in planned.settings]
                for planned in plan.methods
            },
            "benchmark": request.benchmark,
            "rows": plan.coverage,
            "subset": plan.subset,
            "unusable_rows": len(plan.unusable),
            "data_digest": plan.data_digest,
            "model": plan.model.name,
            "model_commits": plan.model_commits,
            "preset": request.preset,
            "seed": plan.seed,
            "protocol": plan.protocol,
            "engine": request.engine,
            "device": device,
            "dtype": dtype,
            "batch_size": batch_size,
            **provenance(),
        }
    )


def protocol_of(manifest: dict[str, Any]) -> str:
    """Return the name of the protocol that all of a run follows."""
    return str(manifest.get("protocol") or NATIVE.name)


def set_protocol(manifest: dict[str, Any], protocol: str) -> None:
    """Enter the protocol of a run that has none yet.

    Raises:
        UsageError: it has another one.
    """
    if manifest["commands"] and protocol_of(manifest) != protocol:
        raise UsageError(
            f'run "{manifest["name"]}" has protocol {protocol_of(manifest)}, not {protocol}; '
            "choose another --out"
        )
    manifest["protocol"] = protocol


def end_command(
    manifest: dict[str, Any], metrics: dict[str, Any], outcome: dict[str, Any], device: str
) -> None:
    """Enter how the last command ended."""
    manifest["metrics"] = metrics
    manifest["updated"] = now()
    manifest["commands"][-1].update(ended=now(), peak_memory=peak_memory(device), **outcome)


def _method_card(planned: PlannedMethod) -> dict[str, Any]:
    info: MethodInfo = planned.info
    return {
        "version": info.version,
        "title": info.title,
        "paper": info.paper,
        "anchor": info.anchor,
        "default_setting": planned.default.model_dump(mode="json"),
    }
