"""Files of the other set of a set distance, and what they were made of.

``.safetensors``, written by ``icd-bench data statistics``: arrays, and beside them the network, its
weights, its preprocessing, the number of pictures and how they were brought to size, all of which
are checked where the file is used. ``.npz`` as other programs write it says nothing of that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from icd_bench.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float64]

SUFFIX = ".safetensors"
METADATA_KEY = "icd_bench_reference"


@dataclass(frozen=True)
class Made:
    """How a file's arrays were made."""

    net: str
    weights: str
    """Digest of the network's weights."""
    size: str
    """How the network's input is made of a picture."""
    pictures: int
    resolution: int | None = None
    """Side that pictures were brought to before that, as a run does; None: as they were."""
    protocol: str = "native"
    """The rule by which they were, where they were."""
    source: str = ""
    """The benchmark or the folder's name."""


def to_safetensors(arrays: Mapping[str, Features], made: Made) -> bytes:
    """Return the bytes of a file."""
    from safetensors.numpy import save

    return save(dict(arrays), {METADATA_KEY: json.dumps(asdict(made))})


def read_arrays(file: Path, names: tuple[str, ...], made: Made | None = None) -> list[Features]:
    """Return arrays of a file.

    Args:
        file: ``.safetensors``, or ``.npz``.
        names: of the arrays.
        made: how the edits' features are made, its number of pictures aside.

    Raises:
        UsageError: it is missing or damaged, lacks one of them, or was made in another way.
    """
    if file.suffix == SUFFIX:
        return _read_safetensors(file, names, made)
    try:
        with np.load(file, allow_pickle=False) as content:
            return [content[name].astype(np.float64) for name in names]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise UsageError(f"{file}: no .npz file with {' and '.join(names)}: {error}") from error


def _read_safetensors(file: Path, names: tuple[str, ...], made: Made | None) -> list[Features]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as content:
            arrays = [content.get_tensor(name).astype(np.float64) for name in names]
            found = Made(**json.loads((content.metadata() or {})[METADATA_KEY]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{file}: not statistics with {' and '.join(names)} ({error}); make them with: "
            "icd-bench data statistics"
        ) from error
    if made is not None:
        _check(file, found, made)
    return arrays


def _check(file: Path, found: Made, expected: Made) -> None:
    """Refuse statistics of another network or preprocessing, or of another size than the edits."""
    fields = ["net", "weights", "size"]
    if None not in (found.resolution, expected.resolution):
        fields.append("resolution")
    for name in fields:
        theirs, ours = getattr(found, name), getattr(expected, name)
        if theirs != ours:
            raise UsageError(
                f"{file}: made with {name} {theirs}, the edits' features with {ours}; make it anew "
                "with: icd-bench data statistics"
            )
