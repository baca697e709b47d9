"""Run folders and baselines, damaged or of other versions."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from damage import TIMES, Tried, mutated

from icd_bench.errors import CorruptRun, IcdBenchError, UsageError
from icd_bench.gate.baseline import lay_out, read_baseline
from icd_bench.gate.measure import measure
from icd_bench.gate.verify import verify
from icd_bench.run.storage.columns import METADATA_KEY
from icd_bench.run.storage.store import RunFolder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1] / "gate"))
    try:
        from gate_runs import write_run
    finally:
        sys.path.pop(0)
    return write_run(tmp_path_factory.mktemp("runs") / "run", samples=4)


@pytest.mark.parametrize("name", ["run.json", "results.parquet", "events"])
def test_damaged_run_folders(finished: Path, tmp_path: Path, name: str, tried: Tried) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    victim = next(run.glob("events/*")) if name == "events" else run / name
    data, good = victim.read_bytes(), measure(run)
    draw = random.Random(name)
    for _ in range(60 * TIMES):
        victim.write_bytes(mutated(data, draw))
        try:
            found = RunFolder.open(run).read_results()
        except (CorruptRun, UsageError) as error:
            assert str(run) in str(error)
        else:
            assert len(found) <= len(good.samples) * len(good.arms)
        try:
            measure(run)
            verify(run)
        except IcdBenchError as error:
            assert str(error)
        tried("run folders")


@pytest.mark.parametrize("schema", [-1, 0, 1, 2, 99, 10**30, None, "1", 1.5, [], {}, True])
def test_run_folders_of_other_versions(
    finished: Path, tmp_path: Path, schema: object, tried: Tried
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    path = run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": schema}))
    try:
        assert len(RunFolder.open(run).read_results()) == 4
    except CorruptRun as error:
        assert str(path) in str(error)
    tried("run folders")


@pytest.mark.parametrize("schema", [-1, 0, 1, 3, 99, None, "2", [], {}])
def test_results_files_of_other_versions(
    finished: Path, tmp_path: Path, schema: object, tried: Tried
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    path = run / "results.parquet"
    table = pq.read_table(path)
    card = json.loads(table.schema.metadata[METADATA_KEY]) | {"schema_version": schema}
    metadata = {METADATA_KEY: json.dumps(card).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    try:
        assert len(RunFolder.open(run).read_results()) == 4
    except CorruptRun as error:
        assert str(path) in str(error)
    tried("run folders")


def test_damaged_baselines(finished: Path, tmp_path: Path, tried: Tried) -> None:
    from icd_bench.gate.renew import make_baseline

    path = tmp_path / "base.json"
    make_baseline(path, measure(finished))
    data = path.read_bytes()
    assert lay_out(json.loads(data)).encode() == data.rstrip()
    draw = random.Random(1)
    for _ in range(100 * TIMES):
        path.write_bytes(mutated(data, draw))
        try:
            read_baseline(path)
        except UsageError as error:
            assert str(path) in str(error)
        tried("baselines")
