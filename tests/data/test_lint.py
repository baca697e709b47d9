from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from official_folders import PHOTOS, SIDE, make_coco, make_piebench

from icd_bench.api import Sample
from icd_bench.benchmarks.coco_edit import COCOEdit
from icd_bench.benchmarks.piebench import PIEBench
from icd_bench.cli.app import main
from icd_bench.data.lint import Lint, lint

CHANGES = {
    "000000000000": {"mask": [0, SIDE * SIDE]},
    "000000000002": {"mask": []},
    "000000000005": {"editing_prompt": "an [orange] cat sitting on top of a fence"},
    "000000000028": {"mask": [1]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_piebench(tmp_path_factory.mktemp("pie"), CHANGES)
    (root / "annotation_images/0_random_140/000000000008.jpg").write_bytes(PHOTOS[0].read_bytes())
    (root / "annotation_images/0_random_140/000000000013.jpg").write_bytes(b"not a picture")
    return root


@pytest.fixture(scope="module")
def found(folder: Path) -> Lint:
    return lint(PIEBench(str(folder)).samples())


def samples_of(found: Lint, words: str) -> list[str]:
    return [problem.sample for problem in found.problems if words in problem.kind]


def test_every_kind_of_problem_is_found(found: Lint) -> None:
    assert samples_of(found, "full mask") == ["000000000000"]
    assert samples_of(found, "empty mask") == ["000000000002"]
    assert samples_of(found, "prompt are the same") == ["000000000005"]
    assert samples_of(found, "broken file") == ["000000000028"]
    (unusable,) = samples_of(found, "unusable row")
    assert "000000000013" in unusable
    assert len(samples_of(found, "blend words")) == 10
    assert "000000000008" not in samples_of(found, "same picture")
    assert len(samples_of(found, "same picture")) == 13
    assert found.rows == 17
    assert found.broken == 2


def test_rows_that_metrics_can_use(found: Lint) -> None:
    assert found.usable["psnr"] == 15
    assert found.usable["background_psnr"] == 14
    assert found.usable["target_psnr"] == 0


@pytest.mark.parametrize(
    ("edited", "background", "region"), [(0.0, 1, 0), (0.5, 1, 1), (1.0, 0, 1)]
)
def test_a_metric_needs_the_side_of_the_mask_that_it_looks_at(
    folder: Path, edited: float, background: int, region: int
) -> None:
    sample = next(PIEBench(str(folder)).samples())
    assert isinstance(sample, Sample)
    mask = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) < edited * SIDE * SIDE
    usable = lint([replace(sample, read_mask=lambda: mask)]).usable
    assert {usable[name] for name in ("background_psnr", "zeroed_mse")} == {background}
    assert usable["clip_score_l14_edited"] == region
    none = lint([replace(sample, read_mask=None)]).usable
    assert none["background_psnr"] == none["clip_score_l14_edited"] == 0


def test_the_digest_is_of_the_content(folder: Path, found: Lint) -> None:
    samples = list(PIEBench(str(folder)).samples())
    assert lint(reversed(samples)).digest == found.digest
    assert lint(samples[1:]).digest != found.digest


def test_an_id_that_is_taken_is_no_usable_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_coco(tmp_path / "coco", "editing_coco.csv", "train2014")
    rows = (root / "editing_coco.csv").read_text()
    again = rows.splitlines()[-1]
    (root / "editing_coco.csv").write_text(f"{rows}{again}\n{again}\n")
    samples = list(COCOEdit(str(root)).samples())
    found = lint(samples)
    assert samples_of(found, "id taken twice") == ["COCO_train2014_000000324821"] * 2
    assert (found.rows, found.broken, found.usable["psnr"]) == (6, 2, 4)
    assert found.digest == lint(samples[:4]).digest

    assert main(["data", "verify", f"coco-edit={root}"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("COCO_train2014_000000324821: is taken by an earlier row") == 2
    assert "6 rows, 4 usable" in captured.out


def test_the_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "lint", f"piebench={folder}"]) == 1
    out = capsys.readouterr().out
    assert "10 x blend words that the prompt does not have" in out
    assert '"Mug", "Glass"' in out or ".." in out
    assert main(["data", "lint", f"piebench:errata-1={folder}", "--json"]) == 1
    kinds = Counter(p["kind"] for p in json.loads(capsys.readouterr().out)["problems"])
    assert "blend words that the prompt does not have" not in kinds

    assert main(["data", "verify", f"piebench={folder}"]) == 1
    captured = capsys.readouterr()
    assert "17 rows, not 700" in captured.err
    assert "000000000013" in captured.err
    assert "17 rows, 15 usable" in captured.out
    assert "digest " in captured.out
