"""Seeds that belong to samples, so that noise never depends on batch, order or worker."""

from __future__ import annotations

from hashlib import sha256


def sample_seed(run_seed: int, sample_id: str) -> int:
    """Return the seed of one sample in [0, 2**63): a hash of the run's seed and the sample's id."""
    digest = sha256(f"{run_seed}:{sample_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
