from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from run_fakes import FILE, FakeBackbone, FakeModel, FakeModels, Tint, here, picture

from icd_bench.errors import BadSample, CorruptRun, EditFailed, MissingWeights, UsageError
from icd_bench.registry import load_from_file
from icd_bench.run import RunFolder, RunRequest, RunSummary, edit_one, execute
from icd_bench.run.caches.cache import inversions_home
from icd_bench.run.progress import QuietProgress
from icd_bench.run.reading.prepare import fit_picture
from icd_bench.run.storage.columns import COLUMNS, SCHEMA_VERSION, columns_table

Run = Callable[..., tuple[RunSummary, pd.DataFrame]]
TIMES = ["seconds_invert", "seconds_edit"]


def counted(name: str) -> list[int]:
    """Return the batch sizes that a metric of the fakes was called with."""
    calls: list[int] = load_from_file(f"{FILE}:{name}").calls
    return calls


def images(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((path / "images").rglob("*.png"))}


# ------------------------------------------------------------------------- first run


def test_a_run_fills_its_folder(run: Run) -> None:
    summary, results = run(methods=here("Tint", "Copy"), sweeps=("strength=0.2,0.8",))
    assert (summary.done, summary.failed, summary.skipped) == (30, 0, 0)
    assert summary.problems == ()
    assert len(results) == 30
    assert set(results["status"]) == {"ok"}
    for path, digest in zip(results["image"], results["image_sha256"], strict=True):
        data = (summary.path / path).read_bytes()
        assert load_digest(data) == digest
        assert Image.open(summary.path / path).size == (16, 16)
    copied = results[results["method"] == "copy"].set_index("sample_index")
    for index in range(10):
        stored = np.asarray(Image.open(summary.path / copied.loc[index, "image"]))
        assert np.array_equal(stored, fit_picture(picture(index), 16))
    assert (copied["distance"] == 0).all()


def load_digest(data: bytes) -> str:
    from hashlib import sha256

    return sha256(data).hexdigest()


def test_the_results_have_the_documented_columns(run: Run) -> None:
    summary, results = run(limit=2)
    assert list(results.columns) == [*(c.name for c in COLUMNS), "distance", "offset"]
    assert results.attrs["schema_version"] == SCHEMA_VERSION
    assert results.attrs["metrics"]["distance"]["signature"] == "distance|v1"
    first = results.iloc[0]
    assert first["source_prompt"] == "a photo of thing 0"
    assert first["category"] == "k0"
    assert (first["nfe_invert"], first["nfe_source"], first["nfe_edit"]) == (5, 3, 2)
    assert first["seconds_edit"] > 0
    assert columns_table().count("\n") == len(COLUMNS) + 2
    assert (summary.path / "results.parquet").is_file()


def test_run_json_tells_how_it_was_made(run: Run) -> None:
    summary, _ = run(limit=2, command="icd-bench run it")
    run(limit=3, command="icd-bench run more")
    manifest = json.loads((summary.path / "run.json").read_text())
    assert [c["command"] for c in manifest["commands"]] == [
        "icd-bench run it",
        "icd-bench run more",
    ]
    last = manifest["commands"][-1]
    assert (last["done"], last["skipped"], last["failed"]) == (1, 2, 0)
    assert last["ended"] >= last["started"]
    assert {"python", "packages", "git", "hardware", "batch_size", "device", "dtype"} <= set(last)
    assert manifest["metrics"]["distance"]["signature"] == "distance|v1"
    assert manifest["methods"]["tint"]["default_setting"] == {"steps": 5, "strength": 0.5}
    assert manifest["models"]["fake"]["tint"] == FakeModel().digest(())
    assert (last["model_commits"], last["preset"]) == ({"somebody/fake": "v1"}, "")


def test_a_preset_is_recorded_and_sets_win(run: Run) -> None:
    summary, results = run(limit=1, preset="paper")
    run(limit=1, preset="paper", sets=("strength=1",))
    manifest = json.loads((summary.path / "run.json").read_text())
    settings = [c["methods"]["tint"][0] for c in manifest["commands"]]
    assert settings == [{"steps": 4, "strength": 0.2}, {"steps": 4, "strength": 1.0}]
    assert [c["preset"] for c in manifest["commands"]] == ["paper", "paper"]
    assert json.loads(results["setting"][0]) == settings[0]


def test_settings_share_their_inversion_and_their_batch(run: Run) -> None:
    models = FakeModels()
    run(models, sweeps=("strength=0.1,0.2,0.3",))
    assert [len(ids) for ids in models.backbone.inverted] == [4, 4, 2]
    assert [(len(ids), count) for ids, count in models.backbone.edited] == [(4, 3), (4, 3), (2, 3)]


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_results_do_not_depend_on_the_batch(run: Run, tmp_path: Path, batch_size: int) -> None:
    summary, results = run()
    other, same = run(out=tmp_path / "other", batch_size=batch_size, cache_size=0)
    assert images(summary.path) == images(other.path)
    pd.testing.assert_frame_equal(results.drop(columns=TIMES), same.drop(columns=TIMES))


def test_true_edits_and_masks_reach_the_metrics(run: Run) -> None:
    _, results = run(limit=1)
    source = fit_picture(picture(0), 16) / 255
    edited = np.asarray(Image.open(run(limit=1)[0].path / results.loc[0, "image"])) / 255
    assert results.loc[0, "distance"] == pytest.approx(np.abs(edited - source).mean(), abs=1e-6)
    assert math.isfinite(results.loc[0, "offset"])


# ---------------------------------------------------------------------------- resume


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


# -------------------------------------------------------------------------- failures


@pytest.mark.fault("edits that are black, constant, not numbers, or raise: failed cells")
def test_each_trouble_fails_alone_and_says_why(run: Run) -> None:
    summary, results = run(benchmark=here("Troubled")[0], sweeps=("strength=0.2,0.8",))
    rows = results.set_index(
        ["sample_id", results["setting"].map(lambda s: json.loads(s)["strength"])]
    )
    failed = results[results["status"] == "failed"]
    assert summary.failed == len(failed) == 15
    assert failed["image"].eq("").all()
    assert failed["distance"].isna().all()
    assert rows.loc[("s9", 0.2), "status"] == "ok"
    assert rows.loc[("s9", 0.8), "failed_stage"] == "edit"
    stages = {
        "rows.csv, row 2": ("benchmark", "BadSample"),
        "ten row 9": ("benchmark", "BadSample"),
        "s2": ("edit", "RuntimeError"),
        "s3": ("image", "NotFinite"),
        "s4": ("image", "ConstantImage"),
        "s5": ("invert", "RuntimeError"),
        "s6": ("sample", "BadSample"),
    }
    for sample_id, expected in stages.items():
        row = rows.loc[(sample_id, 0.2)]
        assert (row["failed_stage"], row["error_type"]) == expected
    assert rows.loc[("s2", 0.2), "error"] == "this one cannot be edited"
    assert list(rows.loc[("s7", 0.2), "warnings"]) == ["steep"]
    assert "s6.png: image: the file is cut short (copy it again)" in summary.problems
    assert len(summary.problems) == len(set(summary.problems)) == 8


def test_failed_cells_are_tried_again(run: Run) -> None:
    first, _ = run(benchmark=here("Troubled")[0])
    models = FakeModels()
    again, _ = run(models, benchmark=here("Troubled")[0])
    assert (again.done, again.failed, again.skipped) == (0, first.failed, first.done)
    tried = {sample for ids, _ in models.backbone.edited for sample in ids}
    assert tried == {"s2", "s3", "s4"}


@pytest.mark.fault("out of memory: the batch is halved")
@pytest.mark.parametrize("fits", [1, 2, 5, 7])
def test_out_of_memory_halves_the_batch_and_changes_nothing_else(
    run: Run, tmp_path: Path, fits: int
) -> None:
    summary, _ = run(sweeps=("strength=0.1,0.2,0.3",))
    models = FakeModels(backbone=FakeBackbone(fits=fits))
    tight, results = run(
        models, sweeps=("strength=0.1,0.2,0.3",), out=tmp_path / "tight", cache_size=0
    )
    assert tight.failed == 0
    assert images(tight.path) == images(summary.path)
    too_large = [ids for ids, count in models.backbone.edited if len(ids) * count > fits]
    assert len(too_large) <= 4
    assert len(results) == 30


def test_a_constant_source_may_stay_constant(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = load_from_file(here("Ten")[0])
    fakes = load_from_file(f"{FILE}:make_sample")
    blank = [
        fakes(
            0,
            read_image=lambda: np.full((16, 16, 3), 7, np.uint8),
            read_mask=None,
            read_target=None,
        )
    ]
    monkeypatch.setattr(bench, "samples", lambda self: iter(blank))
    summary, _ = run(methods=here("Copy"))
    assert (summary.done, summary.failed) == (1, 0)


def test_missing_model_weights_stop_before_a_folder_is_made(run: Run, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights):
        run(methods=here("Moonlit"))
    assert not (tmp_path / "run").exists()


def test_a_method_that_returns_nonsense_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    method = load_from_file(here("Tint")[0])
    edit = method.edit

    def narrow(*arguments: Any) -> Any:
        edits = edit(*arguments)
        return dataclasses.replace(edits, images=edits.images[..., :8])

    monkeypatch.setattr(method, "edit", narrow)
    summary, results = run(limit=1)
    assert summary.failed == 1
    assert "returned images (1, 1, 3, 16, 8), not (1, 1, 3, 16, 16)" in results.loc[0, "error"]


# ----------------------------------------------------------------------------- scores


def test_metrics_can_be_added_later_without_a_model(run: Run) -> None:
    run(metrics=here("Distance"))
    models = FakeModels()
    _, results = run(models, metrics=here("Offset"))
    assert models.loads == 0
    assert results[["distance", "offset"]].notna().all().all()


def test_a_new_signature_replaces_the_column(run: Run) -> None:
    _, old = run(metrics=here("Distance"))
    _, new = run(metrics=here("Distance2"))
    assert new.attrs["metrics"]["distance"]["signature"] == "distance|v2"
    assert np.allclose(new["distance"], 2 * old["distance"])


def test_missing_metric_weights_cost_one_column(run: Run) -> None:
    summary, results = run(metrics=here("Weightless", "Distance"))
    assert summary.problems == (
        "weightless is not computed: no weights here; get them with: magic",
    )
    assert "weightless" not in results
    assert results["distance"].notna().all()


def test_a_score_that_fails_is_missing_for_its_sample_only(run: Run) -> None:
    summary, results = run(metrics=here("Moody"))
    assert list(results.loc[results["moody"].isna(), "sample_id"]) == ["s1"]
    assert summary.problems == ("moody: no score for s1: RuntimeError: not in the mood",)


def test_a_sample_without_the_needed_parts_gets_no_number(run: Run) -> None:
    _, results = run(benchmark=here("Troubled")[0])
    last = results[results["sample_id"] == "s10"].iloc[0]
    assert math.isnan(last["offset"])
    assert math.isfinite(last["distance"])


def test_a_metric_named_like_a_column_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = load_from_file(here("Distance")[0])
    monkeypatch.setattr(metric, "info", dataclasses.replace(metric.info, name="seed"))
    with pytest.raises(UsageError, match='metric "seed"'):
        run(metrics=here("Distance"))


def test_an_unknown_metric_is_found_before_any_edit(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown metric"):
        run(metrics=("no_such_metric",))
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------ folder


def test_results_are_read_from_the_events_where_the_file_is_behind(run: Run) -> None:
    summary, results = run(limit=3)
    (summary.path / "results.parquet").unlink()
    pd.testing.assert_frame_equal(RunFolder.open(summary.path).read_results(), results)


def test_a_default_folder_is_made_from_the_plan(
    request_of: Callable[..., RunRequest], tmp_path: Path
) -> None:
    request = request_of(out=None, root=tmp_path / "runs", limit=1)
    first = execute(request, QuietProgress(), FakeModels())
    second = execute(request, QuietProgress(), FakeModels())
    assert first.path == second.path
    assert first.path.parent == tmp_path / "runs"
    assert (second.done, second.skipped) == (0, 1)


def test_a_damaged_run_is_refused(run: Run) -> None:
    summary, _ = run(limit=1)
    (summary.path / "run.json").write_text("{")
    with pytest.raises(CorruptRun):
        run(limit=1)


# --------------------------------------------------------------------------- one edit


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(picture(0)).save(path)
    return path


def test_one_picture_is_edited_without_a_folder(photo: Path, tmp_path: Path) -> None:
    edited = edit_one(
        photo,
        "a photo",
        "a steep painting",
        method=here("Tint")[0],
        model="fake",
        sets=("strength=0.25",),
        device="cpu",
        models=FakeModels(),
    )
    assert edited.image.size == (16, 16)
    assert edited.warnings == ("steep",)
    assert (edited.nfe_invert, edited.nfe_edit) == (5, 5)
    assert edited.seconds > 0
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [("raise", EditFailed, "tint: photo.png: this one"), ("nan", EditFailed, "finite")],
)
def test_one_picture_that_fails_raises(
    photo: Path, target: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        edit_one(photo, "a", target, here("Tint")[0], "fake", device="cpu", models=FakeModels())


def test_one_missing_picture_raises(tmp_path: Path) -> None:
    with pytest.raises(BadSample, match=r"nothing\.png"):
        edit_one(
            tmp_path / "nothing.png",
            "a",
            "b",
            here("Tint")[0],
            "fake",
            device="cpu",
            models=FakeModels(),
        )


def test_the_fakes_are_methods() -> None:
    from icd_bench.api import Method

    assert isinstance(Tint(), Method)


def test_a_compiled_run_says_so_and_shares_no_inversion(run: Run, tmp_path: Path) -> None:
    models = FakeModels()
    _, plain = run(models, limit=2, out=tmp_path / "plain")
    _, compiled = run(models, limit=2, out=tmp_path / "compiled", compiled=True)
    assert set(plain["dtype"]) == {"float32"}
    assert set(compiled["dtype"]) == {"float32 compiled"}
    assert [len(ids) for ids in models.backbone.inverted] == [2, 2]
