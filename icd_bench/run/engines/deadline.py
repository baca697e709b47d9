"""An end to work that hangs."""

from __future__ import annotations

import faulthandler
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

REPEAT_SECONDS = 1.0
"""The alarm rings again, in case the first was swallowed by what hangs."""
GRACE_SECONDS = 5.0
"""How much later than the alarm a process that may be ended is ended."""


class TimedOut(Exception):
    """The work took longer than it was given."""


@contextmanager
def deadline(seconds: float | None, fatal: bool = False) -> Iterator[None]:
    """Raise TimedOut in the work below when it takes longer than some seconds.

    It interrupts whatever Python does, sleeping and waiting included; a single call into native
    code is interrupted when it returns. In other threads than the main one there is no limit:
    signals reach only that one.

    Args:
        seconds: None for no limit.
        fatal: end this process, with a traceback, where a call into native code does not return
            either. That is for processes that others watch (``icd_bench.run.engines.dispatch``).
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimedOut(f"took longer than {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    if fatal:
        # Its thread is not Python's: it needs no lock that the hanging call may hold.
        faulthandler.dump_traceback_later(
            seconds + GRACE_SECONDS, exit=True, file=sys.__stderr__ or sys.stderr
        )
    try:
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
        finally:  # it may ring just here
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            if fatal:
                faulthandler.cancel_dump_traceback_later()
