"""The log for TensorBoard, where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any


class Board:
    """Writes the figures of a run as scalars; lines after the first one's step are replaced.

    Args:
        folder: of the event files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def __call__(self, step: int, figures: Mapping[str, float]) -> None:
        """Write the figures of a step."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=step)
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()


def board(folder: Path) -> Board | None:
    """Return what writes into a folder, or None where TensorBoard is not installed."""
    return Board(folder) if find_spec("tensorboard") else None
