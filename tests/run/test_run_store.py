from __future__ import annotations

import json
import multiprocessing
import os
import socket
from pathlib import Path

import pytest

from icd_bench.errors import CorruptRun, RunLocked, StorageFailed, UsageError
from icd_bench.run.storage.events import EventWriter, read_events
from icd_bench.run.storage.files import TEMPORARY_SUFFIX, write_file
from icd_bench.run.storage.records import RunRecords, score_value
from icd_bench.run.storage.store import RunFolder, latest_run


def logged(folder: Path, *events: dict[str, object]) -> Path:
    writer = EventWriter(folder)
    for event in events:
        writer.append(event)
    writer.close()
    return writer.path


def test_events_come_back_in_order_over_processes(tmp_path: Path) -> None:
    first = logged(tmp_path, {"kind": "a", "é": 1}, {"kind": "b"})
    second = logged(tmp_path, {"kind": "c"})
    assert first.name < second.name
    assert [event["kind"] for event in read_events(tmp_path)] == ["a", "b", "c"]


def test_every_cut_through_the_last_line_is_tolerated(tmp_path: Path) -> None:
    path = logged(tmp_path, {"kind": "a"}, {"kind": "b", "cells": [1, 2]})
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    for end in range(start, len(whole) + 1):
        path.write_bytes(whole[:end])
        kinds = [event["kind"] for event in read_events(tmp_path)]
        assert kinds == (["a", "b"] if end >= len(whole) - 1 else ["a"])


def test_a_torn_line_stays_harmless_when_the_run_goes_on(tmp_path: Path) -> None:
    path = logged(tmp_path, {"kind": "a"}, {"kind": "b"})
    path.write_bytes(path.read_bytes()[:-4])
    logged(tmp_path, {"kind": "c"})
    assert [event["kind"] for event in read_events(tmp_path)] == ["a", "c"]


def test_damage_before_the_end_is_named(tmp_path: Path) -> None:
    path = logged(tmp_path, {"kind": "a"}, {"kind": "b"}, {"kind": "c"})
    path.write_bytes(b"?" + path.read_bytes())
    with pytest.raises(CorruptRun, match=r"000001-main\.jsonl: line 1"):
        list(read_events(tmp_path))


def test_a_process_without_events_leaves_no_file(tmp_path: Path) -> None:
    assert not logged(tmp_path).exists()


def test_a_failed_append_takes_its_torn_line_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = EventWriter(tmp_path)
    writer.append({"kind": "a"})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            writer.append({"kind": "b"})
    writer.append({"kind": "c"})
    writer.close()
    assert [event["kind"] for event in read_events(tmp_path)] == ["a", "c"]


@pytest.mark.parametrize("value", [0.5, float("inf"), float("-inf"), float("nan")])
def test_scores_survive_json(value: float) -> None:
    text = json.dumps(score_value(value), allow_nan=False)
    assert repr(float(json.loads(text))) == repr(value)


def test_later_kinds_of_events_are_passed_over() -> None:
    assert RunRecords.replay([{"kind": "from the future"}]) == RunRecords()


def test_files_are_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ab" / "x.png"
    write_file(path, b"old")

    def crash(source: object, target: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            write_file(path, b"new")
    assert path.read_bytes() == b"old"


def hold(path: Path, ready: object, leave: object) -> None:
    with RunFolder(path).writer():
        ready.set()  # type: ignore[attr-defined]
        leave.wait(30)  # type: ignore[attr-defined]


def test_a_second_process_is_refused_and_told_who_holds_the_run(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path / "run", ready, leave))
    holder.start()
    try:
        assert ready.wait(60)
        message = f"process {holder.pid} on {socket.gethostname()}"
        with pytest.raises(RunLocked, match=message), RunFolder(tmp_path / "run").writer():
            pass
    finally:
        holder.kill()
        holder.join()
    with RunFolder(tmp_path / "run").writer():
        pass


def test_what_an_interrupted_write_left_is_removed(tmp_path: Path) -> None:
    part = tmp_path / "run" / "images" / "ab" / f"x.png{TEMPORARY_SUFFIX}"
    with RunFolder(tmp_path / "run").writer():
        pass
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    with RunFolder(tmp_path / "run").writer():
        assert not part.exists()


def test_a_folder_with_other_things_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="other things"), RunFolder(tmp_path).writer():
        pass
    with pytest.raises(UsageError, match="is a file"), RunFolder(tmp_path / "thesis.tex").writer():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_refusing_disk_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    folder = RunFolder(tmp_path / "run")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageFailed, match="No space left on device"), folder.writer() as writer:
        writer.write_manifest({})


def test_other_errors_are_not_blamed_on_the_disk(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), RunFolder(tmp_path / "run").writer():
        raise BrokenPipeError


def test_opening_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run folder"):
        RunFolder.open(tmp_path)
    manifest = tmp_path / "run.json"
    manifest.write_text("{")
    with pytest.raises(CorruptRun, match=r"run\.json"):
        RunFolder.open(tmp_path).manifest()
    manifest.write_text('{"schema": 99}')
    with pytest.raises(CorruptRun, match="newer icd-bench"):
        RunFolder.open(tmp_path).manifest()
    manifest.write_text('{"schema": 1}')
    (tmp_path / "results.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(CorruptRun, match="made again from the events"):
        RunFolder.open(tmp_path).results()


def test_the_latest_run_is_the_one_worked_on_last(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run yet"):
        latest_run(tmp_path)
    for place, name in enumerate(("b", "a", "c")):
        path = tmp_path / name / "run.json"
        path.parent.mkdir()
        path.write_text("{}")
        os.utime(path, (100 + place, 100 + place))
    os.utime(tmp_path / "a" / "run.json", (200, 200))
    assert latest_run(tmp_path) == tmp_path / "a"
