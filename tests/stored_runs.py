"""Run folders for tests: samples, cells, scores and description, written as a run writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from icd_bench.run.storage.store import RunFolder, RunWriter

COMMON = {
    "method_version": "1",
    "inversion_id": "i",
    "model": "m",
    "model_digest": "d",
    "benchmark": "b",
    "split": "",
    "seed": 0,
    "sample_seed": 0,
    "protocol": "native",
    "device": "cpu",
    "dtype": "float32",
}
COST = {
    "status": "ok",
    "nfe_invert": 4,
    "nfe_source": 4,
    "nfe_edit": 4,
    "seconds_invert": 0.25,
    "seconds_edit": 0.5,
}
FAILED = {"status": "failed", "error_type": "EditFailed", "error": "no edit"}


class StoredRun:
    """A run while it is written; all pictures have one size."""

    def __init__(self, writer: RunWriter, side: int) -> None:
        self.writer = writer
        self.side = side

    def add_sample(self, name: str, pictures: Mapping[str, bytes], **fields: Any) -> None:
        """Add a sample with its ``source``, ``target`` and ``mask`` as PNG, those it has."""
        digest = fields.pop("digest", digest_of(name))
        entry = {
            "digest": digest,
            "resolution": self.side,
            "id": name,
            "source_prompt": "",
            "target_prompt": "",
            "blend_words": [[], []],
            "category": "",
            "metadata": {},
            "files": {kind: sha256(png).hexdigest() for kind, png in pictures.items()},
        }
        folder = self.writer.folder
        paths = {folder.sample_path(digest, self.side, k): png for k, png in pictures.items()}
        self.writer.add_samples([entry | fields], paths)

    def add_cells(
        self,
        method: str,
        setting: Mapping[str, Any],
        cells: Sequence[Mapping[str, Any]],
        pictures: Mapping[str, bytes] | None = None,
        **common: Any,
    ) -> None:
        """Add cells of one setting; each needs ``cell_id``, ``sample_id`` and ``sample_index``."""
        known = pictures or {}
        entries: list[dict[str, Any]] = []
        for cell in cells:
            name = cell["cell_id"]
            entry: dict[str, Any] = {**COST, "sample_digest": digest_of(cell["sample_id"]), **cell}
            if entry["status"] == "ok":
                entry["image_sha256"] = sha256(known.get(name, b"")).hexdigest()
            if name in known:
                entry["image"] = self.writer.folder.image_path(name).as_posix()
            entries.append(entry)
        shared = {"method": method, "setting": dict(setting), "resolution": self.side}
        self.writer.add_cells({**COMMON, **shared, **common}, entries, known)

    def add_metric(self, name: str, values: Mapping[str, float], **card: Any) -> None:
        """Add one metric: cell id -> value, of which those of failed cells are dropped."""
        full = {
            "signature": f"{name}|v1",
            "title": name,
            "direction": "higher",
            "unit": "",
            "group": "preservation",
            "citation": "none",
            **card,
        }
        self.writer.record({"kind": "metric", "name": name, **full})
        cells = self.writer.records.cells
        done = {cell: float(value) for cell, value in values.items() if cells[cell].status == "ok"}
        self.writer.add_scores(name, full["signature"], done)


@contextmanager
def stored_run(path: Path, side: int, manifest: Mapping[str, Any]) -> Iterator[StoredRun]:
    """Write a run folder; its results and its ``run.json`` are written at the end."""
    with RunFolder(path).writer() as writer:
        yield StoredRun(writer, side)
        writer.compact()
        writer.write_manifest(manifest)


def digest_of(name: str) -> str:
    """Return the digest that a sample of this name has."""
    return sha256(name.encode()).hexdigest()
