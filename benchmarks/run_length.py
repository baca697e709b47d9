"""Masks as PIE-Bench writes them: runs of edited pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 512


def decode_runs(runs: Sequence[int], height: int = SIDE, width: int = SIDE) -> NDArray[np.bool_]:
    """Return the mask (H, W) of (start, length) pairs, true where the edit may change a pixel.

    Starts count from 0 along the rows of a frame of 512x512, whatever size the picture has; a run
    past the end is cut there. A mask of another size has the frame's nearest pixels, so that it
    lies on the same part of the picture. The reference decoder also marks the frame's border:
    that belongs to the protocol ``pie-bench-2023``, not to the data.

    Raises:
        ValueError: a start has no length, or a number is negative.
    """
    import numpy as np

    if len(runs) % 2:
        raise ValueError(f"{len(runs)} numbers: a start has no length")
    if any(number < 0 for number in runs):
        raise ValueError("a start or a length is negative")
    frame = np.zeros(SIDE * SIDE, dtype=bool)
    for start, length in zip(runs[::2], runs[1::2], strict=True):
        frame[start : start + length] = True
    rows, columns = (
        (2 * np.arange(pixels) + 1) * SIDE // (2 * pixels) for pixels in (height, width)
    )
    return frame.reshape(SIDE, SIDE)[np.ix_(rows, columns)]
