"""Faults put in on purpose: nothing that was finished may be lost, nothing wrong may be kept."""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from fake_runs import Run
from run_fakes import FILE, FakeBackbone, FakeModels, here

from icd_bench.errors import CorruptRun, RunLocked, StorageFailed
from icd_bench.registry import load_from_file
from icd_bench.run import RunFolder, RunRequest, execute, runner
from icd_bench.run import manifest as run_manifest
from icd_bench.run.progress import QuietProgress

TIMES = ["seconds_invert", "seconds_edit"]


def files(run: Path) -> dict[str, bytes]:
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for folder in ("images", "samples")
        for path in (run / folder).rglob("*")
        if path.is_file()
    }


def outcome(run: Path) -> pd.DataFrame:
    return RunFolder.open(run).read_results().drop(columns=TIMES)


# ------------------------------------------------------------------------ damaged files


@pytest.mark.fault("a stored picture truncated, emptied, flipped or gone")
@pytest.mark.parametrize("kind", ["images", "samples"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "gone"])
def test_a_damaged_file_is_made_again(run: Run, kind: str, damage: str) -> None:
    summary, _ = run(limit=3)
    whole, table = files(summary.path), outcome(summary.path)
    victim = sorted((summary.path / kind).rglob("*.*"))[0]
    data = victim.read_bytes()
    if damage == "gone":
        victim.unlink()
    else:
        flipped = data[:40] + bytes([data[40] ^ 1]) + data[41:]
        kept = {"truncated": data[: len(data) // 2], "empty": b"", "flipped": flipped}
        victim.write_bytes(kept[damage])
    if kind != "images":  # a finished cell needs its sample for nothing
        for path in (summary.path / "images").rglob("*.png"):
            path.unlink()
    run(limit=3)
    assert files(summary.path) == whole
    pd.testing.assert_frame_equal(outcome(summary.path), table)


@pytest.mark.fault("a torn last line of the log")
@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_torn_last_line_costs_one_batch_at_most(run: Run, cut: int) -> None:
    summary, _ = run(limit=6)
    whole, table = files(summary.path), outcome(summary.path)
    log = sorted((summary.path / "events").iterdir())[-1]
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]) + lines[-1][:-cut])
    run(limit=6)
    assert files(summary.path) == whole
    pd.testing.assert_frame_equal(outcome(summary.path), table)


# --------------------------------------------------------------------------- the disk


def in_child(work: Callable[[], None]) -> str:
    """Do something in a forked process; return the name and message of what it raised."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        message = ""
        try:
            work()
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        os.write(write, message.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        return pipe.read()


@pytest.mark.fault("a limit on the size of files")
@pytest.mark.parametrize("most", [1024, 8192])
def test_files_that_may_not_grow(
    run: Run, request_of: Callable[..., RunRequest], most: int
) -> None:
    """The operating system refuses larger files: the first one of a run, and its results."""
    whole, _ = run(limit=4)
    request = request_of(limit=4, out=whole.path.with_name("cramped"))

    def cramped() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        execute(request, QuietProgress(), FakeModels())

    said = in_child(cramped)
    assert said.startswith(StorageFailed.__name__)
    assert os.strerror(errno.EFBIG) in said
    summary, _ = run(limit=4, out=request.out)
    assert files(summary.path) == files(whole.path)
    pd.testing.assert_frame_equal(outcome(summary.path), outcome(whole.path))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.fault("a full disk (tmpfs of 1 MiB)")
def test_a_full_disk(run: Run, small_disk: Path) -> None:
    whole, _ = run(limit=6)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(992 * 1024))
    with pytest.raises(StorageFailed, match="No space left"):
        run(limit=6, out=small_disk / "run")
    ballast.unlink()
    summary, _ = run(limit=6, out=small_disk / "run")
    assert files(summary.path) == files(whole.path)
    pd.testing.assert_frame_equal(outcome(summary.path), outcome(whole.path))


@pytest.mark.fault("a folder that may not be written")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)

    def as_stranger() -> None:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        with RunFolder(tmp_path / "run").writer():
            pass

    said = in_child(as_stranger)
    tmp_path.chmod(0o755)
    assert said.startswith(StorageFailed.__name__)
    assert "Permission denied" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.fault("two processes on one folder: the second is refused")
def test_a_second_run_is_refused_while_the_first_goes_on(
    run: Run, request_of: Callable[..., RunRequest]
) -> None:
    summary, _ = run(limit=1)
    before = files(summary.path)
    with RunFolder(summary.path).writer():
        said = in_child(lambda: run(limit=5))
    assert said.startswith(RunLocked.__name__)
    assert f"process {os.getpid()} on" in said
    assert files(summary.path) == before


# --------------------------------------------------------------------------- the work


def changed(monkeypatch: pytest.MonkeyPatch, name: str, wrap: Callable[..., Any]) -> None:
    method = load_from_file(here("Tint")[0])
    monkeypatch.setattr(method, name, wrap(getattr(method, name)))


@pytest.mark.fault("an inversion or an edit that hangs")
@pytest.mark.parametrize("stage", ["invert", "edit"])
def test_work_that_hangs_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def hanging(work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(self: Any, backbone: Any, batch: Any, *rest: Any) -> Any:
            if "s2" in batch.ids:
                time.sleep(60)
            return work(self, backbone, batch, *rest)

        return wrapper

    changed(monkeypatch, stage, hanging)
    start = time.monotonic()
    summary, results = run(limit=4, timeout=0.25)
    assert time.monotonic() - start < 20
    assert (summary.done, summary.failed) == (3, 1)
    row = results.set_index("sample_id").loc["s2"]
    assert (row["failed_stage"], row["error_type"]) == (stage, "TimedOut")
    assert row["error"] == "took longer than 0.25 seconds"
    monkeypatch.undo()
    again, _ = run(limit=4, timeout=60)
    assert (again.done, again.failed, again.skipped) == (1, 0, 3)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.fault("out of memory: the batch is halved")
def test_memory_of_the_machine_runs_out(run: Run, tmp_path: Path) -> None:
    class Tight(FakeBackbone):
        def check(self, size: int) -> None:
            if size > 2:
                raise MemoryError

    whole, _ = run(sweeps=("strength=0.1,0.2,0.3",))
    models = FakeModels(backbone=Tight())
    sweeps = ("strength=0.1,0.2,0.3",)
    summary, _ = run(models, sweeps=sweeps, out=tmp_path / "tight", cache_size=0)
    assert summary.failed == 0
    assert files(summary.path) == files(whole.path)


@pytest.mark.fault("latents that are not numbers: a failed cell")
def test_latents_that_are_no_numbers_are_a_failed_cell(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(self: Any, backbone: Any, batch: Any, setting: Any) -> Any:
            inversion = work(self, backbone, batch, setting)
            for place, sample in enumerate(batch.ids):
                if sample == "s1":
                    inversion.tensors["latents"][place, 0, 0, 0] = torch.inf
            return inversion

        return wrapper

    changed(monkeypatch, "invert", spoiled)
    summary, results = run(limit=4)
    assert (summary.done, summary.failed) == (3, 1)
    row = results.set_index("sample_id").loc["s1"]
    assert (row["failed_stage"], row["error_type"]) == ("invert", "NotFinite")
    assert pd.isna(row["distance"])
    monkeypatch.undo()
    assert run(limit=4)[0].failed == 0


@pytest.mark.fault("a clock that jumps, by eleven days, both ways")
@pytest.mark.parametrize("jump", [-(10**6), 10**6])
def test_the_clock_jumps(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    whole, _ = run(limit=4)
    times = itertools.count(10**9, jump)

    def now() -> str:
        return pd.Timestamp(next(times), unit="s").isoformat()

    monkeypatch.setattr(run_manifest, "now", now)
    monkeypatch.setattr(time, "time", lambda: float(next(times)))
    run(limit=2, out=tmp_path / "jumping")
    summary, results = run(limit=4, out=tmp_path / "jumping")
    assert (summary.done, summary.skipped) == (2, 2)
    assert (results[TIMES] >= 0).all().all()
    assert (results[TIMES] < 60).all().all()
    assert files(summary.path) == files(whole.path)


# ------------------------------------------------------------------------- other versions


@pytest.mark.fault("results of an older version")
def test_results_of_an_older_schema_are_made_again(run: Run) -> None:
    summary, table = run(limit=2)
    older(summary.path)
    pd.testing.assert_frame_equal(RunFolder.open(summary.path).read_results(), table)


@pytest.mark.fault("results of an older version")
def test_results_of_an_older_schema_without_events_are_brought_up(run: Run) -> None:
    summary, table = run(limit=2)
    older(summary.path)
    shutil.rmtree(summary.path / "events")
    migrated = RunFolder.open(summary.path).read_results()
    assert list(migrated.columns) == list(table.columns)
    assert (migrated["source_sha256"] == "").all()
    same = [column for column in table if column != "source_sha256"]
    pd.testing.assert_frame_equal(migrated[same], table[same])


def older(run: Path) -> None:
    """Turn the results into those of schema 1."""
    import pyarrow.parquet as pq

    from icd_bench.run.storage.columns import METADATA_KEY

    path = run / "results.parquet"
    table = pq.read_table(path).drop_columns(["source_sha256"])
    metadata = json.loads(table.schema.metadata[METADATA_KEY]) | {"schema_version": 1}
    pq.write_table(
        table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata).encode()}), path
    )


@pytest.mark.fault("an event that cannot be read: refused by name")
@pytest.mark.parametrize(
    "event",
    [
        {"kind": "cells"},
        {"kind": "cells", "common": {}, "cells": [{"cell_id": "a", "from_the_future": 1}]},
        {"kind": "cells", "common": {}, "cells": [{"cell_id": "../../a"}]},
        {"kind": "cells", "common": {}, "cells": [{"cell_id": "a", "image": "../../etc/passwd"}]},
        {"kind": "cells", "common": {}, "cells": [{"cell_id": "a", "image": "/etc/passwd"}]},
        {"kind": "scores", "metric": "m", "signature": "s", "values": [["a", "b", "much"]]},
        {"kind": "samples", "samples": [{"digest": "../x"}]},
        {"kind": 5},
        [],
    ],
)
def test_events_that_cannot_be_read_are_named(run: Run, event: object) -> None:
    summary, _ = run(limit=1)
    log = sorted((summary.path / "events").iterdir())[-1]
    log.write_text(f"{json.dumps(event)}\n{log.read_text()}")
    with pytest.raises(CorruptRun, match="events"):
        RunFolder.open(summary.path).results()


@pytest.mark.fault("a run of a newer version: refused by name")
def test_a_run_of_a_newer_version_is_refused(run: Run) -> None:
    summary, _ = run(limit=1)
    path = summary.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 2}))
    for read in (RunFolder.open(summary.path).results, RunFolder.open(summary.path).records):
        with pytest.raises(CorruptRun, match="newer icd-bench"):
            read()


# ---------------------------------------------------------------------------- provenance


def test_run_json_tells_everything(run: Run) -> None:
    summary, _ = run(limit=2)
    last = json.loads((summary.path / "run.json").read_text())["commands"][-1]
    assert set(last["determinism"]) >= {"deterministic_algorithms", "cudnn_deterministic"}
    assert last["peak_memory"] > 2**20
    assert len(last["data_digest"]) == 64
    assert {"processor", "cores", "memory_bytes"} <= set(last["hardware"])


@pytest.mark.fault("a hub token in the environment: stored nowhere")
def test_tokens_are_not_stored(run: Run, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN"):
        monkeypatch.setenv(name, "hf_secret")
    summary, _ = run(benchmark=here("Troubled")[0])
    for path in summary.path.rglob("*"):
        assert not path.is_file() or b"hf_secret" not in path.read_bytes()
    assert "hf_secret" not in "".join(capfd.readouterr())


# ------------------------------------------------------------------------------- subsets


def test_a_subset_is_balanced_and_does_not_depend_on_the_order(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, sample = load_from_file(here("Ten")[0]), load_from_file(f"{FILE}:make_sample")
    rows = [sample(index, category=f"k{index % 3}") for index in range(90)]
    monkeypatch.setattr(bench, "samples", lambda self: iter(rows))
    first, results = run(subset="ci")
    assert len(results) == 50
    assert sorted(results["category"].value_counts()) == [16, 17, 17]
    chosen = set(results["sample_id"])
    monkeypatch.setattr(bench, "samples", lambda self: iter(rows[::-1]))
    plan = runner.make_plan(request(first.path), FakeModels())
    assert {row.sample_id for row in plan.rows} == chosen
    again, _ = run(subset="ci")
    assert (again.done, again.skipped) == (0, 50)


def request(out: Path) -> RunRequest:
    return RunRequest(methods=here("Tint"), benchmark=here("Ten")[0], subset="ci", out=out)


def test_a_subset_and_the_whole_share_a_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, sample = load_from_file(here("Ten")[0]), load_from_file(f"{FILE}:make_sample")
    monkeypatch.setattr(bench, "samples", lambda self: (sample(index) for index in range(60)))
    run()
    summary, results = run(subset="ci")
    assert (summary.done, summary.skipped) == (0, 50)
    assert len(results) == 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subset": "cj"}, 'unknown subset "cj". Did you mean "ci"'),
        ({"subset": "ci", "limit": 3}, "give one of them"),
        ({"timeout": 0.0}, "above 0 seconds"),
    ],
)
def test_impossible_requests(run: Run, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message) as caught:
        run(**changes)
    assert type(caught.value).__name__ in ("UsageError", "UnknownName")
