from __future__ import annotations

from pathlib import Path

import pytest
import torch
from run_fakes import FakeBackbone, FakeModels, here

from icd_bench.diffusion.backbone import Backbone
from icd_bench.run import RunRequest, execute
from icd_bench.run.caches import batch_sizes
from icd_bench.run.caches.batch_sizes import (
    LEAST_ROWS,
    BatchMemory,
    BatchSizes,
    Place,
    fewest_fast_rows,
    measure_rows,
)
from icd_bench.run.caches.cache import HOME_VARIABLE
from icd_bench.run.planning import devices
from icd_bench.run.planning.devices import choose_batch_size, measure_batch_size
from icd_bench.run.planning.resolve import make_plan
from icd_bench.run.progress import QuietProgress

PLACE = Place("fake", 16, "cpu", "float32")


@pytest.mark.parametrize(
    ("overhead", "fewest"),
    # Seconds of a call are overhead + rows: at 49 x overhead the rows are 2 % off their best.
    [(0.0, 1), (1.0, 64), (10.0, 256)],
)
def test_rows_are_doubled_while_that_pays(overhead: float, fewest: int) -> None:
    assert fewest_fast_rows(lambda rows: overhead + rows) == fewest


def test_memory_ends_the_doubling() -> None:
    def seconds(rows: int) -> float:
        if rows > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 100.0 + rows

    assert fewest_fast_rows(seconds) == 4
    with pytest.raises(torch.OutOfMemoryError):
        fewest_fast_rows(lambda rows: seconds(8))


def test_a_busy_moment_does_not_end_the_doubling() -> None:
    busy = {8: 2.0}
    assert fewest_fast_rows(lambda rows: (10 + rows) * busy.get(rows, 1)) == 256


def test_a_real_network_is_measured(small: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_sizes, "MOST_SECONDS", 0.3)
    assert LEAST_ROWS <= measure_rows(small) <= 512


def test_what_is_remembered_belongs_to_one_place() -> None:
    memory = BatchMemory()
    assert memory.of(PLACE) == BatchSizes()
    memory.set_rows(PLACE, 16)
    memory.set_cells(PLACE, "tint edit", 3)
    assert BatchMemory().of(PLACE) == BatchSizes(16, {"tint edit": 3})
    assert memory.of(Place("fake", 16, "cuda:1", "float32")) == BatchSizes()


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"x": {"rows": "many"}}'])
def test_a_file_that_cannot_be_read_is_as_good_as_none(content: bytes) -> None:
    memory = BatchMemory()
    memory.set_rows(PLACE, 16)
    memory.path.write_bytes(content)
    assert memory.of(PLACE) == BatchSizes()
    memory.set_rows(PLACE, 8)
    assert memory.of(PLACE).rows == 8


def test_a_folder_that_refuses_costs_the_memory_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "file"))
    memory = BatchMemory()
    memory.set_rows(PLACE, 16)
    assert memory.of(PLACE) == BatchSizes()


def request(out: Path, *settings: str, batch_size: int | None = None) -> RunRequest:
    return RunRequest(
        methods=here("Tint"),
        benchmark=here("Ten")[0],
        sweeps=(f"strength={','.join(settings)}",),
        metrics=(),
        out=out,
        device="cpu",
        batch_size=batch_size,
    )


def test_a_measured_size_fills_the_calls(tmp_path: Path) -> None:
    BatchMemory().set_rows(PLACE, 8)
    models = FakeModels()
    execute(request(tmp_path / "run", "0.2", "0.4", "0.8"), QuietProgress(), models)
    assert [(len(ids), count) for ids, count in models.backbone.edited] == [(2, 3)] * 5


def test_what_ran_out_of_memory_is_not_tried_in_the_next_run(tmp_path: Path) -> None:
    first, second = (FakeModels(backbone=FakeBackbone(fits=4)) for _ in range(2))
    execute(request(tmp_path / "a", "0.2", "0.8", batch_size=10), QuietProgress(), first)
    execute(request(tmp_path / "b", "0.3", "0.7", batch_size=10), QuietProgress(), second)
    sizes = [[len(ids) * count for ids, count in one.backbone.edited] for one in (first, second)]
    assert max(sizes[0]) == 20
    assert max(sizes[1]) <= 4
    assert sum(size for size in sizes[1]) == 20


def test_only_a_large_run_is_measured_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[object] = []

    def measure(backbone: object) -> int:
        measured.append(backbone)
        return 6

    monkeypatch.setattr(devices, "measure_rows", measure)
    models = FakeModels()
    asked = request(tmp_path / "run", "0.2", "0.8")
    plan = make_plan(asked, models)
    for least, times in ((21, 0), (20, 1), (20, 1)):
        monkeypatch.setattr(devices, "CELLS_WORTH_MEASURING", least)
        measure_batch_size(asked, plan, "cpu", lambda: models.load(plan.model, "cpu", "float32"))
        assert len(measured) == times
    assert choose_batch_size(asked, plan, "cpu") == 2
