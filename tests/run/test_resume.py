"""The same command goes on where it stopped; what is damaged or outdated is made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_runs import Run, images
from run_fakes import FILE, FakeModel, FakeModels, here

from icd_bench.registry import load_from_file
from icd_bench.run.caches.cache import inversions_home


def counted(name: str) -> list[int]:
    """Return the batch sizes that a metric of the fakes was called with."""
    calls: list[int] = load_from_file(f"{FILE}:{name}").calls
    return calls


def test_the_same_command_does_nothing_twice(run: Run) -> None:
    run()
    scored = len(counted("Distance"))
    models = FakeModels()
    summary, _ = run(models)
    assert (summary.done, summary.skipped) == (0, 10)
    assert models.loads == 0
    assert len(counted("Distance")) == scored


def test_a_longer_sweep_reuses_the_inversions(run: Run) -> None:
    run()
    models = FakeModels()
    summary, results = run(models, sweeps=("strength=0.5,0.9",), limit=10)
    assert (summary.done, summary.skipped) == (10, 10)
    assert models.backbone.inverted == []
    assert len(results) == 20


def test_more_samples_are_added_to_the_same_folder(run: Run) -> None:
    run(limit=6)
    models = FakeModels()
    summary, results = run(models)
    assert (summary.done, summary.skipped) == (4, 6)
    assert [ids for ids, _ in models.backbone.edited] == [("s6", "s7"), ("s8", "s9")]
    assert list(results["sample_index"]) == list(range(10))


@pytest.mark.parametrize("damage", [lambda data: data[:40], lambda data: b"", None])
def test_a_damaged_picture_is_made_again(run: Run, damage: Callable[[bytes], bytes] | None) -> None:
    summary, results = run()
    before = images(summary.path)
    path = summary.path / results.loc[3, "image"]
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    models = FakeModels()
    again, _ = run(models)
    assert (again.done, again.skipped) == (1, 9)
    assert [ids for ids, _ in models.backbone.edited] == [("s3",)]
    assert images(summary.path) == before


def test_a_damaged_inversion_is_made_again(run: Run) -> None:
    run()
    path = sorted(inversions_home().rglob("*.safetensors"))[3]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    models = FakeModels()
    again, _ = run(models, sets=("strength=0.6",))
    assert [len(ids) for ids in models.backbone.inverted] == [1]
    (problem,) = again.problems
    assert problem == f"{path}: damaged (its hash is not the stored one); the inversion is " + (
        "computed again"
    )


def test_a_damaged_source_is_prepared_again(run: Run) -> None:
    summary, results = run(metrics=())
    for path in (summary.path / "samples").rglob("*-source.png"):
        path.write_bytes(b"")
    again, scored = run()
    assert any("damaged" in line for line in again.problems)
    run(sets=("strength=0.6",))
    again, scored = run()
    assert again.problems == ()
    assert scored["distance"].notna().all()
    assert set(results["cell_id"]) <= set(scored["cell_id"])


def test_another_model_is_another_cell_in_the_same_folder(run: Run) -> None:
    run(limit=2)
    summary, results = run(FakeModels(FakeModel(weights="v2")), limit=2)
    assert summary.done == 2
    assert results["model_digest"].nunique() == 2


def test_a_changed_sample_replaces_its_outdated_row(run: Run, tmp_path: Path) -> None:
    _, before = run(benchmark=here("Troubled")[0])
    summary, results = run(benchmark=here("Repaired")[0])
    assert summary.failed == 0
    assert len(results) == 11
    assert set(results["status"]) == {"ok"}
    assert list(results["sample_id"]) == [f"s{index}" for index in range(11)]
    assert len(before) == 11
