"""Rate limits in memory: a bucket of tokens for each key, refilled steadily."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_KEYS = 10_000
"""More keys than this are not remembered; the longest unused is forgotten first."""


class RateLimit:
    """Allows ``burst`` calls at once and ``rate`` calls a second in the long run, for each key."""

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.burst, self.clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, key: str, cost: float = 1.0) -> bool:
        """Return whether a call of ``key`` may pass, and count it if so; cost 0 only asks."""
        now = self.clock()
        level, then = self._buckets.pop(key, (self.burst, now))
        level = min(self.burst, level + (now - then) * self.rate)
        allowed = level >= max(cost, 1.0)
        self._buckets[key] = (level - cost if allowed else level, now)
        if len(self._buckets) > MOST_KEYS:
            self._buckets.popitem(last=False)
        return allowed
