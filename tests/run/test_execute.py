"""What a run makes, and where."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_runs import Run, images
from PIL import Image
from run_fakes import FakeModel, FakeModels, Tint, here, picture

from icd_bench.api import Method
from icd_bench.errors import CorruptRun
from icd_bench.run import RunFolder, RunRequest, execute
from icd_bench.run.progress import QuietProgress
from icd_bench.run.reading.prepare import fit_picture
from icd_bench.run.storage.columns import COLUMNS, SCHEMA_VERSION, columns_table

TIMES = ["seconds_invert", "seconds_edit"]


def test_a_run_fills_its_folder(run: Run) -> None:
    summary, results = run(methods=here("Tint", "Copy"), sweeps=("strength=0.2,0.8",))
    assert (summary.done, summary.failed, summary.skipped) == (30, 0, 0)
    assert summary.problems == ()
    assert len(results) == 30
    assert set(results["status"]) == {"ok"}
    for path, digest in zip(results["image"], results["image_sha256"], strict=True):
        data = (summary.path / path).read_bytes()
        assert sha256(data).hexdigest() == digest
        assert Image.open(summary.path / path).size == (16, 16)
    copied = results[results["method"] == "copy"].set_index("sample_index")
    for index in range(10):
        stored = np.asarray(Image.open(summary.path / copied.loc[index, "image"]))
        assert np.array_equal(stored, fit_picture(picture(index), 16))
    assert (copied["distance"] == 0).all()


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


def test_a_compiled_run_says_so_and_shares_no_inversion(run: Run, tmp_path: Path) -> None:
    models = FakeModels()
    _, plain = run(models, limit=2, out=tmp_path / "plain")
    _, compiled = run(models, limit=2, out=tmp_path / "compiled", compiled=True)
    assert set(plain["dtype"]) == {"float32"}
    assert set(compiled["dtype"]) == {"float32 compiled"}
    assert [len(ids) for ids in models.backbone.inverted] == [2, 2]


def test_the_fakes_are_methods() -> None:
    assert isinstance(Tint(), Method)
