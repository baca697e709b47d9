"""Experiments on the shipped model, end to end with a few scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icd_bench.diffusion.backbone import Backbone
from icd_bench.errors import MissingWeights, UnknownName
from icd_bench.models import find_model
from icd_bench.paper import material
from icd_bench.paper.experiments import EXPERIMENTS, Configuration, Experiment
from icd_bench.paper.material import material_for
from icd_bench.paper.measure import Bench
from icd_bench.paper.results import Result
from icd_bench.paper.run import run_experiment
from icd_bench.paper.walks import Guidance, Walk
from icd_bench.run.progress import QuietProgress

ROWS = Experiment(
    "rows",
    "",
    "",
    (
        Configuration("noise", "", Walk("icd_forward:4a"), None),
        Configuration("inverted", "", Walk("icd_forward:4a"), Walk("icd_reverse:4a")),
        Configuration("drawn", "", None, Walk("icd_reverse:4a", 0, Guidance(8.0))),
    ),
)


def bench(folder: Path, batch_size: int = 3) -> Bench:
    spec = find_model("scenes")
    return Bench(spec, material_for(spec, "inversion"), folder, batch_size=batch_size)


def test_a_scene_has_the_same_scores_in_any_batch(tmp_path: Path) -> None:
    _, together = bench(tmp_path / "a").measure(ROWS, 3, QuietProgress())
    _, first = bench(tmp_path / "b", 1).measure(ROWS, 1, QuietProgress())
    _, then = bench(tmp_path / "b", 2).measure(ROWS, 3, QuietProgress())
    for one, other in zip(together, then, strict=True):
        assert one.columns.keys() == other.columns.keys()
        for name, column in one.columns.items():
            np.testing.assert_allclose(other.columns[name], column, rtol=1e-3, atol=1e-3)
    assert first[1].columns["psnr"][0] == then[1].columns["psnr"][0]
    assert "psnr" not in then[2].columns
    assert [m.rows_a_sample for m in then] == [4, 8, 4]


def test_what_was_measured_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(material, "REFERENCE", 32)
    arguments: dict[str, Any] = {"folder": tmp_path, "limit": 2, "only": ("G", "K"), "quiet": True}
    first = run_experiment("table2", "scenes", **arguments)

    def fail(*_: object) -> None:
        raise AssertionError("loaded again")

    monkeypatch.setattr(Backbone, "load", fail)
    again = run_experiment("table2", "scenes", **arguments)
    assert again.rows == first.rows
    stored = Result.read(tmp_path / "table2.json")
    assert [row.values for row in stored.rows] == [row.values for row in first.rows]
    measured = {row.label for row in stored.rows if row.values}
    assert measured == {"G", "K"}
    assert "not measured yet" in stored.rows[0].obstacle


def test_an_unknown_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no row"):
        run_experiment("table2", "scenes", tmp_path, limit=2, only=("X",), quiet=True)


def test_all_missing_parts_are_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    adapters = r"icd_forward:4a \(.*icd_reverse:4a"
    with pytest.raises(MissingWeights, match=rf"unet \(3\.4 GB\), vae .*{adapters}.*hf download"):
        run_experiment("table1", "sd15", tmp_path, limit=2, quiet=True)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_row_has_a_label_of_its_own_and_claims_name_rows(name: str) -> None:
    parts = [part.name for part in find_model("scenes").parts]
    experiment = EXPERIMENTS[name](20, parts)
    labels = [row.label for row in experiment.configurations]
    assert len(labels) == len(set(labels))
    for claim in experiment.claims:
        assert {claim.worse, claim.better} <= set(labels)
    for row in experiment.configurations:
        assert set(row.parts) <= set(parts)
