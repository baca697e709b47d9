"""Are a run's weights and data still the ones that it was made with?

They lie outside of the run folder. What this machine does not have is not checked, and said.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from icd_bench import registry
from icd_bench.errors import IcdBenchError, UsageError
from icd_bench.gate.current import newest_digests
from icd_bench.models import find_model, models
from icd_bench.models.pins import pinned
from icd_bench.run.planning.plan import needs_of
from icd_bench.run.planning.rows import Row, UnusableRow, open_benchmark, read_rows
from icd_bench.run.storage.records import RunRecords

WEIGHTS = re.compile(r"weights:([^|]*)")
MISSING = "missing"


@dataclass(frozen=True)
class InputCheck:
    """What became of one input of a run."""

    name: str
    """As "weights of scenes for icd"."""
    change: str = ""
    """How it differs; empty where it does not."""
    obstacle: str = ""
    """Why it could not be checked; empty where it was."""


def check_inputs(manifest: Mapping[str, Any], records: RunRecords) -> list[InputCheck]:
    """Hash the weights and the benchmark's rows that a run was made with again.

    Args:
        manifest: ``run.json``.
        records: what the events say.
    """
    return [*_weights(manifest, records), *_metrics(manifest), *_data(manifest, records)]


def _weights(manifest: Mapping[str, Any], records: RunRecords) -> Iterator[InputCheck]:
    """Check the weights of each method; settings that use the same ones are one check."""
    checks = {}
    for (model, method, setting), before in newest_digests(records).items():
        name = f"weights of {model} for {method}"
        try:
            loaded = registry.methods.load(method)
            needs = needs_of(loaded.info, loaded.Setting.model_validate_json(setting))
            now = find_model(model).digest(needs)
            if now != before and (commits := _commits(manifest, model)):
                # The run may have been pinned, or the branch has moved since.
                now = pinned(find_model(model), commits).digest(needs)
        except (IcdBenchError, OSError, ValueError) as error:
            checks[name] = InputCheck(name, obstacle=" ".join(str(error).split()))
            continue
        check = InputCheck(name, change=_difference(before, now))
        if check.change or name not in checks:
            checks[name] = check
    yield from checks.values()


def _commits(manifest: Mapping[str, Any], model: str) -> str:
    """Return pins to the commits that the run's last command read a catalogue's model at."""
    if model not in models():
        return ""
    for command in reversed(manifest["commands"]):
        if _mapping(command).get("model") == model:
            commits = _mapping(command["model_commits"]).items()
            return ",".join(f"{repository}={commit}" for repository, commit in commits)
    return ""


def _metrics(manifest: Mapping[str, Any]) -> Iterator[InputCheck]:
    """Check the networks of metrics; signatures without weights have nothing to hash."""
    for metric, card in manifest["metrics"].items():
        name = f"weights of metric {metric}"
        before = WEIGHTS.search(str(_mapping(card).get("signature", "")))
        if before is None:
            continue
        try:
            now = WEIGHTS.search(registry.metrics.load(metric)().signature())
        except (IcdBenchError, OSError) as error:
            yield InputCheck(name, obstacle=str(error))
            continue
        if now is None or now[1] == MISSING:
            yield InputCheck(name, obstacle="they are not on this machine")
        else:
            yield InputCheck(name, change=_difference(before[1], now[1]))


def _data(manifest: Mapping[str, Any], records: RunRecords) -> Iterator[InputCheck]:
    rows: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    last: dict[tuple[str, str], int] = defaultdict(int)
    for cell in records.cells.values():
        key = (cell.benchmark, cell.split)
        rows[key][cell.sample_id] = cell.sample_digest
        last[key] = max(last[key], cell.sample_index)
    for (benchmark, split), before in rows.items():
        name = f"data of {benchmark}{f':{split}' if split else ''}"
        try:
            now = _rows_now(manifest, benchmark, split, last[benchmark, split] + 1)
        except (IcdBenchError, OSError) as error:
            yield InputCheck(name, obstacle=str(error))
            continue
        changed = [row for row, digest in before.items() if now.get(row) != digest]
        for row in changed:
            yield InputCheck(
                f"{name}, sample {row}",
                change="picture, prompt, words or mask" if row in now else "there is none any more",
            )
        if not changed:
            yield InputCheck(name)


def _rows_now(
    manifest: Mapping[str, Any], benchmark: str, split: str, count: int
) -> dict[str, str]:
    """Return sample id -> digest of the first rows of a benchmark, as they are now."""
    for command in reversed(manifest["commands"]):
        reference = _mapping(command).get("benchmark")
        if not isinstance(reference, str):
            continue
        opened, found_split = open_benchmark(reference)
        if (opened.info.name, found_split) == (benchmark, split):
            usable, unusable = read_rows(opened, count)
            rows: list[Row | UnusableRow] = [*usable, *unusable]
            return {row.sample_id: row.digest for row in rows}
    raise UsageError("no command of the run says where they lie")


def _difference(before: str, now: str) -> str:
    return "" if before == now else f"SHA-256 was {before}, is {now}"


def _mapping(value: object) -> Mapping[str, Any]:
    """Return a part of a description that may have been damaged."""
    return value if isinstance(value, dict) else {}
