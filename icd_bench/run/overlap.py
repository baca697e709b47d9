"""Work beside the work: what comes next is read ahead, what is finished is put away behind."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, cast

T = TypeVar("T")

_END: Final = object()


def ahead(items: Iterable[T], most: int = 1) -> Iterator[T]:
    """Yield items in order while a thread makes the next ones.

    Args:
        items: iterated in the thread alone; what it raises is raised here, in its turn.
        most: items that lie ready beside the one in use.
    """
    source = iter(items)

    def begin() -> Future[Any]:
        return thread.submit(next, source, _END)

    thread = ThreadPoolExecutor(1, "ahead")
    try:
        begun = deque(begin() for _ in range(most))
        while (item := begun.popleft().result()) is not _END:
            begun.append(begin())
            yield cast(T, item)
    finally:
        thread.shutdown(cancel_futures=True)


class Behind(Generic[T]):
    """Does something with items in a thread, in the order in which they are put, by any thread.

    Leaving the ``with`` waits for everything that was put, also after an interrupt or an error.

    Args:
        work: done with each item, in the thread alone.
        most: items that wait; putting another one waits for room.
    """

    def __init__(self, work: Callable[[T], object], most: int = 2) -> None:
        self._work = work
        self._most = most
        self._thread = ThreadPoolExecutor(1, "behind")
        self._begun: deque[Future[object]] = deque()
        self._putting = threading.Lock()

    def put(self, item: T) -> None:
        """Hand an item over; raises what the work on an earlier one raised."""
        with self._putting:
            self._begun.append(self._thread.submit(self._work, item))
            while len(self._begun) > self._most:
                self._begun[0].result()
                self._begun.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            while self._begun:
                self._begun.popleft().result()
        finally:
            self._thread.shutdown()
