"""The timesteps that an invertible consistency model jumps between (iCD, arXiv 2406.14539).

No torch here: settings and file names are made from these sets before any model is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from icd_bench.errors import UnknownName
from icd_bench.registry import suggest

CLEAN: Final = -1
"""The time of clean data: alpha 1 and sigma 0 exactly, where alphas_cumprod[0] is .99915."""

Jump: TypeAlias = tuple[int, int]
"""From timestep t, which the network is told, to timestep s (or ``CLEAN``)."""

START: Final = 19
"""Where forward jumps start: clean data plus a little noise, as in the paper."""

_GRID: Final = tuple(20 * k - 1 for k in range(1, 51))
"""The 50 timesteps that the models are trained on: 19, 39 .. 999."""


@dataclass(frozen=True)
class TimestepSet:
    """Boundaries of m forward and m reverse jumps.

    Args:
        endpoints: m timesteps, ascending; where the forward jumps end and the reverse ones start.
    """

    endpoints: tuple[int, ...]

    @property
    def forward(self) -> tuple[Jump, ...]:
        """The m jumps of the inversion, from 19 to the last endpoint."""
        return tuple(zip((START, *self.endpoints[:-1]), self.endpoints, strict=True))

    @property
    def reverse(self) -> tuple[Jump, ...]:
        """The m jumps of generation, from the last endpoint to clean data."""
        descending = self.endpoints[::-1]
        return tuple(zip(descending, (*descending[1:], CLEAN), strict=True))

    @property
    def forward_file(self) -> str:
        """Name of the released weights of the forward model."""
        return f"forward-{_dashed(t for t, _ in self.forward)}.safetensors"

    @property
    def reverse_file(self) -> str:
        """Name of the released weights of the reverse model."""
        return f"reverse-{_dashed(self.endpoints)}.safetensors"


def derived_set(jumps: int) -> TimestepSet:
    """Return the set that the official code makes of a number of jumps.

    Args:
        jumps: m within 1 .. 50. Every ceil(50 / m)-th timestep of the grid is an endpoint, and
            999; the released set "3" differs from what this makes of 3.
    """
    interval = math.ceil(len(_GRID) / jumps)
    return TimestepSet((*_GRID[interval - 1 : -1 : interval], _GRID[-1]))


RELEASED: Final = {
    "4a": TimestepSet((259, 519, 779, 999)),
    "4b": TimestepSet((249, 499, 699, 999)),
    "3": TimestepSet((339, 699, 999)),
    "2": derived_set(2),
}
"""The sets of the released SD1.5 and SDXL models, and the derived one of two jumps."""


def timestep_set(name: str) -> TimestepSet:
    """Return a set by its name.

    Raises:
        UnknownName: there is no such set.
    """
    if name not in RELEASED:
        raise UnknownName(
            f'unknown timestep set "{name}".{suggest(name, RELEASED)} Known: {", ".join(RELEASED)}.'
        )
    return RELEASED[name]


def _dashed(timesteps: Iterable[int]) -> str:
    return "-".join(map(str, timesteps))
