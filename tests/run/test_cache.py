"""Inversions are computed once; the cache that keeps them is bounded, checked and shared."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_runs import Run
from run_fakes import FakeModels, here

from icd_bench.errors import UsageError
from icd_bench.run import RunRequest, make_plan
from icd_bench.run.caches import cache as cache_module
from icd_bench.run.caches.cache import (
    InversionCache,
    cache_home,
    code_digest,
    inversion_key,
    inversions_home,
    parse_size,
)
from icd_bench.run.caches.inversions import StoredInversion
from icd_bench.run.estimate import estimate


def inversion(value: float = 0.5, numbers: int = 100, **changes: Any) -> StoredInversion:
    tensors = {"latents": torch.full((1, numbers), value), "steps": torch.arange(3).reshape(1, 3)}
    return StoredInversion(**{"tensors": tensors, "nfe": 4, "seconds": 0.25, **changes})


@pytest.fixture
def cache(tmp_path: Path) -> InversionCache:
    return InversionCache(tmp_path / "inversions")


def test_an_inversion_comes_back_as_it_was(cache: InversionCache) -> None:
    kept = inversion(warnings=("steep", "né"))
    cache.save({"ab1": kept, "empty": StoredInversion({}, 0, 0.0)})
    found = cache.load("ab1", "cpu")
    assert found is not None
    assert (found.nfe, found.seconds, found.warnings) == (4, 0.25, ("steep", "né"))
    assert {name: x.dtype for name, x in found.tensors.items()} == {
        "latents": torch.float32,
        "steps": torch.int64,
    }
    assert all(torch.equal(found.tensors[name], x) for name, x in kept.tensors.items())
    assert cache.load("empty", "cpu") is None
    assert cache.info().files == 1
    assert cache.problems == []


@pytest.mark.fault("a cached inversion that is damaged")
@pytest.mark.parametrize("damage", ["truncated", "empty", "values", "facts", "renamed"])
def test_a_damaged_entry_is_named_and_removed(cache: InversionCache, damage: str) -> None:
    cache.save({"ab1": inversion()})
    path = cache.path("ab1")
    data = path.read_bytes()
    changed = {
        "truncated": data[:-5],
        "empty": b"",
        "values": data[:-1] + bytes([data[-1] ^ 1]),
        "facts": data.replace(b"0.25", b"0.26"),
    }
    key = "ab2" if damage == "renamed" else "ab1"
    cache.path(key).write_bytes(changed.get(damage, data))
    assert cache.load(key, "cpu") is None
    assert not cache.path(key).exists()
    (problem,) = cache.problems
    assert problem.startswith(f"{cache.path(key)}: damaged (")


def test_the_least_recently_used_go_when_it_is_full(cache: InversionCache) -> None:
    names = [f"a{number}" for number in range(10)]
    for age, name in enumerate(names):
        cache.save({name: inversion()})
        os.utime(cache.path(name), (age, age))
    cache.load("a0", "cpu")
    small = InversionCache(cache.folder, limit=cache.info().bytes)
    small.save({"new": inversion()})
    assert [name for name in names if name not in small] == ["a1", "a2"]
    assert "new" in small
    assert small.info().bytes <= 0.9 * small.limit


def test_processes_that_share_a_cache_share_its_limit(tmp_path: Path) -> None:
    size = len(cache_module._pack("a", inversion()))
    limit = 40 * size
    caches = [InversionCache(tmp_path / "inversions", limit) for _ in range(4)]
    most = 0
    for turn in range(40):
        for number, one in enumerate(caches):
            one.save({f"a{number}-{turn}": inversion()})
        most = max(most, caches[0].info().bytes)
    assert most <= 1.2 * limit


def test_what_cannot_be_removed_stops_nothing(cache: InversionCache) -> None:
    names = [f"a{number}" for number in range(10)]
    for age, name in enumerate(names, start=1):
        cache.save({name: inversion()})
        os.utime(cache.path(name), (age, age))
    in_the_way = cache.path("a-folder")
    in_the_way.mkdir(parents=True)
    os.utime(in_the_way, (0, 0))
    stuck = cache.path("a0")
    remove = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path == stuck:
            raise PermissionError(1, "not yours")
        remove(path, missing_ok)

    small = InversionCache(cache.folder, limit=cache.info().bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        small.save({"new": inversion()})
        assert small.info().bytes <= 0.9 * small.limit
        assert (small.problems, stuck.exists()) == ([], True)
        cache.clear()
    assert sorted(cache.folder.glob("*/*.*")) == [in_the_way, stuck]


def test_a_cache_of_nothing_keeps_nothing(tmp_path: Path) -> None:
    cache = InversionCache(tmp_path / "inversions", limit=0)
    cache.save({"ab1": inversion()})
    assert cache.load("ab1", "cpu") is None
    assert not cache.folder.exists()


@pytest.mark.fault("a cache that may not be written")
def test_a_disk_that_refuses_costs_only_the_cache(tmp_path: Path) -> None:
    (tmp_path / "inversions").write_text("in the way")
    cache = InversionCache(tmp_path / "inversions")
    cache.save({"ab1": inversion()})
    assert len(cache.problems) == 1
    assert "inversions are not kept" in cache.problems[0]


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20 * 10**9), ("1.5 mb", 1_500_000), ("7", 7), ("2k", 2000)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1 parsec", "0x10", "nan"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--cache-size"):
        parse_size(text)


def test_the_cache_lies_where_the_user_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ICD_BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_home() == Path("/somewhere/icd-bench")
    monkeypatch.setenv("ICD_BENCH_CACHE", "/else")
    assert inversions_home() == Path("/else/inversions")


def test_a_key_names_everything_that_decides_the_bits(
    request_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(device: str = "cpu", dtype: str = "float32", **changes: Any) -> str:
        plan = make_plan(request_of(limit=1, **changes), FakeModels())
        return inversion_key(plan, plan.groups[0], plan.rows[0], device, dtype)

    first = key()
    assert key(sets=("strength=0.9",)) == key() == first
    assert key(device="cuda:0") == key(device="cuda:1")
    others = [
        key(device="cuda"),
        key(dtype="float16"),
        key(sets=("steps=6",)),
        key(seed=1),
        key(methods=here("Tint2")),
    ]
    assert len({first, *others}) == 6
    monkeypatch.setattr("icd_bench.run.caches.cache.getsourcefile", lambda method: os.devnull)
    code_digest.cache_clear()
    try:
        assert key() != first
    finally:
        code_digest.cache_clear()


# --------------------------------------------------------------------------------- runs


def test_another_run_of_the_user_reuses_inversions(run: Run, tmp_path: Path) -> None:
    _, first = run()
    models = FakeModels()
    _, second = run(models, out=tmp_path / "other", sweeps=("strength=0.5,0.9",))
    assert models.backbone.inverted == []
    halves = second[second["cell_id"].isin(first["cell_id"])]
    assert list(halves["image_sha256"]) == list(first["image_sha256"])
    assert list(halves["nfe_invert"]) == list(first["nfe_invert"])


def test_a_run_may_go_without_the_cache(run: Run, tmp_path: Path) -> None:
    run(cache_size=0)
    models = FakeModels()
    run(models, out=tmp_path / "other", cache_size=0)
    assert len(models.backbone.inverted) == 3
    assert not inversions_home().exists()


def test_only_what_is_new_in_a_longer_sweep_is_evaluated(run: Run) -> None:
    """Second sweep: no inversion, one source branch, and the rows of the new settings alone."""
    _, first = run(limit=4, sweeps=("strength=0.2,0.4",))
    models = FakeModels()
    summary, second = run(models, limit=4, sweeps=("strength=0.2,0.4,0.6,0.8",))
    assert (summary.done, summary.skipped) == (8, 8)
    assert models.backbone.inverted == []
    assert models.backbone.edited == [(("s0", "s1", "s2", "s3"), 2)]
    new = second[~second["cell_id"].isin(first["cell_id"])]
    assert new.groupby("sample_id")["nfe_edit"].sum().eq(2 * 2).all()


@pytest.mark.parametrize("batch_size", [3, 16])
def test_methods_share_their_inversion(run: Run, batch_size: int) -> None:
    models = FakeModels()
    _, results = run(models, methods=here("Wash", "Glaze"), batch_size=batch_size)
    assert sorted(one for ids in models.backbone.inverted for one in ids) == sorted(
        set(results["sample_id"])
    )
    ids = results.pivot(index="sample_id", columns="method", values="inversion_id")
    assert (ids["wash"] == ids["glaze"]).all()
    rows = results.pivot(index="sample_id", columns="method", values="nfe_invert")
    assert (rows["wash"] == rows["glaze"]).all()


def test_other_fields_or_names_are_other_inversions(run: Run) -> None:
    models = FakeModels()
    _, results = run(models, methods=here("Wash", "Glaze", "Tint"), sets=("glaze.steps=7",))
    assert sum(map(len, models.backbone.inverted)) == 30
    assert len(set(results["inversion_id"])) == 30


def test_a_plan_counts_a_shared_inversion_once(request_of: Callable[..., RunRequest]) -> None:
    request = request_of(methods=here("Wash", "Glaze"))
    plan = make_plan(request, FakeModels())
    wash, glaze = estimate(plan, request).methods
    assert (wash.inversions, wash.cached) == (10, 0)
    assert (glaze.inversions, glaze.cached) == (0, 10)
    request = request_of(methods=here("Wash", "Glaze"), cache_size=0)
    assert [one.inversions for one in estimate(plan, request).methods] == [10, 10]
