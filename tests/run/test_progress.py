from __future__ import annotations

import io
import time

import pytest

from icd_bench.run.progress import (
    BarProgress,
    PlainProgress,
    QuietProgress,
    RememberingProgress,
    duration,
    make_progress,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_come_every_ten_seconds_and_at_the_end(clock: list[float]) -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.stage("edit", total=100, done=20)
    for seconds in (4, 4, 4):
        clock[0] += seconds
        progress.advance(10, failed=1)
    clock[0] += 8
    progress.advance(50)
    progress.stage("score", total=5)
    progress.close()
    assert stream.getvalue().splitlines() == [
        "edit: 100 cells, 20 of them done before",
        "edit: 50/100, 3 failed, 2.5/s, 20 s left",
        "edit: 100/100, 3 failed, 4/s in 20 s",
        "score: 5 cells",
    ]


def test_a_finished_stage_is_told_once(clock: list[float]) -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.stage("edit", total=1)
    clock[0] += 11
    progress.advance(1)
    progress.close()
    assert stream.getvalue().count("1/1") == 1


def test_the_bar_shows_counts_throughput_and_failures() -> None:
    stream = Terminal()
    progress = BarProgress(stream)
    progress.stage("edit", total=8, done=2)
    progress.advance(6, failed=1)
    progress.say("[not markup] s3: no")
    progress.close()
    text = stream.getvalue()
    assert "8/8" in text
    assert "/s" in text
    assert "1 failed" in text
    assert "[not markup] s3: no" in text


def test_it_fits_where_it_is_shown() -> None:
    assert isinstance(make_progress(stream=Terminal()), BarProgress)
    assert isinstance(make_progress(stream=io.StringIO()), PlainProgress)
    assert isinstance(make_progress(quiet=True), QuietProgress)


def test_a_line_is_said_and_kept_once() -> None:
    stream = io.StringIO()
    progress = RememberingProgress(PlainProgress(stream))
    progress.say("once")
    progress.say("once")
    assert progress.lines == ["once"]
    assert stream.getvalue() == "once\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min")],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_time_left_follows_the_work_where_it_is_known(clock: list[float]) -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.stage("edit", total=100)
    clock[0] += 12
    progress.advance(50, seconds_left=108)
    assert stream.getvalue().splitlines()[-1] == "edit: 50/100, 4.17/s, 1 min 48 s left"
