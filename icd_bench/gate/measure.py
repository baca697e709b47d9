"""From a run folder to what a baseline holds of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icd_bench.errors import UsageError
from icd_bench.gate.baseline import Arm, Measured, MetricEntry, Row, Task
from icd_bench.gate.current import ModelKey, newest_digests
from icd_bench.registry import suggest
from icd_bench.run.storage.store import RunFolder

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 6
DIGEST_LENGTH = 12
SCOPE = ("benchmark", "split", "model", "protocol", "resolution")


def measure(run: Path, metrics: Sequence[str] | None = None) -> Measured:
    """Return what a run measured: its current cells, those of older versions left out.

    Args:
        run: the run folder.
        metrics: names to take; None: all that the run has.

    Raises:
        UsageError: it is not a run folder, holds several benchmarks or models, lacks a metric, or
            its arms have different samples.
        CorruptRun: it cannot be read.
    """
    folder = RunFolder.open(run)
    frame, manifest = folder.read_results(), folder.manifest()
    cards: Mapping[str, Mapping[str, str]] = frame.attrs["metrics"]
    frame = _current(frame, manifest, newest_digests(folder.records()))
    if frame.empty:
        raise UsageError(f"{run}: no edit of this run is finished yet; run the same command again")
    scope = _scope(frame, run)
    names = _chosen(cards, metrics, run)
    arms = tuple(
        _arm(key, cells, names)
        for key, cells in frame.groupby(
            ["method", "method_version", "model_digest", "setting", "seed"], sort=True
        )
    )
    _check_same_samples(arms, run)
    split = f":{scope['split']}" if scope["split"] else ""
    return Measured(
        made=_origin(manifest),
        benchmark=f"{scope['benchmark']}{split}",
        model=scope["model"],
        protocol=scope["protocol"],
        resolution=int(scope["resolution"]),
        hardware=_hardware(manifest),
        memory=_memory(manifest),
        metrics={
            name: MetricEntry.model_validate(
                {key: cards[name][key] for key in ("direction", "unit", "signature")}
            )
            for name in names
        },
        samples=_samples(frame),
        arms=arms,
    )


def _current(
    frame: pd.DataFrame, manifest: Mapping[str, Any], newest: Mapping[ModelKey, str]
) -> pd.DataFrame:
    """Leave out cells of method versions and weights that the folder has newer ones of."""
    methods = manifest["methods"]
    keep = [
        version == methods.get(method, {}).get("version", version)
        and digest == newest.get((model, method, setting), digest)
        for method, version, model, setting, digest in zip(
            frame["method"],
            frame["method_version"],
            frame["model"],
            frame["setting"],
            frame["model_digest"],
            strict=True,
        )
    ]
    return frame[keep]


def _scope(frame: pd.DataFrame, run: Path) -> dict[str, Any]:
    scope = {}
    for column in SCOPE:
        found = sorted(frame[column].unique().tolist())
        if len(found) > 1:
            raise UsageError(
                f"{run}: holds several of {column} ({', '.join(map(str, found))}); "
                "a check needs a run of one, made with its own --out"
            )
        scope[column] = found[0]
    return scope


def _chosen(
    cards: Mapping[str, Mapping[str, str]], wanted: Sequence[str] | None, run: Path
) -> list[str]:
    for name in wanted or ():
        if name not in cards:
            raise UsageError(
                f'{run}: has no scores of metric "{name}".{suggest(name, cards)} '
                f"It has: {', '.join(cards) or 'none'}."
            )
    ranked = [name for name, card in cards.items() if card["direction"] != "neither"]
    if wanted is None:
        return ranked
    if unranked := [name for name in wanted if name not in ranked]:
        raise UsageError(
            f"{run}: {unranked[0]}: neither more nor less of it is better, so that nothing can be "
            "lost; leave it out"
        )
    return list(dict.fromkeys(wanted))


def _arm(key: Any, cells: pd.DataFrame, metrics: Sequence[str]) -> Arm:
    method, version, model_digest, setting, seed = key
    cells = cells.sort_values("sample_index")
    ok = cells[cells["status"] == "ok"]
    seconds = ok["seconds_edit"] + ok["seconds_invert"].fillna(0)
    return Arm(
        method=method,
        version=version,
        model_digest=model_digest[:DIGEST_LENGTH],
        seed=int(seed),
        setting=json.loads(setting),
        seconds=rounded(seconds.median()) if len(ok) else None,
        rows={cell["sample_id"]: _row(cell, metrics) for cell in cells.to_dict("records")},
    )


def _row(cell: Mapping[Any, Any], metrics: Sequence[str]) -> Row:
    counts = (cell["nfe_invert"], cell["nfe_source"], cell["nfe_edit"])
    return Row(
        picture=cell["image_sha256"][:DIGEST_LENGTH],
        nfe=sum(int(count) for count in counts if count is not None and count == count),
        values=tuple(rounded(cell[name]) for name in metrics),
    )


def rounded(value: float) -> float | None:
    """Return a value to six significant digits, None for NaN."""
    if math.isnan(value):
        return None
    return float(f"{value:.{DIGITS}g}")


def _samples(frame: pd.DataFrame) -> dict[str, Task]:
    rows = frame.sort_values("sample_index").drop_duplicates("sample_id")
    return {
        sample_id: Task(digest[:DIGEST_LENGTH], (source or digest)[:DIGEST_LENGTH])
        for sample_id, digest, source in zip(
            rows["sample_id"], rows["sample_digest"], rows["source_sha256"], strict=True
        )
    }


def _check_same_samples(arms: Sequence[Arm], run: Path) -> None:
    every = {sample_id for arm in arms for sample_id in arm.rows}
    for arm in arms:
        lacking = sorted(every - set(arm.rows))
        if lacking:
            raise UsageError(
                f"{run}: {arm.method}, seed {arm.seed}, has no cell of {len(lacking)} samples "
                f"({lacking[0]} is one) that others have; run it on the same samples"
            )


def _origin(manifest: Mapping[str, Any]) -> dict[str, str]:
    last = _last_command(manifest)
    git = last.get("git") or {}
    packages = last.get("packages", {})
    origin = {
        "command": str(last.get("command", "")),
        "on": str(last.get("started", "")),
        "icd_bench": str(last.get("icd_bench", "")),
        "torch": str(packages.get("torch", "")),
        "diffusers": str(packages.get("diffusers", "")),
        "git": str(git.get("commit", "")) + (", changed" if git.get("dirty") else ""),
    }
    return {name: text for name, text in origin.items() if text}


def _hardware(manifest: Mapping[str, Any]) -> str:
    last = _last_command(manifest)
    hardware, device = last.get("hardware", {}), last.get("device", "unknown")
    accelerators = "" if device == "cpu" else " + ".join(hardware.get("accelerators", []))
    cores = f"{hardware.get('cores')} cores, {hardware.get('threads')} threads"
    machine = accelerators or f"{hardware.get('processor')}, {cores}"
    return f"{machine}; {device} {last.get('dtype', 'unknown')}"


def _last_command(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    commands = manifest["commands"]
    return commands[-1] if commands else {}


def _memory(manifest: Mapping[str, Any]) -> int | None:
    peaks = [command.get("peak_memory") for command in manifest["commands"]]
    return max((peak for peak in peaks if peak), default=None)
