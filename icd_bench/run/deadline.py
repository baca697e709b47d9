"""An end to work that hangs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

REPEAT_SECONDS = 1.0
"""The alarm rings again, in case the first was swallowed by what hangs."""


class TimedOut(Exception):
    """The work took longer than it was given."""


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise TimedOut in the work below when it takes longer than some seconds.

    It interrupts whatever Python does, sleeping and waiting included; a single call into native
    code is interrupted when it returns. In other threads than the main one there is no limit:
    signals reach only that one.

    Args:
        seconds: None for no limit.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimedOut(f"took longer than {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
        finally:  # it may ring just here
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
