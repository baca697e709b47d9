"""How a run was made, as a page tells it: without the machine's folders, with every digest."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from icd_bench.reports.settings_label import short
from icd_bench.reports.table_model import Row

from .items import Source
from .privacy import without_folders

OUTPUT_OPTIONS = ("--out",)
"""They say where things lie on one machine, and nothing about the result."""
TOLD = (
    *("started", "ended", "rows", "unusable_rows", "seed", "protocol", "engine", "device"),
    *("dtype", "batch_size", "icd_bench", "python", "packages", "git", "hardware"),
)
"""What the page says of each command of a run."""


def provenance(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """Return what each run's ``run.json`` says of how it was made."""
    return [_run(source.folder.path.name, source.folder.manifest()) for source in sources]


def reproducing_command(row: Row, runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the command that makes one row anew, "" where no run tells how."""
    for manifest in runs:
        for command in manifest.get("commands", ()):
            if dict(row.setting) in command.get("methods", {}).get(row.method, ()):
                default = manifest["methods"][row.method]["default_setting"]
                return _command(row, command, default)
    return ""


def _command(row: Row, command: Mapping[str, Any], default: Mapping[str, Any]) -> str:
    words = ["icd-bench", "run", "--method", row.method]
    words += ["--bench", _local_name(command["benchmark"])]
    words += ["--model", _local_name(command["model"]), "--limit", str(command["rows"])]
    words += ["--seed", str(command["seed"])]
    for field, value in row.setting.items():
        if field not in default or value != default[field]:
            words += ["--set", f"{field}={_written(value)}"]
    return shlex.join(words)


def _written(value: Any) -> str:
    return "null" if value is None else short(value)


def _local_name(reference: str) -> str:
    return PurePath(reference).name if PurePath(reference).is_absolute() else reference


def _run(name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "created": manifest.get("created", ""),
        "commands": [_entry(command) for command in manifest.get("commands", ())],
        "benchmarks": [
            {"name": key, **{field: without_folders(str(text)) for field, text in card.items()}}
            for key, card in manifest.get("benchmarks", {}).items()
        ],
        "weights": [
            {"model": _local_name(model), "method": method, "digest": digest}
            for model, methods in manifest.get("models", {}).items()
            for method, digest in methods.items()
        ],
        "methods": [
            {"name": key, **{field: card.get(field, "") for field in ("version", "title", "paper")}}
            for key, card in manifest.get("methods", {}).items()
        ],
    }


def _entry(command: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "command": without_folders(_without_output(command.get("command", ""))),
        **{name: command.get(name) for name in TOLD},
    }


def _without_output(command: str) -> str:
    """Return a command line without the options that only name places."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    kept: list[str] = []
    skip = False
    for word in words:
        option, equals, _ = word.partition("=")
        if not skip and option not in OUTPUT_OPTIONS:
            kept.append(word)
        skip = not skip and option in OUTPUT_OPTIONS and not equals
    return shlex.join(kept)
