"""Which weights count in a folder that was run with several: the newest of each setting."""

from __future__ import annotations

from icd_bench.run.cells import canonical_json
from icd_bench.run.storage.records import RunRecords

ModelKey = tuple[str, str, str]
"""Model, method, setting as canonical JSON: what decides which weight files are used."""


def newest_digests(records: RunRecords) -> dict[ModelKey, str]:
    """Return the digest of the weights that each method with each setting used last."""
    return {
        (cell.model, cell.method, canonical_json(cell.setting)): cell.model_digest
        for cell in records.cells.values()
    }
