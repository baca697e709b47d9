"""Inversions that one of several streams is making, while others need them."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

PAUSE_SECONDS = 0.02
"""Little beside an inversion. A stream that sleeps can be stopped, one that waits for a lock
cannot."""


class InProgress:
    """Keys of the inversions that are being made, each by one stream."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._looking = threading.Lock()

    @contextmanager
    def holding(self, keys: Collection[str]) -> Iterator[None]:
        """Wait until nobody makes any of these, and keep others from making them meanwhile.

        Keys are taken all at once, so no two streams wait for each other; they are given back
        however the work ends, and who waited then looks for the inversions, or makes them.
        """
        while not self._take(keys):
            time.sleep(PAUSE_SECONDS)
        try:
            yield
        finally:
            with self._looking:
                self._keys.difference_update(keys)

    def _take(self, keys: Collection[str]) -> bool:
        with self._looking:
            free = self._keys.isdisjoint(keys)
            if free:
                self._keys.update(keys)
            return free
