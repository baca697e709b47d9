from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake_runs import Run
from run_fakes import here

from icd_bench.registry import load_from_file
from icd_bench.run.overlap import Behind, ahead


def test_ahead_keeps_the_order() -> None:
    assert list(ahead(range(20), most=3)) == list(range(20))
    assert list(ahead(())) == []


@pytest.mark.parametrize("most", [1, 3])
def test_ahead_makes_no_more_than_it_may(most: int) -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    read = ahead(items(), most)
    for number in range(4):
        assert next(read) == number
    time.sleep(0.05)
    assert len(made) == 4 + most
    read.close()
    assert len(made) == 4 + most


def test_ahead_works_while_its_user_does() -> None:
    second_is_made, first_is_used = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second_is_made.set()
        assert first_is_used.wait(10)
        yield 2

    for number in ahead(items()):
        if number == 1:
            assert second_is_made.wait(10)
            first_is_used.set()


def test_ahead_raises_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("unreadable")

    read = ahead(items())
    assert next(read) == 1
    with pytest.raises(ValueError, match="unreadable"):
        next(read)


def test_behind_keeps_the_order_and_ends_with_everything_done() -> None:
    done: list[int] = []

    def slowly(number: int) -> None:
        time.sleep(0.002)
        done.append(number)

    with Behind(slowly) as behind:
        for number in range(20):
            behind.put(number)
    assert done == list(range(20))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_that_was_put_is_lost(error: type[BaseException]) -> None:
    done: list[int] = []

    def slowly(number: int) -> None:
        time.sleep(0.02)
        done.append(number)

    def interrupted() -> None:
        with Behind(slowly) as behind:
            for number in range(3):
                behind.put(number)
            raise error

    with pytest.raises(error):
        interrupted()
    assert done == [0, 1, 2]


def test_no_more_than_some_wait() -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def blocked(number: int) -> None:
        begun.release()
        assert go_on.wait(10)

    put: list[int] = []

    def fill() -> None:
        with Behind(blocked, most=2) as behind:
            for number in range(6):
                behind.put(number)
                put.append(number)

    filling = threading.Thread(target=fill)
    filling.start()
    begun.acquire()
    time.sleep(0.05)
    assert put == [0, 1]
    go_on.set()
    filling.join(10)
    assert put == list(range(6))


def test_what_fails_behind_is_raised_at_the_next_put_or_the_end() -> None:
    def refuse(number: int) -> None:
        raise OSError("disk full")

    def put(count: int) -> None:
        with Behind(refuse, most=1) as behind:
            for number in range(count):
                behind.put(number)

    for count in (1, 5):
        with pytest.raises(OSError, match="disk full"):
            put(count)


def test_an_interrupted_run_keeps_every_picture_that_was_edited(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = load_from_file(here("Tint")[0])
    edit = method.edit

    def interrupted(self: Any, backbone: Any, batch: Any, *rest: Any) -> Any:
        if "s8" in batch.ids:
            raise KeyboardInterrupt
        return edit(self, backbone, batch, *rest)

    monkeypatch.setattr(method, "edit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.undo()
    summary, results = run()
    assert (summary.skipped, summary.done) == (8, 2)
    assert results["distance"].notna().all()
