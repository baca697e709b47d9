"""Real workers: processes of this machine, and actors of a local Ray cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from fake_runs import Run
from run_fakes import Tint

from icd_bench import registry
from icd_bench.api import Batch, Edits, Inversion, MethodInfo, Setting
from icd_bench.errors import UsageError, WorkersFailed
from icd_bench.run import RunFolder
from icd_bench.run.engines import deadline as deadlines
from icd_bench.run.engines.processes import (
    VISIBLE,
    ProcessEngine,
    seeing,
    serve,
    visible_accelerators,
)
from icd_bench.run.engines.ray_engine import workers_of

TIMES = ["seconds_invert", "seconds_edit"]
PLACE = "ICD_BENCH_TEST_PLACE"
MORTAL, STUCK, WAITING = (f"{__file__}:{name}" for name in ("Mortal", "Stuck", "Waiting"))


class Mortal(Tint):
    """Its process is killed when it first edits sample s4 anywhere but in the test's process."""

    def edit(
        self, backbone: Any, batch: Batch, inversion: Inversion, settings: Sequence[Setting]
    ) -> Edits:
        place = Path(os.environ[PLACE])
        driver, mark = int((place / "driver").read_text()), place / "killed"
        if "s4" in batch.ids and os.getpid() != driver and not mark.exists():
            mark.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().edit(backbone, batch, inversion, settings)


class Stuck(Tint):
    """One call into native code never returns, and no signal reaches Python in it."""

    info: ClassVar[MethodInfo] = MethodInfo(name="stuck", version="1", title="Stuck", paper="none")

    def edit(
        self, backbone: Any, batch: Batch, inversion: Inversion, settings: Sequence[Setting]
    ) -> Edits:
        if "s1" in batch.ids:
            sum(range(10**15))
        return super().edit(backbone, batch, inversion, settings)


class Waiting(Tint):
    """Edits from sample s6 on wait until they are told to go on."""

    def edit(
        self, backbone: Any, batch: Batch, inversion: Inversion, settings: Sequence[Setting]
    ) -> Edits:
        place = Path(os.environ[PLACE])
        (place / f"worker-{os.getpid()}").touch()
        while max(batch.ids) >= "s6" and not (place / "go").exists():
            time.sleep(0.05)
        return super().edit(backbone, batch, inversion, settings)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that methods of all processes know; workers can import the fakes."""
    (tmp_path / "driver").write_text(str(os.getpid()))
    monkeypatch.setenv(PLACE, str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    return tmp_path


@pytest.mark.fault("a worker that hangs in native code")
def test_a_process_that_hangs_in_native_code_is_ended(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icd_bench.run.engines.processes.serve", serve_impatiently)
    _, alone = run(methods=(STUCK,), limit=1, out=place / "one", cache_size=0)
    summary, results = run(
        methods=(STUCK,), limit=2, batch_size=1, engine="processes", timeout=0.5, cache_size=0
    )
    assert (summary.done, summary.failed) == (1, 1)
    assert results.loc[0, "image_sha256"] == alone.loc[0, "image_sha256"]
    row = results.loc[1]
    assert (row["sample_id"], row["error_type"]) == ("s1", "WorkerEnded")
    assert "hung beyond its time limit" in row["error"]


def serve_impatiently(*arguments: Any) -> None:
    deadlines.GRACE_SECONDS = 0.2
    serve(*arguments)


ORPHANED = """
import multiprocessing, time
from icd_bench.run.engines.processes import end_with_parent
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=end_with_parent)
    child.start()
    print(child.pid, flush=True)
    time.sleep(600)
"""


def test_a_worker_ends_with_its_driver(tmp_path: Path) -> None:
    program = tmp_path / "driver.py"
    program.write_text(ORPHANED)
    command = [sys.executable, str(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        child = int(driver.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        driver.kill()
    wait_until(lambda: not is_running(child))


def is_running(pid: int) -> bool:
    """Return whether a process computes; one that is dead but not buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_sees_one_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "3,5")
    assert visible_accelerators() == ["3", "5"]
    with seeing("5"):
        assert os.environ[VISIBLE] == "5"
    with seeing(None):
        assert os.environ[VISIBLE] == "3,5"
    assert os.environ[VISIBLE] == "3,5"


def test_engines_are_found_by_name() -> None:
    assert registry.engines.names() == ["inline", "processes", "ray"]
    assert registry.engines.load("processes") is ProcessEngine


# ---------------------------------------------------------------------------------- ray


@pytest.mark.fault("a worker that is killed")
def test_a_run_whose_actor_is_killed_ends_like_one_of_this_process(run: Run, place: Path) -> None:
    pytest.importorskip("ray", reason="the extra is not installed: pip install icd-bench[ray]")
    asked: dict[str, Any] = {"methods": (MORTAL,), "sweeps": ("strength=0.2,0.8",)}
    _, alone = run(**asked, out=place / "one", cache_size=0)
    summary, many = run(**asked, out=place / "many", engine="ray", workers=2, cache_size=0)
    assert (place / "killed").is_file()
    assert (summary.done, summary.failed) == (20, 0)
    pd.testing.assert_frame_equal(alone.drop(columns=TIMES), many.drop(columns=TIMES))
    for folder in ("images", "samples"):
        files = {p.relative_to(place / "one"): p for p in (place / "one" / folder).rglob("*.png")}
        assert files
        for name, path in files.items():
            assert (place / "many" / name).read_bytes() == path.read_bytes()


DRIVER = """
import sys
from pathlib import Path
from run_fakes import FakeModels, here
from icd_bench.run import RunRequest, execute
from icd_bench.run.progress import QuietProgress
request = RunRequest(
    methods=(sys.argv[1],), benchmark=here("Ten")[0], out=Path(sys.argv[2]), device="cpu",
    batch_size=2, engine="ray", workers=2, cache_size=0,
)
execute(request, QuietProgress(), FakeModels())
"""


@pytest.mark.timeout(900)
@pytest.mark.fault("a killed driver of a cluster")
def test_a_killed_driver_of_a_cluster_goes_on_where_it_was(run: Run, place: Path) -> None:
    pytest.importorskip("ray", reason="the extra is not installed: pip install icd-bench[ray]")
    folder = place / "many"
    command = [sys.executable, "-c", DRIVER, WAITING, str(folder)]
    with subprocess.Popen(command) as driver:
        try:
            wait_until(lambda: len(recorded_pictures(folder)) >= 4)
        finally:
            driver.kill()
    kept = {path: path.stat().st_mtime_ns for path in recorded_pictures(folder)}
    workers = [int(path.name.partition("-")[2]) for path in place.glob("worker-*")]
    assert workers
    wait_until(lambda: not any(map(is_running, workers)))
    (place / "go").touch()
    asked: dict[str, Any] = {"methods": (WAITING,), "batch_size": 2, "cache_size": 0}
    summary, many = run(**asked, out=folder, engine="ray", workers=2)
    assert summary.done + summary.skipped == 10
    assert summary.skipped == len(kept)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    _, alone = run(**asked, out=place / "one")
    pd.testing.assert_frame_equal(alone.drop(columns=TIMES), many.drop(columns=TIMES))


def recorded_pictures(folder: Path) -> list[Path]:
    """Return the edited pictures whose rows are stored; a picture is written before its row."""
    return [folder / cell.image for cell in RunFolder(folder).records().cells.values()]


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for what must come; a cluster takes its time to begin on a busy machine."""
    limit = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.parametrize(("asked", "count"), [(None, 8), (3, 3), (8, 8)])
def test_a_cluster_has_as_many_workers_as_are_wanted(asked: int | None, count: int) -> None:
    assert workers_of(asked, 8, "GPU") == count


@pytest.mark.parametrize(("asked", "available"), [(9, 8), (None, 0)])
def test_more_workers_than_the_cluster_feeds_are_refused(asked: int | None, available: int) -> None:
    with pytest.raises(WorkersFailed, match=f"has {available} GPU"):
        workers_of(asked, available, "GPU")


def test_ray_is_an_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install icd-bench\[ray\]"):
        run(engine="ray")
