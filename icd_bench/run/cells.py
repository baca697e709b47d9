"""Cells: the unit of resume, error and score, named by the content that decides their picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

ID_LENGTH = 20
"""Hex digits of an id: 80 bits, so that a million cells collide with probability 4e-13."""


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN or infinity."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def content_id(value: Any) -> str:
    """Return the first ``ID_LENGTH`` hex digits of the SHA-256 of a value's canonical JSON."""
    return sha256(canonical_json(value).encode()).hexdigest()[:ID_LENGTH]


@dataclass(frozen=True)
class CellIdentity:
    """Everything that decides an edited picture, and nothing else."""

    method: str
    version: str
    """The method's version."""
    model: str
    """Digest of the model's weights."""
    setting: Mapping[str, Any]
    """Every field of the resolved setting, as JSON values."""
    sample: str
    """The sample's digest."""
    seed: int
    """The sample's own seed, derived from the run's seed and the sample's id."""
    protocol: str

    def cell_id(self) -> str:
        """Return the name of the cell."""
        return content_id(vars(self))


def inversion_id(
    method: str,
    version: str,
    model: str,
    inversion_fields: Mapping[str, Any],
    sample: str,
    seed: int,
    protocol: str,
) -> str:
    """Return the name of the inversion that all cells with these inversion fields share."""
    return content_id(
        {
            "method": method,
            "version": version,
            "model": model,
            "inversion_fields": inversion_fields,
            "sample": sample,
            "seed": seed,
            "protocol": protocol,
        }
    )
