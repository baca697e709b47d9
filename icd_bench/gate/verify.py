"""Is a run still what was stored? Its files, its weights and its data are hashed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from icd_bench.errors import CorruptRun
from icd_bench.gate.inputs import check_inputs
from icd_bench.run.storage.events import event_files
from icd_bench.run.storage.files import digests_of
from icd_bench.run.storage.records import RunRecords
from icd_bench.run.storage.store import MANIFEST, RESULTS, RunFolder

Problem = Literal["changed", "missing", "unknown", "unreadable"]
STORED = ("events", "images", "samples")


@dataclass(frozen=True)
class Finding:
    """One file, or one input of the run, that is not as it was stored."""

    path: str
    """Relative to the run folder; of inputs outside of it, what they are in words."""
    problem: Problem
    detail: str


@dataclass(frozen=True)
class Verification:
    """What hashing a run again found."""

    files: int
    """Files that were hashed."""
    findings: tuple[Finding, ...]
    unfinished: bool
    """The last command did not end: events were written after ``run.json``."""
    unchecked: tuple[str, ...] = ()
    """Weights and data that could not be hashed, with the reason."""


def verify(run: Path) -> Verification:
    """Hash every file of a run, its weights and its data; name what is not as it was stored.

    Pictures and samples are checked against the events, events and results against
    ``run.json``. ``run.json`` itself, and the event files of a command that did not end, are
    checked for being readable only: nothing in the folder vouches for them.

    Raises:
        UsageError: it is not a run folder.
    """
    folder = RunFolder.open(run)
    try:
        manifest = folder.manifest()
    except CorruptRun as error:
        return Verification(1, (Finding(MANIFEST, "unreadable", str(error)),), unfinished=False)
    logged = manifest.get("files")
    if not isinstance(logged, dict):  # before run.json vouched for them
        logged = {}
    begun = [
        path.relative_to(folder.path).as_posix()
        for path in event_files(folder.events_path)
        if path.stat().st_size
    ]
    unfinished = _last_is_open(manifest) or (
        bool(logged) and any(path not in logged for path in begun)
    )
    expected = dict(logged)
    findings: list[Finding] = []
    unchecked: list[str] = []
    if unfinished:
        expected.pop(RESULTS, None)
    try:
        records = folder.records()
    except CorruptRun as error:
        findings.append(Finding("events", "unreadable", str(error)))
    else:
        expected |= _stored(folder, records)
        inputs = check_inputs(manifest, records)
        findings += [Finding(one.name, "changed", one.change) for one in inputs if one.change]
        unchecked += [f"{one.name}: {one.obstacle}" for one in inputs if one.obstacle]
    digests = digests_of(folder.path / path for path in expected)
    for (path, before), now in zip(expected.items(), digests, strict=True):
        if now is None:
            findings.append(Finding(path, "missing", "there is no such file"))
        elif now != before:
            findings.append(Finding(path, "changed", f"SHA-256 was {before}, is {now}"))
    findings += _unknown(folder.path, {*expected, *begun})
    return Verification(len(expected), tuple(findings), unfinished, tuple(unchecked))


def _last_is_open(manifest: Mapping[str, Any]) -> bool:
    commands = manifest["commands"]
    return bool(commands) and not commands[-1].get("ended")


def _stored(folder: RunFolder, records: RunRecords) -> dict[str, str]:
    """Return path -> SHA-256 of everything that the events vouch for."""
    pictures = {
        cell.image: cell.image_sha256 for cell in records.cells.values() if cell.status == "ok"
    }
    samples = {
        folder.sample_path(record.digest, record.resolution, kind).as_posix(): digest
        for record in records.samples.values()
        for kind, digest in record.files.items()
    }
    return pictures | samples


def _unknown(root: Path, known: set[str]) -> Iterator[Finding]:
    """Yield files in the folders of the store that nothing speaks of.

    Pictures of cells that were since made anew lie where they lay; those of dropped rows stay.
    """
    for name in STORED:
        for path in sorted((root / name).rglob("*")):
            relative = path.relative_to(root).as_posix()
            if path.is_file() and relative not in known and path.suffix != ".part":
                yield Finding(relative, "unknown", "the events do not name it")
