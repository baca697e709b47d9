"""Scores of one row, picture by picture, kept on the disk: a second run computes nothing again."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from icd_bench.errors import CorruptRun
from icd_bench.run.storage.files import write_file

_IDS = "ids"
Column = NDArray[np.floating]


@dataclass
class Cells:
    """Columns of numbers with a row for each sample, in one file.

    Args:
        path: an ``.npz``; what it holds is part of its name (:func:`cell_name`).
    """

    path: Path
    columns: dict[str, Column] = field(default_factory=dict)
    """Name -> (N, ...)."""
    _place: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> Cells:
        """Read what there is.

        Raises:
            CorruptRun: the file cannot be read.
        """
        if not path.exists():
            return cls(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                columns = {name: stored[name] for name in stored.files}
            ids = columns.pop(_IDS).tolist()
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CorruptRun(f"{path}: cannot be read ({error}); remove it") from error
        return cls(path, columns, {name: place for place, name in enumerate(ids)})

    def missing(self, ids: Collection[str]) -> set[str]:
        """Return the samples that are not here."""
        return set(ids) - self._place.keys()

    def add(self, ids: Sequence[str], columns: dict[str, Column]) -> None:
        """Add samples that are not here yet and write the file, whole or not at all."""
        if self.columns:
            columns = {
                name: np.concatenate([self.columns[name], new]) for name, new in columns.items()
            }
        self.columns = columns
        self._place |= {name: len(self._place) + place for place, name in enumerate(ids)}
        content = io.BytesIO()
        arrays: Any = {_IDS: np.array(list(self._place)), **self.columns}
        np.savez_compressed(content, **arrays)
        write_file(self.path, content.getvalue())

    def read(self, ids: Sequence[str]) -> dict[str, Column]:
        """Return the columns in the order of ``ids``."""
        rows = [self._place[name] for name in ids]
        return {name: column[rows] for name, column in self.columns.items()}


def cell_name(made_by: dict[str, Any]) -> str:
    """Return a file name for everything that decides the numbers."""
    text = json.dumps(made_by, sort_keys=True)
    return f"{sha256(text.encode()).hexdigest()[:20]}.npz"
